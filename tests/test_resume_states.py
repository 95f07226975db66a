"""Which saved states are taken: those of the same run, whole; and what is said of it."""

import os
import random
import warnings

import numpy as np
import pytest

import cornu
from cornu import layers
from cornu.callbacks.run_settings import decisive_difference, other_differences, settings_of
from cornu.callbacks.state_file import read_state, write_state

X, Y = np.random.default_rng(0).normal(size=(32, 3)).astype("float32"), np.arange(32, dtype="float32") % 2


def model(body=None, optimizer="adam", loss="mse"):
    made = cornu.Sequential([cornu.Input((3,)), *(body or [layers.Dense(3, "tanh"), layers.Dense(1)])])
    made.compile(optimizer, loss, run_eagerly=True)
    return made


def fit(made, folder, **kwargs):
    return made.fit(X, Y, batch_size=8, verbose=0, resume=folder, **kwargs)


def twice(x):
    return 2 * x


def own_loss(y_true, y_pred):
    return cornu.ops.mean(cornu.ops.square(y_true - y_pred), -1)


def frozen():
    dense = layers.Dense(3, "tanh")
    dense.trainable = False
    return [dense, layers.Dense(1)]


REFUSED = {
    "optimizer": dict(optimizer=cornu.optimizers.Nadam()), "slots alike": dict(optimizer=cornu.optimizers.AdamW()),
    "loss": dict(loss="mae"), "own loss": dict(loss=own_loss), "loss class": dict(loss=cornu.losses.Huber()),
    "lambda": dict(loss=lambda a, b: cornu.ops.mean(a - b)),
    "activation": dict(body=[layers.Dense(3, "relu"), layers.Dense(1)]),
    "no activation": dict(body=[layers.Dense(3), layers.Dense(1)]), "own activation": dict(body=[layers.Dense(3, twice), layers.Dense(1)]),
    "a lambda activation": dict(body=[layers.Dense(3, lambda x: x), layers.Dense(1)]),
    "name": dict(body=[layers.Dense(3, "tanh", name="first"), layers.Dense(1)]),
    "a layer more": dict(body=[layers.Dense(3, "tanh"), layers.Dropout(0.1), layers.Dense(1)]),
    "another class": dict(body=[layers.EinsumDense("bi,io->bo", 3, bias_axes="o", activation="tanh"), layers.Dense(1)]),
    "units": dict(body=[layers.Dense(4, "tanh"), layers.Dense(1)]), "frozen": dict(body=frozen())}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_state_of_another_run_is_refused(tmp_path, kind):
    fit(model(), tmp_path)
    other = model(**REFUSED[kind])
    before, drawn = other.get_weights(), random.getstate()
    with pytest.raises(ValueError, match="is of another run: ") as caught:
        fit(other, tmp_path, epochs=2)
    assert str(caught.value).count("\n") < 3 and random.getstate() == drawn
    for a, b in zip(before, other.get_weights()):
        np.testing.assert_array_equal(a, b)


ALIKE = {"mse": "mean_squared_error", "MeanSquaredError": cornu.losses.MeanSquaredError(), "function": cornu.losses.mse,
         "class": "MeanSquaredError"}


@pytest.mark.parametrize("loss", ALIKE)
def test_the_same_said_otherwise_is_taken(tmp_path, loss):
    fit(model(), tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = model([layers.Dense(3, cornu.activations.tanh), layers.Dense(1, "linear")], cornu.optimizers.Adam(), ALIKE[loss])
        assert len(fit(again, tmp_path, epochs=2).history["loss"]) == 2


TOLD = {"rate": (dict(optimizer=cornu.optimizers.Adam(0.1)), "learning rate stays 0.001, as it was saved, and 0.1 is not taken"),
        "beta": (dict(optimizer=cornu.optimizers.Adam(beta_1=0.8)), "beta_1 of Adam was 0.9, and is 0.8 from now on"),
        "decay": (dict(optimizer=cornu.optimizers.Adam(weight_decay=0.1)), "weight_decay of Adam was None, and is 0.1"),
        "regularizer": (dict(body=[layers.Dense(3, "tanh", kernel_regularizer="l2"), layers.Dense(1)]), "kernel_regularizer of layer 'dense'")}


@pytest.mark.parametrize("kind", TOLD)
def test_other_settings_are_told_in_a_line(tmp_path, kind):
    kwargs, told = TOLD[kind]
    fit(model(), tmp_path)
    with pytest.warns(UserWarning, match=told) as caught:
        fit(model(**kwargs), tmp_path, epochs=2)
    assert len(caught) == 1 and "\n" not in str(caught[0].message)


def test_schedules_and_what_an_optimizer_wraps_are_compared():
    def settings(optimizer):
        return settings_of(made := model(optimizer=optimizer), made._optimizers())

    schedule, wrapped = cornu.optimizers.schedules.ExponentialDecay, cornu.optimizers.LossScaleOptimizer
    a, b = (settings(cornu.optimizers.SGD(schedule(0.1, steps, 0.5))) for steps in (3, 4))
    assert not decisive_difference(a, b)
    a, b = settings(wrapped(cornu.optimizers.RMSprop())), settings(wrapped(cornu.optimizers.SGD(momentum=0.1)))
    assert "RMSprop" in decisive_difference(a, b)
    assert not other_differences(a, settings(wrapped(cornu.optimizers.RMSprop())))


def test_a_rate_that_a_callback_lowered_is_no_difference(tmp_path):
    def run(epochs):
        return fit(model(), tmp_path, epochs=epochs, callbacks=[cornu.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)])

    run(2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(4).history["learning_rate"] == pytest.approx([0.0005, 0.00025, 0.000125, 0.0000625])


@pytest.mark.parametrize(("freq", "line"), [("epoch", "training goes on after epoch 1 of 3."), (3, "training goes on after step 3 of epoch 2 of 3.")])
def test_a_resumed_run_says_where_it_goes_on(tmp_path, capsys, freq, line):
    class Stops(cornu.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer.iterations.numpy() == 8:
                raise RuntimeError

    backup = cornu.callbacks.BackupAndRestore(tmp_path, freq if freq == "epoch" else 7)
    with pytest.raises(RuntimeError):
        model().fit(X, Y, batch_size=8, epochs=3, verbose=0, callbacks=[backup, Stops()])
    model().fit(X, Y, batch_size=8, epochs=3, verbose=2, callbacks=[backup])
    assert line in capsys.readouterr().out


# damage ----------------------------------------------------------------------------------------------------------------

STATES = [{"weights": np.arange(60.0), "text": "é", "n": 3}, {"weights": np.arange(60.0) + 1, "deep": [{"a": (1, None)}], "b": b"bytes"}]


def flipped(path, whole, bits):
    """The state that is read, and the warnings, for every bit that is flipped."""
    for bit in bits:
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield read_state(path), caught


@pytest.mark.parametrize("count", [400, pytest.param(20_000, marks=pytest.mark.long)])
def test_a_flipped_bit_falls_back_on_the_state_before(tmp_path, count):
    path = tmp_path / "state"
    for state in STATES:
        write_state(path, state, keep_previous=True)
    whole = path.read_bytes()
    bits = random.Random(0).sample(range(8 * len(whole)), count) if count < 8 * len(whole) else range(8 * len(whole))
    done = 0
    while done < count:
        for found, caught in flipped(path, whole, bits):
            np.testing.assert_equal(found, STATES[0])
            assert len(caught) == 1 and "is used" in str(caught[0].message)
            done += 1
        bits = random.Random(done).choices(range(8 * len(whole)), k=max(0, count - done))


def test_a_truncated_state_falls_back_on_the_state_before(tmp_path):
    path = tmp_path / "state"
    for state in STATES:
        write_state(path, state, keep_previous=True)
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 7), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.warns(UserWarning, match="The state before it is used"):
            np.testing.assert_equal(read_state(path), STATES[0])


def test_where_no_state_is_whole_the_error_is_ours(tmp_path):
    path = tmp_path / "training_state.cornu"
    for state in STATES:
        write_state(path, state, keep_previous=True)
    for name in os.listdir(tmp_path):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[:40] + b"\x00" + whole[41:])
    with pytest.raises(ValueError, match="cannot be read.*Delete it to start anew"):
        read_state(path)


def test_a_whole_file_of_another_kind_is_refused(tmp_path):
    write_state(tmp_path / "training_state.cornu", {"values": []})
    with pytest.raises(ValueError, match="another version of cornu"):
        fit(model(), tmp_path)
