"""A process keeps so many executables: those that were used least recently go."""

import jax
import numpy as np
import pytest

import cornu
from cornu.training import kept
from cornu.training.step import compilations


def model():
    made = cornu.Sequential([cornu.Input((None, 2)), cornu.layers.GlobalAveragePooling1D(), cornu.layers.Dense(1)])
    made.compile("sgd", "mse")
    return made


def train(made, length):
    return made.train_on_batch(np.ones((2, length, 2), "float32"), np.ones(2, "float32"))


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(kept, "MOST", 4)
    kept._steps.clear()


def test_the_number_of_executables_is_bounded(few):
    made, client = model(), jax.devices()[0].client
    first = [train(made, length) for length in range(1, 6)]
    before = len(client.live_executables())
    for length in range(6, 16):
        train(made, length)
    assert len(made._step("train")._executables) == 4 and len(client.live_executables()) <= before + 2
    assert np.all(np.isfinite(first)) and train(made, 1) < first[0]  # compiled anew


def test_what_is_used_stays(few):
    made, other = model(), model()
    for length in range(1, 9):
        train(other, length), train(made, 3), other.predict(np.ones((2, 3, 2), "float32"), verbose=0)
    count = compilations["count"]
    train(made, 3), other.predict(np.ones((2, 3, 2), "float32"), verbose=0)
    assert compilations["count"] == count


def test_forgotten_executables_give_the_same(few):
    bounded, whole = model(), model()
    whole.set_weights(bounded.get_weights())
    lengths = [1, 2, 3, 4, 5, 1, 6, 2, 3, 3, 1]
    found = [train(bounded, length) for length in lengths]
    kept.MOST = 100
    assert [train(whole, length) for length in lengths] == found
