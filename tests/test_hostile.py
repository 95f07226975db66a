"""Files from strangers: every hostile one is refused in words of cornu's own, quickly, and causes nothing."""

import json
import os
import pathlib
import subprocess
import sys

import hostile
import pytest
import pytest

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
