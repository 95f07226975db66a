"""Homes that are missing, closed or damaged: `import cornu` and training work all the same."""

import os
import subprocess
import sys

import pytest

from cornu import config
from cornu.lowering import cache

TRAIN = ("import cornu, numpy as np\nm = cornu.Sequential([cornu.Input((2,)), cornu.layers.Dense(1)])\n"
         "m.compile('sgd', 'mse')\nm.fit(np.ones((4, 2)), np.ones(4), verbose=0)\nprint('trained')")


def run(code, **env):
    kept = {k: v for k, v in os.environ.items() if k not in ("HOME", "CORNU_HOME", "KERAS_HOME")}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          env={**kept, "PYTHONPATH": os.path.abspath("src"), **env})


@pytest.mark.parametrize("home", ["{}/file", "{}/closed", "/proc"])
def test_training_needs_no_home(tmp_path, home):
    (tmp_path / "file").touch()
    (tmp_path / "closed").mkdir(mode=0o500)
    done = run(TRAIN, HOME=home.format(tmp_path))
    assert done.stdout == "trained\n", done.stderr


def test_a_user_without_a_home_has_a_temporary_one(monkeypatch):
    def unknown():
        raise RuntimeError("Could not determine home directory.")

    for name in ("HOME", "CORNU_HOME", "KERAS_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pathlib.Path.home", unknown)
    assert config.home().parent == config.keras_home().parent and config.home().parent.is_dir()


@pytest.mark.parametrize("damage", [lambda b: b[:len(b) // 2], lambda b: b[:30] + bytes(40) + b[70:]])
def test_an_executable_that_cannot_be_read_is_replaced(tmp_path, damage):
    folder = tmp_path / ".cornu" / "executables"
    run(TRAIN, HOME=str(tmp_path))
    entry = next(folder.glob("*-cache"))
    entry.write_bytes(damage(entry.read_bytes()))
    os.utime(entry, (0, 0))
    assert all(run(TRAIN, HOME=str(tmp_path)).stdout == "trained\n" for _ in range(2))
    assert entry.exists() and "Error reading" not in run(TRAIN, HOME=str(tmp_path)).stderr


def test_only_what_cannot_be_unpacked_goes(tmp_path):
    run(TRAIN, HOME=str(tmp_path))
    folder = tmp_path / ".cornu" / "executables"
    (folder / "broken-cache").write_bytes(b"\x28\xb5\x2f\xfd")
    count = len(list(folder.iterdir()))
    assert cache.mend(folder) == 1 and len(list(folder.iterdir())) == count - 1


def test_a_large_draw_is_no_constant_in_an_executable(tmp_path):
    run("import cornu\ncornu.layers.Embedding(200_000, 32).build()\n"
        "cornu.Sequential([cornu.Input((4,)), cornu.layers.Embedding(100_000, 32)])", HOME=str(tmp_path))
    sizes = [entry.stat().st_size for entry in (tmp_path / ".cornu" / "executables").iterdir()]
    assert sizes and max(sizes) < 100_000
