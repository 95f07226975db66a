"""Freezing and thawing layers between steps, and the classic program of a GAN."""

import warnings

import numpy as np
import pytest

import cornu
from cornu import layers as L
from cornu import optimizers as O

X = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
Y = np.ones((16, 1), "float32")
STEPS = {"fit": lambda m: m.fit(X, Y, verbose=0), "train_on_batch": lambda m: m.train_on_batch(X, Y)}


def chain(*, optimizer=None, name=None, middle=None):
    middle = L.Dense(3, name="b") if middle is None else middle
    model = cornu.Sequential([cornu.Input((4,)), L.Dense(3, name="a"), middle, L.Dense(1, name="c")], name=name)
    model.compile(optimizer or O.SGD(0.1), "mse")
    return model


def moved(model, step="fit"):
    before = {layer.name: layer.get_weights() for layer in model.layers}
    STEPS[step](model)
    return "".join(name for name, values in before.items()
                   if any(not np.array_equal(a, b) for a, b in zip(values, model.get_layer(name).get_weights())))


def freeze(model, names, trainable=False):
    for name in names:
        model.get_layer(name).trainable = trainable


@pytest.mark.filterwarnings("ignore:.*is frozen")
@pytest.mark.parametrize("step, frozen", [("fit", "a"), ("fit", "c"), ("fit", "bc"), ("train_on_batch", "abc"),
                                          ("train_on_batch", "b"), ("train_on_batch", "ac")])
def test_what_is_frozen_or_thawed_later(step, frozen):
    rest = "".join(x for x in "abc" if x not in frozen)
    model = chain(optimizer="adam")
    assert moved(model, step) == "abc"
    freeze(model, frozen)
    assert moved(model, step) == rest
    freeze(model, frozen, True)
    assert moved(model, step) == "abc"


@pytest.mark.filterwarnings("ignore:.*is frozen")
@pytest.mark.parametrize("frozen", ["a", "c", "bc", "abc"])
def test_what_was_frozen_from_the_start(frozen):
    model = chain(optimizer="adam")
    freeze(model, frozen)
    assert moved(model) == "".join(x for x in "abc" if x not in frozen)
    freeze(model, frozen, True)
    assert moved(model) == "abc"


@pytest.mark.parametrize("center", [True, False])
def test_a_frozen_batch_normalization_stops_moving(center):
    model = chain(middle=L.BatchNormalization(center=center, scale=center, name="b"))
    assert moved(model) == "abc"
    freeze(model, "b")
    assert moved(model) == "ac"
    freeze(model, "b", True)
    assert moved(model) == "abc"


OPTIMIZERS = [lambda: O.SGD(0.1, momentum=0.9), lambda: O.Adam(use_ema=True), lambda: O.Nadam(), lambda: O.Ftrl(),
              lambda: O.Adam(gradient_accumulation_steps=2), lambda: O.LossScaleOptimizer(O.Adam()), lambda: O.Adafactor(),
              lambda: O.MultiOptimizer(O.OptimizerMap(O.SGD(0.1), {"a/kernel": O.Adam()})), lambda: O.Lamb(), lambda: O.Muon()]


@pytest.mark.parametrize("make", OPTIMIZERS)
def test_an_optimizer_takes_what_is_thawed_and_keeps_its_state(make):
    model, whole = chain(optimizer=make(), name="m"), chain(optimizer=make(), name="m")
    freeze(model, "ab")
    moved(model), moved(whole)
    names = {v.path: v.numpy() for v in model.optimizer.variables}
    freeze(model, "ab", True)
    model._find_step("train", {})
    state = [v.path.partition("/")[2] for v in model.optimizer.variables]
    assert state == [v.path.partition("/")[2] for v in whole.optimizer.variables]  # as files have it
    assert all(np.array_equal(names[v.path], v.numpy()) for v in model.optimizer.variables if v.path in names)
    assert "abc" in (moved(model), moved(model))  # gradients may be accumulated first


def test_an_average_does_not_move_what_is_frozen():
    model = chain(optimizer=O.Adam(0.1, use_ema=True, ema_overwrite_frequency=1))
    moved(model)
    freeze(model, "a")
    assert moved(model) == "bc"


def test_a_callback_may_freeze_and_thaw():
    class Thaw(cornu.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.get_layer("a").trainable = epoch % 2 == 1
            seen.append(self.model.get_layer("a").kernel.numpy())

    model, seen = chain(), []
    model.fit(X, Y, epochs=4, verbose=0, callbacks=[Thaw()])
    assert [np.array_equal(a, b) for a, b in zip(seen, seen[1:])] == [True, False, True]


def gan():
    """A discriminator, frozen within the model around it."""
    d = chain(name="d")
    d.trainable = False
    x = cornu.Input((4,))
    model = cornu.Model(x, d(L.Dense(4, name="g")(x)))
    model.compile(O.SGD(0.1), "mse")
    return d, model


def test_the_classic_program_of_a_gan():
    d, model = gan()
    with pytest.warns(UserWarning, match="'d' was frozen when"):
        assert moved(d) == "abc"
    assert moved(model) == "g"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert moved(d, "train_on_batch") == "abc"  # said once
    assert moved(model, "train_on_batch") == "g"
    d.trainable = False
    with pytest.warns(UserWarning, match="'d' is frozen"):
        assert moved(d) == ""
    d.trainable = True
    assert moved(d) == "abc" and moved(model) == "gd"


def test_compiling_again_ends_the_exception():
    d, _ = gan()
    d.compile(O.SGD(0.1), "mse")
    with pytest.warns(UserWarning, match="is frozen"):
        assert moved(d) == ""


@pytest.mark.parametrize("step", STEPS)
def test_a_frozen_model_alone_trains_nothing_and_says_so(step):
    model = chain()
    model.trainable = False
    with pytest.warns(UserWarning, match="is frozen, so training changes none"):
        assert moved(model, step) == ""
    model.trainable = True
    assert moved(model, step) == "abc"
