"""Files from strangers: every hostile one is refused in words of cornu's own, quickly, and causes nothing."""

import json
import os
import pathlib
import subprocess
import sys
import time

import exhausting
import hostile
import pytest

from cornu.dtype_policies import DTypePolicyMap
from cornu.optimizers.from_optax import OptaxOptimizer
from cornu.saving import deserialize_keras_object

HERE = pathlib.Path(__file__).parent


def child(program, lines, folder, *args):
    """Run a program of this folder in a process of its own; its results, and its exit code."""
    (folder / "temporary").mkdir()
    env = {**os.environ, "PYTHONPATH": str(HERE.parent / "src"), "CORNU_HOME": str(folder / "temporary" / "home"), "JAX_PLATFORMS": "cpu",
           "TMPDIR": str(folder / "temporary")}
    done = subprocess.run([sys.executable, str(HERE / program), *map(str, args)], input="\n".join(lines), text=True, env=env,
                          capture_output=True)
    return [json.loads(line[7:]) for line in done.stdout.splitlines() if line.startswith("RESULT ")], done


def faults(result) -> list:
    """What is wrong with how a hostile file was refused."""
    size = os.path.getsize(result["path"]) / 2 ** 20
    return [what for what, wrong in {
        "no error of value or type": not {"ValueError", "TypeError"} & set(result["bases"]),
        "not in cornu's words": f"{os.sep}cornu{os.sep}" not in (result["where"] or ""),
        "a long message": result["text"].count("\n") > 11 or len(result["text"]) > 4000,
        "it did something": bool(result["done"]), "over 5 s": result["seconds"] > 5,
        "memory": result["grown"] > size + 64}.items() if wrong]


def test_the_corpus_is_refused(tmp_path):
    files = tmp_path / "files"
    files.mkdir()
    rows = hostile.write_all(files)
    results, done = child("opening.py", [path for path, _, _ in rows], tmp_path)
    assert len(results) == len(rows) >= 80, done.stderr[-2000:]
    wrong = [(name, advisory, found, r) for (_, name, advisory), r in zip(rows, results) if (found := faults(r))]
    assert not wrong, "\n".join(map(str, wrong))
    assert not os.path.exists("/tmp/owned")


def exhaust(folder, every):
    """Open configs that ask for too much: each is opened or refused in 10 seconds, within 256 MB."""
    (folder / "files").mkdir()
    paths = dict(list(exhausting.write_all(folder / "files").items())[::every])
    assert max(len(json.dumps(config)) for config in exhausting.table().values()) <= 20_700
    results, done = child("opening.py", map(str, paths.values()), folder)
    assert len(results) == len(paths), done.stderr[-2000:]
    wrong = [(name, r["seconds"], r["grown"], r["text"]) for name, r in zip(paths, results)
             if r["seconds"] > 10 or r["grown"] > 256 or r["text"].count("\n") > 11 or r["error"] == "Hang"]
    assert not wrong, "\n".join(map(str, wrong))
    return len(results)


def test_configs_that_ask_for_too_much(tmp_path):
    assert exhaust(tmp_path, 7) >= 17


@pytest.mark.long
def test_all_configs_that_ask_for_too_much(tmp_path):
    assert exhaust(tmp_path, 1) >= 120


@pytest.mark.parametrize("length", [400])
def test_a_graph_written_backwards_opens_in_linear_time(length):
    def seconds(count):
        start = time.process_time()
        deserialize_keras_object(exhausting.chain(count, reverse=True))
        return time.process_time() - start

    seconds(10)
    assert seconds(4 * length) < 8 * seconds(length)


@pytest.mark.parametrize("pattern", ["(a+)+b", "(a|a)*b", "a*a*a*a*b", r"(a)\1", "(?=a)b", "(", "x" * 600, "(a{9}){9}"])
def test_patterns_of_a_config_that_could_take_long_are_not_matched(pattern):
    policy = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": None}
    with pytest.raises(ValueError, match="pattern"):
        DTypePolicyMap.from_config({"default_policy": None, "policy_map": {pattern: policy}})


@pytest.mark.parametrize("name", ["optax.apply_updates", "optax.tree_utils", "optax.__class__", "optax.chain", "optax.inject_hyperparams"])
def test_only_optimizers_of_optax_are_found_by_name(name):
    pytest.importorskip("optax")
    with pytest.raises(ValueError, match="optimizer of optax"):
        OptaxOptimizer.from_config({"transformation": name, "arguments": {}, "learning_rate": 1.0})


def test_no_file_imports_optax(monkeypatch):
    monkeypatch.delitem(sys.modules, "optax", raising=False)
    with pytest.raises(ValueError, match="import optax"):
        OptaxOptimizer.from_config({"transformation": "optax.adam", "arguments": {}, "learning_rate": 1.0})
    assert "optax" not in sys.modules


def fuzz(folder, start, stop):
    """Open mutated files; the process must live to the end, and no file misbehave."""
    results, done = child("fuzz.py", [], folder, start, stop)
    assert done.returncode == 0, f"{done.stdout.splitlines()[-1]} ended the process:\n{done.stderr[-2000:]}"
    assert not results, "\n".join(map(str, results))
    errors, opened = map(int, next(x for x in done.stdout.splitlines() if x.startswith("TOTAL")).split()[1:])
    assert errors > opened, "the mutations do no harm"
    return errors + opened


def test_mutated_files(tmp_path):
    assert fuzz(tmp_path, 0, 300) == 300


@pytest.mark.long
def test_20000_mutated_files(tmp_path):
    assert fuzz(tmp_path, 0, 20_000) == 20_000
