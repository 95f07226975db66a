"""Handlers of the user's own that raise, at random moments of `fit`: the model is that of a whole step, and training goes on."""

import os
import random
import signal
import sys
import threading

import numpy as np
import pytest

import cornu
from cornu import layers as L

X = np.random.default_rng(0).normal(size=(256, 6)).astype("float32")
Y = X.sum(1, keepdims=True)
EPOCHS = 40


class Mine(Exception):
    """What a handler of the user's own raises."""


def leave(*_):
    sys.exit(3)


def late(*_):
    raise TimeoutError("late")


def mine(*_):
    raise Mine


KINDS = [(signal.SIGTERM, leave, SystemExit), (signal.SIGALRM, late, TimeoutError), (signal.SIGINT, mine, Mine)]


class Listening(cornu.callbacks.Callback):
    """Hears of every batch, so that steps are run one by one; keeps the weights after each where it is asked to."""

    def __init__(self, states=None):
        super().__init__()
        self.states = states

    def on_train_batch_end(self, batch, logs=None):
        if self.states is not None:
            self.states[int(self.model.optimizer.iterations)] = self.model.get_weights()


def made():
    cornu.utils.set_random_seed(0)
    model = cornu.Sequential([L.Input((6,)), L.Dense(16, activation="relu"), L.Dropout(0.3), L.BatchNormalization(), L.Dense(1)])
    model.compile(cornu.optimizers.Adam(0.01), "mse", metrics=["mae"])
    return model


def train(model, callbacks=(), epochs=EPOCHS):
    return model.fit(X, Y, epochs=epochs, shuffle=False, verbose=0, callbacks=list(callbacks)).history


@pytest.fixture(scope="module")
def states():
    """The weights after every step of an undisturbed run."""
    model = made()
    found = {0: model.get_weights()}
    train(model, [Listening(found)], EPOCHS + 2)
    return found


def disturbed(number, delay, warm, states):
    """One run with a signal after a while; the model must be whole, wherever it was met."""
    sent, handler, error = KINDS[number % 3]
    callbacks, before = [Listening()] if number % 2 else [], signal.signal(sent, handler)
    model = made()
    if warm:
        train(model, callbacks, 1)
    timer = threading.Timer(delay, os.kill, (os.getpid(), sent))
    try:
        timer.start()
        train(model, callbacks)
        timer.join()
    except error:
        pass
    finally:
        signal.signal(sent, before)
    check(model, states)


def check(model, states):
    weights, steps = model.get_weights(), int(model.optimizer.iterations)
    for a, b in zip(weights, states[steps] if weights else ()):
        np.testing.assert_allclose(a, b, atol=1e-4)
    assert all(np.isfinite(np.asarray(v)).all() for v in (*model.variables, *model.optimizer.variables))
    history = train(model, epochs=1)
    assert list(history) == ["loss", "mae"] and np.isfinite(history["loss"]).all()
    assert len(model.optimizer.variables) == len({v.path for v in model.optimizer.variables}) == 2 + 2 * 6
    assert np.isfinite(model.evaluate(X, Y, verbose=0)).all() and np.isfinite(model.predict(X, verbose=0)).all()
    cornu.random.normal((2,))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("number", range(12))
def test_a_handler_that_raises(number, states):
    warm = number % 4 != 0
    disturbed(number, random.Random(number).uniform(0.002, 0.1 if warm else 0.8), warm, states)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("warm", [True, False], ids=["later", "first fit"])
def test_two_hundred_handlers_that_raise(warm, states):
    dice = random.Random(7)
    for number in range(100):
        disturbed(number, dice.uniform(0.001, 0.1 if warm else 0.8), warm, states)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_while_another_thread_predicts(states):
    model, going = made(), threading.Event()
    train(model, epochs=1), model.predict(X, verbose=0)

    def predict():
        while not going.is_set():
            model.predict(X, verbose=0)

    thread = threading.Thread(target=predict)
    thread.start()
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        timer.start()
        train(model)
        timer.join()
    going.set(), thread.join()
    check(model, states)


def test_a_handler_may_read_and_save_the_model(states, tmp_path):
    """One that does not raise, at any moment of a run."""
    model, found = made(), []

    def save(*_):
        found.append(model.get_weights())
        model.save_weights(tmp_path / "now.weights.h5")

    train(model, epochs=1)
    save()  # what is imported for it is there now
    before = signal.signal(signal.SIGALRM, save)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01, 0.3)
        train(model)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert found
    for weights in found:
        assert any(all(np.allclose(a, b, atol=1e-4) for a, b in zip(weights, state)) for state in states.values())
    check(model, states)
