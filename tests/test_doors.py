"""The doors for other people's programs: what `keras` and `tensorflow` mean, and where."""

import importlib.util
import os
import pathlib
import pickle
import subprocess
import sys

import jax.numpy as jnp
import pytest

import cornu
from cornu.doors import environment, private_modules, private_names

ROOT = pathlib.Path(__file__).parents[1]
without_tensorflow = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is not None, reason="is about where it is not installed"
)
INSTALL = "import cornu; cornu.install()\n"


def python(text, *folders, cwd=None, first=INSTALL):
    """Run a program in a process of its own; returns what it printed."""
    path = os.pathsep.join(map(str, [ROOT / "src", *folders]))
    env = os.environ | {"PYTHONPATH": path, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", first + text],
        capture_output=True, text=True, env=env, cwd=cwd, timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:-1]


def test_keras_is_a_module_of_its_own_whose_parts_are_cornus():
    assert python("""
import copy, importlib.metadata, importlib.util, pickle
import keras, keras.layers
from keras.layers import Dense
assert keras.layers is cornu.layers and Dense is cornu.layers.Dense and keras is not cornu
assert "layers" in dir(keras) and "gc" not in dir(keras) and not hasattr(keras, "nothing")
assert pickle.loads(pickle.dumps(keras)) is keras and type(copy.copy(Dense(2))) is Dense
print(keras.__version__, keras.version(), importlib.metadata.version("keras"))
for name in ("keras", "keras.layers", "keras.nothing"):
    print(importlib.util.find_spec(name) is not None)
from keras import *
assert Model is cornu.Model
""") == ["3.15.1 3.15.1 3.15.1", "True", "True", "False"]


@pytest.mark.parametrize("line", [
    "from keras.src.layers.core.dense import Dense as a; a is cornu.layers.Dense",
    "from keras.src import backend as a; a.KerasTensor is cornu.KerasTensor",
    "from keras.src.backend.common.variables import standardize_dtype as a; "
    "a is cornu.backend.standardize_dtype",
    "from keras.src.saving.serialization_lib import serialize_keras_object as a; "
    "a is cornu.saving.serialize_keras_object",
    "from keras.src import ops as a; a.numpy.mean is cornu.ops.mean",
    "from keras._tf_keras.keras import layers as a; a is cornu.layers",
    "from keras.api.models import Model as a; a is cornu.Model",
])
def test_private_and_older_names_are_the_public_things(line):
    statement, _, check = line.partition("; ")
    python(f"{statement}\nassert {check}")


@pytest.mark.parametrize("line, words", [
    ("import keras.src.nothing", "No module named 'keras.src.nothing'"),
    ("from keras.src.layers import Nothing", "cannot import name 'Nothing'"),
    ("import keras.src.layers as a; a.Nothing", "private to Keras"),
])
def test_what_is_not_here_is_said(line, words):
    with pytest.raises(AssertionError, match=words):
        python(line)


def test_every_name_of_the_private_table_is_there():
    for module, names in private_names.NAMES.items():
        assert module == "*" or private_modules.is_module(module), module
        for name, target in names.items():
            assert private_modules.resolve(target) is not None, name


def test_models_that_are_not_here_may_be_named_but_not_called():
    python("""
import keras
from keras import *
from keras.applications.efficientnet import EfficientNetB0
models = [keras.applications.ResNet50, applications.xception.Xception, EfficientNetB0]
for model in models:
    try:
        model(weights=None)
    except NotImplementedError as error:
        assert f"{model.__name__} is not in cornu" in str(error)
    else:
        raise AssertionError(model)
""")


def test_a_star_brings_the_public_names():
    python("from keras.src.ops import *\nassert shape is cornu.ops.shape and matmul is cornu.ops.matmul")
    python("from keras.src.layers import *\nassert Dense is cornu.layers.Dense")


def test_grains_pipelines_are_known_by_their_code():
    inside = private_modules.find("utils.backend_utils", "in_grain_data_pipeline")
    of_grain = {"__name__": "grain._src.python", "inside": inside}
    assert not inside()
    assert eval("inside()", of_grain) and eval("[f() for f in [lambda: inside()]][0]", of_grain)


def test_private_functions_read_and_set_an_arrays_mask():
    get, put = (private_modules.find("backend", f"{verb}_keras_mask") for verb in ("get", "set"))
    x = cornu.layers.Masking()(jnp.ones((1, 2, 3)))
    assert get(x).tolist() == [[True, True]] and get(jnp.ones(2)) is None
    put(x, jnp.array([[True, False]]))
    assert get(x).tolist() == [[True, False]]


def test_what_a_method_keeps_apart_is_no_part_of_the_layer():
    apart = private_modules.find("utils.tracking", "no_automatic_dependency_tracking")

    class Keeper(cornu.layers.Layer):
        @apart
        def note(self, layer):
            self.noted = {"layer": [layer]}

    keeper, dense = Keeper(), cornu.layers.Dense(2)
    dense.build((None, 3))
    keeper.note(dense)
    assert keeper.noted["layer"] == [dense] and keeper.weights == keeper._layers == []
    keeper.dense = dense
    assert len(keeper.weights) == 2


def test_no_distribution_is_set_and_none_can_be():
    python("""
import keras, jax
from keras import distribution
from keras.src.distribution import distribution_lib
assert distribution_lib.distribution() is None and distribution.set_distribution(None) is None
assert distribution.list_devices() == [f"cpu:{d.id}" for d in jax.devices()]
assert distribution.get_device_count("CPU") == len(jax.devices("cpu"))
assert not isinstance(None, keras.distribution.DeviceMesh)
for refused in (lambda: keras.distribution.DeviceMesh((1,), ["batch"]), distribution.initialize,
                distribution_lib.DataParallel, lambda: distribution.set_distribution("all")):
    try:
        refused()
    except NotImplementedError as error:
        assert "is not in cornu" in str(error), error
    else:
        raise AssertionError(refused)
""")


@without_tensorflow
def test_the_stand_in_for_tensorflow_has_keras_and_nothing_else():
    python("""
import tensorflow as tf
from tensorflow.keras import layers
assert tf.__version__.startswith("2.") and tf.keras.layers is layers is cornu.layers
assert not hasattr(tf, "no_such_name") and not hasattr(tf, "__file__")
import importlib.util
assert importlib.util.find_spec("keras.nothing") is None
""")


@without_tensorflow
def test_an_installed_package_that_asks_for_tensorflow_is_told_the_truth(tmp_path):
    package = tmp_path / "site-packages"
    package.mkdir()
    question = "try:\n    import tensorflow as tf\nexcept ImportError:\n    tf = None\n"
    (package / "asks.py").write_text(question)
    (package / "uses.py").write_text(question + "from tensorflow import keras\n")
    python("import asks; assert asks.tf is None", package)
    python("import uses; assert uses.tf.keras.layers is uses.keras.layers is cornu.layers", package)


@pytest.fixture
def installed_tensorflow(tmp_path):
    folder = tmp_path / "tensorflow"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "__version__ = '2.99'; keras = losses = 'its own'; from tensorflow import data"
    )
    (folder / "data.py").write_text("class Dataset: pass")
    return tmp_path


def test_of_an_installed_tensorflow_only_keras_is_replaced(installed_tensorflow):
    python("""
import tensorflow as tf
from tensorflow.data import Dataset
from tensorflow.keras.layers import Dense
import keras
assert tf.__version__ == "2.99" and tf.data.Dataset is Dataset and Dense is cornu.layers.Dense
assert tf.keras is keras and tf.losses is cornu.losses
""", installed_tensorflow)


def test_a_tensorflow_that_was_imported_before_is_adopted(installed_tensorflow):
    python("assert tensorflow.keras.layers is cornu.layers", installed_tensorflow,
           first="import tensorflow\n" + INSTALL)


def test_another_keras_imported_before_is_warned_of(tmp_path):
    (tmp_path / "keras.py").write_text("")
    python("""
import warnings
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    cornu.install(); cornu.install()
assert len(told) == 1 and "before the first import" in str(told[0].message)
import keras
assert keras.layers is cornu.layers
""", tmp_path, first="import cornu, keras\n")


def test_processes_that_a_program_starts_have_it_too(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import builtins; builtins.own = 'still run'")
    child = "import keras; print(keras.__version__, own)"
    lines = python(f"""
import subprocess, sys
print(subprocess.run([sys.executable, "-c", {child!r}], capture_output=True, text=True).stdout)
""", tmp_path)
    assert lines[0] == "3.15.1 still run"


def test_a_spawned_worker_has_it_too(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("""
import multiprocessing
def work(x):
    import keras
    return x, keras.__version__
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(work, [1]))
""")
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-m", "cornu.cli", "run", script], env=env,
                          capture_output=True, text=True, timeout=120)
    assert done.stdout == "[(1, '3.15.1')]\n", done.stderr


def test_an_environment_is_enabled_and_disabled(tmp_path):
    folder = str(tmp_path)
    look = f"import site; site.addsitedir({folder!r}); import keras; print(keras.__version__)"
    assert [environment.enable(folder)[0] for _ in range(2)] == [0, 0]
    assert "Nothing to do" in environment.enable(folder)[1]
    assert len(list(tmp_path.iterdir())) == 1 and python(look, first="") == ["3.15.1"]
    code, text = environment.disable(folder)
    assert code == 0 and "no Keras is installed" in text and not list(tmp_path.iterdir())
    assert "Nothing to do" in environment.disable(folder)[1]


def test_where_nothing_can_be_written_it_is_said(tmp_path):
    code, text = environment.enable(str(tmp_path / "nowhere"))
    assert code == 2 and "can't write" in text and "venv" in text


def test_a_start_up_file_whose_cornu_is_gone_does_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "gone" / "environment.py"))
    environment.enable(str(tmp_path))
    assert python(f"import site; site.addsitedir({str(tmp_path)!r}); print(1)", first="") == ["1"]


def test_a_module_is_run_as_python_runs_it(tmp_path):
    (tmp_path / "own.py").write_text(
        "import sys, keras\nprint(__name__, sys.argv[1:], keras.__version__)\n1 / 0"
    )
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-m", "cornu.cli", "run", "-m", "own", "-x", "--", "y"],
                          cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
    assert done.stdout == "__main__ ['-x', '--', 'y'] 3.15.1\n" and done.returncode == 1
    assert "ZeroDivisionError" in done.stderr and "cli.py" not in done.stderr


def test_layers_of_this_name_are_pickled_by_cornus_own():
    assert pickle.loads(pickle.dumps(cornu.layers.Dense)) is cornu.layers.Dense
