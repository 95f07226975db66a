"""Keras 2's `.h5` files: models and numbers that the real tf_keras recorded (tests/golden/make_keras2.py)."""

import io
import pathlib
import warnings
import zipfile

import corpus
import h5py
import numpy as np
import pytest

import cornu
from cornu import saving

GOLDEN = zipfile.ZipFile(pathlib.Path(__file__).parent / "golden" / "keras2.zip")
NAMES = [n.removesuffix(".h5") for n in GOLDEN.namelist() if n.endswith(".h5")]
QUICK = {"mlp", "several_ends", "frozen", "nested", "bidirectional", "custom", "tensorflow_operations", "legacy_adam",
         "stacked_cells", "lstm_options"}
STATE_LOST = {"legacy_nadam"}  # whose formula Keras 3 does not have
TOLERANCE = {"mixed_bfloat16": 0.03, "mixed_float16": 2e-3}  # of the size of the outputs: 8 and 11 bits of precision


@pytest.fixture(autouse=True, scope="module")
def own_classes():
    with saving.custom_object_scope({f"corpus>{k}": v for k, v in corpus.own(cornu).items()}):
        yield


def unpacked(name, folder):
    """The file's path, and the recorded numbers by their letter."""
    path = folder / "m.h5"
    path.write_bytes(GOLDEN.read(name + ".h5"))
    numbers = np.load(io.BytesIO(GOLDEN.read(name + ".npz")))
    return path, corpus.told_by(numbers), numbers["losses"] if "losses" in numbers else None


def assert_equal(found, wanted, tolerance=1e-6):
    assert corpus.distance(found, wanted) <= tolerance


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in QUICK else pytest.mark.long) for n in NAMES])
def test_models_give_what_keras_2_gave(name, tmp_path):
    path, told, losses = unpacked(name, tmp_path)
    with warnings.catch_warnings(record=name in STATE_LOST):
        model = saving.load_model(path)
    assert_equal(corpus.outputs_of(model, told["x"]), told["y"], TOLERANCE.get(name, 1e-6))
    if losses is not None:
        np.testing.assert_allclose(corpus.losses_of(model, told["x"], told["t"]), losses, rtol=2e-6)


def test_metrics_keep_their_names(tmp_path):
    path, told, _ = unpacked("several_ends", tmp_path)
    model = saving.load_model(path)
    assert sorted(model.evaluate(told["x"], told["t"], verbose=0, return_dict=True)) == [
        "loss", "p_loss", "p_mae", "q_loss", "q_mse"]


def copy_of(name, folder, change=None):
    """The case's model in cornu, with fresh weights, and the file, changed."""
    path, told, _ = unpacked(name, folder)
    if change:
        with h5py.File(path, "a") as file:
            change(file)
    cornu.utils.clear_session()  # automatic names from the start, as in the file
    return corpus.CASES[name](cornu), path, told


@pytest.mark.parametrize("name", ["several_ends", "nested", "bidirectional"])
@pytest.mark.parametrize("by_name", [False, True])
def test_weights_into_a_model_in_code(name, by_name, tmp_path):
    model, path, told = copy_of(name, tmp_path)
    assert model.load_weights(path, by_name=by_name).complete
    assert_equal(corpus.outputs_of(model, told["x"]), told["y"])


def other_names(last):
    L = cornu.layers
    return cornu.Sequential([cornu.Input((4,)), L.Dense(5, "relu", name="dense"), L.Dense(3, name=last)])


def test_strict(tmp_path):
    path, *_ = unpacked("mlp", tmp_path)
    model = other_names("elsewhere")
    before = model.get_weights()
    with pytest.raises(ValueError, match="(?s)No weight was changed.*last +elsewhere"):
        model.load_weights(path)
    assert all((a == b).all() for a, b in zip(before, model.get_weights()))
    report = model.load_weights(path, by_name=True)
    assert report.unused == ["last/kernel:0", "last/bias:0"] and len(report.unfilled) == 2
    assert model.load_weights(path, strict=False).complete


def test_shapes(tmp_path):
    path, *_ = unpacked("mlp", tmp_path)
    model = cornu.Sequential([cornu.Input((4,)), cornu.layers.Dense(5), cornu.layers.Dense(2, name="last")])
    with pytest.raises(ValueError, match=r"'last' have shapes \[\(5, 3\)"):
        model.load_weights(path)
    assert len(model.load_weights(path, skip_mismatch=True).unfilled) == 2


def config(old, new):
    def change(file):
        file.attrs["model_config"] = file.attrs["model_config"].replace(old, new)
    return change


@pytest.mark.parametrize("change,message", [
    (config('"units"', '"unitz"'), "unitz"),
    (config('"class_name": "Dense"', '"class_name": "LocallyConnected1D"'), "Keras 3 does not have"),
    (config('"class_name": "Dense"', '"class_name": "Lambda"'), "function"),
    (config('"activation": "relu"', '"activation": "my_own"'), "my_own"),
    (lambda f: f.attrs.update(keras_version="1.2.2") or f["model_weights"].attrs.update(keras_version="1.2.2"), "Keras 1"),
    (lambda f: f.attrs.pop("model_config"), "no model"),
    (lambda f: f["model_weights/dense/dense"].pop("kernel:0"), "does not have"),
    (lambda f: f["model_weights"].attrs.update(layer_names=np.array([b"dense", b"gone"])), "gone"),
])
def test_what_cannot_be_read_is_said(change, message, tmp_path):
    path, *_ = unpacked("mlp", tmp_path)
    with h5py.File(path, "a") as file:
        change(file)
    with pytest.raises(ValueError, match=message):
        saving.load_model(path)


def test_code_is_refused(tmp_path):
    path, *_ = unpacked("mlp", tmp_path)
    with h5py.File(path, "a") as file:
        text = file.attrs["model_config"].replace('"class_name": "Dense"', '"class_name": "Lambda"', 1)
        file.attrs["model_config"] = text.replace('"units": 5', '"function_type": "lambda", "function": ["4wEA", null, null]')
    with pytest.raises(saving.FileError, match="never run"):
        saving.load_model(path)


def test_an_h5_model_makes_the_folders_that_it_goes_into(tmp_path):
    model = cornu.Sequential([cornu.Input((2,)), cornu.layers.Dense(1)])
    model.save(tmp_path / "a" / "b" / "model.h5")
    assert (tmp_path / "a" / "b" / "model.h5").exists()
