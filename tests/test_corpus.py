"""The corpus: files of the real Keras 3 open here, and files of cornu open there, with equal outputs; training goes on.

The default tests read what is kept in tests/golden/keras3.zip (made by tests/make_corpus.py --small); the long ones make
every file anew with the installed Keras. Keras 2's part is in test_legacy_h5.py.
"""

import io
import pathlib
import zipfile

import corpus
import make_corpus
import numpy as np
import pytest

import cornu
from cornu import saving

GOLDEN = zipfile.ZipFile(pathlib.Path(__file__).parent / "golden" / "keras3.zip")
KEPT = [n.removesuffix(".keras") for n in GOLDEN.namelist() if n.endswith(".keras")]
MODELS = make_corpus.models()
# Why more than 1e-6 of the outputs' size: 11 and 8 bits of precision; sums in another order through long recurrences.
TOLERANCE = {"mixed_float16": 3e-3, "mixed_bfloat16": 3e-2}
# Keras forgets Huber's delta; its TimeDistributed(BatchNormalization) trains on each step's own statistics.
LOSSES = {"mixed_float16": 2e-3, "scheduled": np.inf, "time_distributed": np.inf}


@pytest.fixture(autouse=True, scope="module")
def own_classes():
    import keras

    with saving.custom_object_scope({f"corpus>{k}": v for k, v in corpus.own(cornu).items()}):
        with keras.saving.custom_object_scope({f"corpus>{k}": v for k, v in corpus.own(keras).items()}):
            yield


def assert_told(library, path, numbers, name):
    """A model's file gives the outputs, and trains on with the losses, that were recorded."""
    told = corpus.told_by(numbers)
    model = library.saving.load_model(str(path))
    assert corpus.distance(corpus.outputs_of(model, told["x"]), told["y"]) <= TOLERANCE.get(name, 1e-6)
    if "losses" in numbers:
        np.testing.assert_allclose(corpus.losses_of(model, told["x"], told["t"]), numbers["losses"], rtol=LOSSES.get(name, 1e-5))


@pytest.mark.parametrize("name", KEPT)
def test_kept_files_of_keras_3(name, tmp_path):
    (tmp_path / "m.keras").write_bytes(GOLDEN.read(name + ".keras"))
    assert_told(cornu, tmp_path / "m.keras", dict(np.load(io.BytesIO(GOLDEN.read(name + ".npz")))), name)


def test_the_scale_of_the_loss_is_taken_over(tmp_path):
    (tmp_path / "m.keras").write_bytes(GOLDEN.read("mixed_float16.keras"))
    optimizer = saving.load_model(tmp_path / "m.keras").optimizer
    assert isinstance(optimizer, cornu.optimizers.LossScaleOptimizer) and int(optimizer.iterations) == 2


@pytest.mark.long
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("way", ["from Keras", "to Keras"])
def test_files_go_both_ways(way, name, tmp_path):
    import keras

    writer, reader = (keras, cornu) if way == "from Keras" else (cornu, keras)
    numbers = make_corpus.make(writer, name, tmp_path / "m.keras")
    assert_told(reader, tmp_path / "m.keras", numbers, name)


@pytest.mark.long
@pytest.mark.parametrize("name", [n for n in MODELS if n in corpus.CASES and n != "adafactor"])  # Keras cannot write that
def test_h5_files_of_keras_3(name, tmp_path):
    import keras

    numbers = make_corpus.make(keras, name, tmp_path / "m.h5")
    assert_told(cornu, tmp_path / "m.h5", numbers, name)
