"""What fails at its first use, by an error or Ctrl-C, is not half built: the second try is like a first one."""

import contextlib

import jax.numpy as jnp
import numpy as np
import pytest

import cornu
from cornu import layers as L
from cornu import optimizers as O

X = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
Y = np.arange(16) % 3


class Stop(BaseException):
    """As Ctrl-C, or a signal's handler."""


class Late(L.Layer):
    """Fails in `build` or `call`, after it has made some of what it makes, as long as it is told to."""

    def __init__(self, place, error):
        super().__init__()
        self.place, self.error, self.parts = place, error, []

    def build(self, shape):
        self.scale = self.add_weight((shape[-1],), "ones")
        self.parts.append(self.add_weight((1,), "ones"))
        if self.place == "build":
            raise self.error
        self.shift = self.add_weight((shape[-1],), "zeros")

    def call(self, x):
        if self.place == "call":
            raise self.error
        return x * self.scale * self.parts[0] + self.shift


class Own(cornu.Model):
    """Its layers are built in its `call`, which fails between them."""

    def __init__(self, place, error):
        super().__init__()
        self.first, self.last, self.place, self.error = L.Dense(4), L.Dense(3, activation="softmax"), place, error

    def call(self, x):
        x = self.first(x)
        if self.place:
            raise self.error
        return self.last(x)


def own(place, error):
    model = Own(place, error)
    return model, lambda: setattr(model, "place", None)


def with_layer(place, error):
    late = Late(place, error)
    model = cornu.Sequential([late, L.Dense(3, activation="softmax")])
    return model, lambda: setattr(late, "place", None)


USES = {"fit": lambda m: m.fit(X, Y, verbose=0), "train_on_batch": lambda m: m.train_on_batch(X, Y), "call": lambda m: m(X),
        "predict": lambda m: m.predict(X, verbose=0), "evaluate": lambda m: m.evaluate(X, Y, verbose=0)}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("make, place", [(own, "call"), (with_layer, "build"), (with_layer, "call")])
@pytest.mark.parametrize("error", [KeyError("mine"), Stop()], ids=["error", "stop"])
def test_models(use, make, place, error):
    model, mend = make(place, error)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    with pytest.raises(type(error)):
        USES[use](model)
    mend()
    history = model.fit(X, Y, epochs=2, verbose=0).history
    fresh, mend = make(place, error)
    mend()
    fresh.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    wanted = fresh.fit(X, Y, epochs=2, verbose=0).history
    assert list(history) == list(wanted) and np.isfinite(history["loss"]).all()
    assert [v.shape for v in model.weights] == [v.shape for v in fresh.weights]
    assert len(model.optimizer.variables) == len(fresh.optimizer.variables)


OPTIMIZERS = [lambda: O.SGD(momentum=0.9), lambda: O.Adam(use_ema=True, gradient_accumulation_steps=2), O.Nadam,
              lambda: O.LossScaleOptimizer(O.Adam()), lambda: O.MultiOptimizer(O.OptimizerMap(O.SGD(0.1), {"a": O.Adam()}))]


@pytest.mark.parametrize("after", [0, 1, 2, 3])
@pytest.mark.parametrize("make", OPTIMIZERS)
@pytest.mark.parametrize("error", [ValueError, Stop])
def test_optimizers(make, after, error, monkeypatch):
    variables = [cornu.Variable(jnp.ones(3), name="a"), cornu.Variable(jnp.ones(2), name="b")]
    whole, broken, left = make(), make(), [after]
    whole.build(variables)
    add = O.Optimizer.add_variable

    def failing(self, *args, **kwargs):
        left[0] -= 1
        if left[0] < 0:
            raise error
        return add(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(O.Optimizer, "add_variable", failing)
        with contextlib.suppress(error):
            broken.build(variables)
    broken.build(variables)
    assert [v.shape for v in broken.variables] == [v.shape for v in whole.variables]
    broken.apply([jnp.ones(3), jnp.ones(2)], variables)


WRONG = {"one-hot for sparse": (np.eye(3)[Y], Y), "labels out of range": (Y + 7, Y), "another number of samples": (Y[:-1], Y),
         "two columns": (np.ones((16, 2)), Y), "strings": (np.array(["a"] * 16), Y), "labels of another rank": (np.ones((16, 4, 2)), Y)}


@pytest.mark.parametrize("use", ["fit", "train_on_batch", "evaluate"])
@pytest.mark.parametrize("wrong, right", WRONG.values(), ids=WRONG)
def test_targets_that_are_wrong_at_first(use, wrong, right):
    def made():
        cornu.utils.set_random_seed(0)
        model = cornu.Sequential([cornu.Input((4,)), L.Dense(3, activation="softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    use = {"fit": lambda m: m.fit(X, wrong, verbose=0), "train_on_batch": lambda m: m.train_on_batch(X, wrong),
           "evaluate": lambda m: m.evaluate(X, wrong, verbose=0)}[use]
    model, fresh = made(), made()
    with pytest.raises(Exception):
        use(model)
    found, wanted = (m.fit(X, right, epochs=2, shuffle=False, verbose=0).history for m in (model, fresh))
    assert {k: np.round(v, 5).tolist() for k, v in found.items()} == {k: np.round(v, 5).tolist() for k, v in wanted.items()}
