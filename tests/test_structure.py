"""The floors: a file imports only from lower floors, or from what comes before it on its own; and how large things are."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1] / "src" / "cornu"
FLOORS = [
    ["check", "arguments", "frames", "config", "system", "files", "names", "version", "tree", "errors", "interrupts", "context", "dtypes", "dtype_policies", "registry"],
    ["distribution", "variable", "ownership", "awaiting", "lowering", "random", "holder", "rematerialization"],
    ["sizes", "trials", "sparse", "symbolic", "input_spec", "ops"],
    ["regularizers", "constraints", "initializers", "activations", "data"],
    ["layers"],
    ["losses", "metrics", "optimizers", "callbacks"],
    ["training", "saving", "models"],
    ["utils", "backend", "datasets", "testing", "preprocessing", "mixed_precision", "legacy", "doors"],
    ["file_commands", "cli", "__main__"],
]
ORDER = {name: (floor, place) for floor, names in enumerate(FLOORS) for place, name in enumerate(names)}
FILES = sorted(p for p in ROOT.rglob("*.py") if p != ROOT / "__init__.py")


def imports(path):
    """The cornu modules that a file imports, at any depth of the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "cornu":
            yield from [f"{node.module}.{a.name}" for a in node.names] if node.module == "cornu" else [node.module]
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith("cornu."))


def part(path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_only_from_below(path):
    own = ORDER[part(path)]
    for name in imports(path):
        target = name.split(".")[1]
        assert target in ORDER, f"{name} stands on no floor"
        assert target == part(path) or ORDER[target] < own, f"{path.name} imports {name}, which is above it"


def graph():
    modules = {".".join(("cornu", *p.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): p for p in FILES}
    edges = {}
    for name, path in modules.items():
        edges[name] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("cornu"):
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    edges[name].add(full if full in modules else node.module)
            elif isinstance(node, ast.Import):
                edges[name] |= {a.name for a in node.names}
        edges[name] = {e for e in edges[name] if e in modules and e != name}
    return edges


def test_no_cycles():
    edges, done = graph(), set()

    def visit(name, trail):
        assert name not in trail, " -> ".join([*trail[trail.index(name):], name])
        if name not in done:
            for target in sorted(edges[name]):
                visit(target, [*trail, name])
            done.add(name)

    for name in edges:
        visit(name, [])


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_long_files_and_functions_give_their_reason(path):
    text = path.read_text()
    doc = ast.get_docstring(ast.parse(text)) or ""
    assert text.count("\n") <= 500 or "ong" in doc, f"{path.name} has over 500 lines and gives no reason"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            size = node.end_lineno - node.lineno + 1 - (ast.get_docstring(node, clean=False) or "").count("\n")
            assert size <= 60 or "ong" in (ast.get_docstring(node) or ""), f"{node.name} has {size} lines and gives no reason"


def test_configs_and_shapes_are_written_by_hand_for_a_stated_reason_only():
    """A comment on the line of the definition gives the reason."""
    bare = []
    for path in FILES:
        lines = path.read_text().splitlines()
        for cls in (n for n in ast.walk(ast.parse("\n".join(lines))) if isinstance(n, ast.ClassDef)):
            bare += [f"{path.relative_to(ROOT)}: {cls.name}.{f.name}" for f in cls.body if isinstance(f, ast.FunctionDef)
                     and f.name in ("get_config", "compute_output_shape") and "  # " not in lines[f.lineno - 1]]
    assert not bare, "\n".join(bare)
