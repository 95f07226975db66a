"""`cornu run`: an unchanged Keras script means cornu, and Python's own ways are kept."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def command(*args):
    return [sys.executable, "-m", "cornu", *map(str, args)]


def cornu(*args, cwd=None, **env):
    """Run the command line in a process of its own."""
    env = os.environ | {"PYTHONPATH": str(ROOT / "src"), "JAX_PLATFORMS": "cpu"} | env
    return subprocess.run(command(*args), capture_output=True, text=True, cwd=cwd, env=env, timeout=300)


@pytest.fixture(scope="module")
def light(tmp_path_factory):
    """cornu's modules without JAX, for the tests that compute nothing: a process starts ten times faster."""
    folder = tmp_path_factory.mktemp("light")
    (folder / "cornu").mkdir()
    (folder / "cornu" / "__init__.py").write_text(f"__path__ = [{str(ROOT / 'src' / 'cornu')!r}]")
    return {"PYTHONPATH": str(folder)}


@pytest.fixture
def script(tmp_path):
    def write(text, name="script.py"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_all_ways_to_import_mean_cornu(script):
    done = cornu("run", script("""
before = keras                                   # there without an import
import cornu
import keras, keras.layers, keras.ops as K
import tensorflow as tf
from tensorflow import keras as tk
from tensorflow.keras.layers import Dense as TDense
from tensorflow.keras import layers
import tensorflow.keras.models
from keras.layers import Dense
from keras.models import Sequential
from keras.datasets import mnist
from keras import activations as A, ops
assert before is keras is tk is tf.keras and K is ops is cornu.ops and layers is keras.layers is cornu.layers
assert keras.__version__ == keras.version() == '3.15.1' and keras.Model is cornu.Model and keras.__spec__.name == 'keras'
assert TDense is Dense is cornu.layers.Dense and Sequential is cornu.Sequential and mnist is cornu.datasets.mnist
assert cornu.__spec__.name == 'cornu' and cornu.layers.__spec__.name == cornu.layers.__name__ == 'cornu.layers'
import importlib, sys
assert importlib.import_module('keras.losses') is cornu.losses and sys.modules['keras.layers'] is cornu.layers
print('good')
"""))
    assert (done.returncode, done.stdout, done.stderr) == (0, "good\n", "")


def test_older_module_paths(script):
    done = cornu("run", script("""
from keras.layers.core import Dense, Dropout
from keras.layers.convolutional import Conv2D
from keras.utils.np_utils import to_categorical
from keras.utils import np_utils
from keras.engine.topology import Layer
from tensorflow.keras.optimizers.legacy import SGD
import keras.layers.core
import cornu.layers
from cornu.layers import core
assert core.__name__ == 'cornu.layers.core' and Dense is cornu.layers.Dense and Layer is cornu.layers.Layer
print(np_utils.to_categorical([1], 2))
"""))
    assert done.stdout == "[[0. 1.]]\n", done.stderr


@pytest.mark.parametrize("line", ["import tensorflow.data", "from tensorflow import data",
                                  "import tensorflow as tf; tf.data", "from tensorflow.data import Dataset"])
def test_the_rest_of_tensorflow_is_a_clear_error(script, light, line):
    done = cornu("run", script(line), **light)
    assert done.returncode == 1
    assert "stands in for tensorflow.keras only; this script asks for tensorflow.data" in done.stderr


@pytest.mark.parametrize("line, message", [
    ("import keras.nothing", "No module named 'keras.nothing': cornu has no cornu.nothing"),
    ("from keras.datasets import nothing", "cannot import name 'nothing'"),
    ("keras.nothing", "has no attribute 'nothing'"),
])
def test_what_cornu_lacks(script, light, line, message):
    done = cornu("run", script(line), **light)
    assert done.returncode == 1 and message in done.stderr


@pytest.mark.parametrize("text", [
    "import sys; print(sys.argv, sys.path[0], __name__, __file__, __spec__)", "import helper; print(helper.x)",
    "raise SystemExit(3)", "import sys; sys.exit('sorry')", "import sys; sys.exit()", "x = = 1",
    "def f():\n    1 / 0\nf()",
    "try:\n    {}['a']\nexcept KeyError as e:\n    raise ValueError('no') from e", "import nothing_of_that_name",
    "class A: pass\nimport pickle; print(type(pickle.loads(pickle.dumps(A()))) is A)",
    "import atexit; atexit.register(print, 'end')",
    "x: int = 3\nprint(x, __annotations__, __doc__)",
    "# -*- coding: latin-1 -*-\nprint('a')", "import sys, __main__; print(__main__.keras if 0 else __main__.__name__)",
], ids=range(14))
def test_a_script_cannot_tell_it_from_python(script, light, text):
    folder, args = script("x = 7", "helper.py").parent, [script(text), "--flag", "--", "-x", "run"]
    python = subprocess.run([sys.executable, *args], capture_output=True, text=True, cwd=folder)
    ours = cornu("run", *args, cwd=folder, **light)
    assert (ours.returncode, ours.stdout) == (python.returncode, python.stdout)
    assert ours.stderr.replace(" ", "") == python.stderr.replace(" ", "")


def test_interrupt(script, light):
    path = script("import time\nprint('on', flush=True)\ntime.sleep(60)")
    env = {**os.environ, **light}
    process = subprocess.Popen(command("run", path), env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == "on\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT and error.endswith("KeyboardInterrupt\n") and "cli.py" not in error


def test_missing_script(tmp_path, light):
    done = cornu("run", tmp_path / "nothing.py", **light)
    assert done.returncode == 2 and "can't open file" in done.stderr and "nothing.py" in done.stderr


@pytest.mark.parametrize("args, code, text", [(["--version"], 0, "cornu 0."), (["--help"], 0, "run a Keras script"),
                                              (["run", "--help"], 0, "SCRIPT"), ([], 2, "COMMAND"),
                                              (["run"], 2, "SCRIPT")])
def test_the_command_explains_itself(light, args, code, text):
    done = cornu(*args, **light)
    assert done.returncode == code and text in done.stdout + done.stderr


def test_the_old_style_example_runs_to_its_end(tmp_path):
    done = cornu("run", ROOT / "examples" / "old_style.py", cwd=tmp_path)
    if "DownloadError" in done.stderr:
        pytest.skip("MNIST cannot be reached: " + done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    assert float(re.search(r"Test accuracy: ([\d.]+)", done.stdout)[1]) > 0.7
    assert len(re.findall("lr|learning_rate", done.stderr)) >= 1 and done.stderr.count("784") >= 1  # both warned of


@pytest.mark.long
def test_the_mnist_example_reaches_its_accuracy(tmp_path):
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, ROOT / "examples" / "mnist.py"], cwd=tmp_path, env=env, capture_output=True,
                          text=True)
    if "DownloadError" in done.stderr:
        pytest.skip("MNIST cannot be reached: " + done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    assert float(re.search(r"Test accuracy ([\d.]+)", done.stdout)[1]) >= 0.96
    assert (tmp_path / "mnist_curves.png").stat().st_size > 10_000
