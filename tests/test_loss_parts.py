"""Losses for parts of a nest of outputs: which are named in history, what they are given, and what they weigh."""

import re

import jax
import keras
import numpy as np
import pytest

import cornu
from cornu import layers

X = np.random.default_rng(1).normal(size=(8, 3)).astype("float32")
OUTPUTS = {
    "list": lambda a, b, c: [a, b], "tuple": lambda a, b, c: (a, b), "dict": lambda a, b, c: {"a": a, "b": b},
    "deep": lambda a, b, c: {"a": (a, b), "d": c}, "deep list": lambda a, b, c: [(a, b), c],
    "of dicts": lambda a, b, c: [{"p": a, "q": b}, c], "deeper": lambda a, b, c: {"c": {"c1": (a, b), "c2": c}, "d": a},
}


def of_nest(y_true, y_pred):
    pairs = zip(jax.tree.leaves(y_true), jax.tree.leaves(y_pred))
    return sum(((t - p) ** 2).mean(-1) * (i + 1) for i, (t, p) in enumerate(pairs))


def absolute(y_true, y_pred):
    return abs(y_true - y_pred).mean(-1)


F, G = of_nest, absolute
AS_KERAS = [
    ("list", F), ("dict", G), ("deep", F), ("deep list", "mse"), ("deep", {"a": F, "d": G}), ("deep", {"a": [F, (G, "mse")], "d": G}),
    ("deep", {"a": [F, G], "d": "mse"}), ("deep", {"a": (F, None)}), ("deep list", [F, G]), ("deep list", [(F, "mse"), G]),
    ("deep list", [[F, (G, None)], "mse"]), ("deep list", [[F], G]), ("deep list", [F, None]), ("list", (F, [G, "mse"])),
    ("tuple", [F, (G, "mse")]), ("tuple", [F, G]), ("tuple", [F]), ("dict", [F, {"a": G}]), ("dict", [F, G]), ("dict", [F]),
    ("deeper", {"c": {"c1": F, "c2": G}, "d": G}), ("deeper", {"c": {"c1": (G, F)}, "d": G}), ("deeper", {"c": F}),
    ("deeper", {"c": [F, {"c1": [F, (G, None)]}]}), ("of dicts", [F, G]), ("of dicts", [{"p": F, "q": G}, G]),
    ("of dicts", [[F, {"p": G}], G]), ("of dicts", [{"p": F}, G])]
WEIGHTED = [("tuple", [F, (G, "mse")], [0.5, (1.0, 2.0)]), ("tuple", [F, (G, "mse")], [0.5, 1.0, 2.0]),
            ("deep", {"a": [F, (G, G)], "d": G}, {"a": [1.0, (0.5, 0.25)], "d": 3.0}),
            ("deep", {"a": F, "d": G}, {"a": 1.0, "d": 2.0}), ("dict", {"a": F, "b": G}, {"a": 0.5, "b": 2.0})]


def repr_of(value) -> str:
    """The value as a test's name, without the addresses of functions."""
    return re.sub(r"<function (\w+) at \w+>", r"\1", str(value))


def losses_of(library, kind, loss, weights=None, sample_weight=None):
    """What `evaluate` gives, by name, for outputs that are multiples of the inputs' first feature."""
    inputs = library.Input((3,))
    dense = [library.layers.Dense(1, kernel_initializer=library.initializers.Constant(i), name=f"y{i}") for i in (1, 2, 3)]
    model = library.Model(inputs, OUTPUTS[kind](*(layer(inputs) for layer in dense)))
    model.compile("sgd", loss, loss_weights=weights)
    targets = OUTPUTS[kind](*(np.full((8, 1), i, "float32") for i in (1, 2, 3)))
    told = model.evaluate(X, targets, batch_size=4, verbose=0, return_dict=True, sample_weight=sample_weight)
    return {name: float(value) for name, value in told.items()}


@pytest.mark.parametrize("kind, loss", AS_KERAS, ids=repr_of)
def test_parts_are_named_and_computed_as_in_keras(kind, loss):
    ours, theirs = (losses_of(library, kind, loss) for library in (cornu, keras))
    assert ours == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize("kind, loss, weights", WEIGHTED, ids=repr_of)
def test_weights_stand_where_losses_do(kind, loss, weights):
    ours, theirs = (losses_of(library, kind, loss, weights) for library in (cornu, keras))
    assert ours == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize("loss", [[F, G], [[F, G]], {"a": [F, G]}], ids=repr_of)
def test_several_losses_of_one_output_are_added_up(loss):
    inputs = cornu.Input((3,))
    model = cornu.Model(inputs, {"a": layers.Dense(1, kernel_initializer="ones")(inputs)})
    model.compile("sgd", loss)
    error = X.sum(1)
    assert model.evaluate(X, {"a": np.zeros((8, 1))}, verbose=0) == pytest.approx(np.mean(error**2 + abs(error)), rel=1e-5)


def test_built_in_losses_are_of_each_tensor_of_a_nest():
    told = losses_of(cornu, "deep", {"a": "mse", "d": "mae"}, {"a": (1.0, 3.0), "d": 0.0})
    assert told["loss"] == pytest.approx(told["a/y1_loss"] + 3 * told["a/y2_loss"], rel=1e-5)


@pytest.mark.parametrize("shared", [True, False])
def test_a_loss_of_a_nest_takes_one_array_of_sample_weights(shared):
    weights = np.arange(8.0, dtype="float32")
    if shared:
        assert losses_of(cornu, "tuple", [F], sample_weight=weights)["loss"] > 0
    else:
        with pytest.raises(ValueError, match="'y1', 'y2' together"):
            losses_of(cornu, "tuple", [F], sample_weight=(weights, 2 * weights))


@pytest.mark.parametrize("outputs, loss, metrics, names", [
    ([1, 1], "mse", ["mae", "mse"], ["mse_loss", "mse_1_loss", "mae", "mse"]),
    ((1, 1), ("mse", "mae"), None, ["mse_loss", "mae_loss"]), ((1, 1), (F, G), ["mae", "mae"], ["of_nest_loss", "absolute_loss", "mae", "mae_1"]),
    ({"u": (1, 1), "v": 1}, {"u": (F, G)}, None, ["u/of_nest_loss", "u/absolute_loss"])], ids=repr_of)
def test_outputs_without_names_go_by_their_losses_names(outputs, loss, metrics, names):
    class Same(cornu.Model):
        def call(self, x):
            return jax.tree.map(lambda _: x, outputs)

    model = Same()
    model.compile("sgd", loss, metrics=metrics)
    told = model.evaluate(X, jax.tree.map(lambda _: X, outputs), verbose=0, return_dict=True)
    assert sorted(told) == sorted(["loss", *names])


def test_compute_loss_may_split_what_the_model_gives():
    class Twice(cornu.Sequential):
        def compute_loss(self, x, y, y_pred, sample_weight=None, **kwargs):
            return super().compute_loss(x=x, y=y, y_pred=[y_pred, y_pred], sample_weight=sample_weight, **kwargs)

    model = Twice([cornu.Input((3,)), layers.Dense(1)])
    model.compile("sgd", ["mse", "mae"])
    history = model.fit(X, (X[:, :1], X[:, :1]), verbose=0).history
    assert sorted(history) == ["loss", "mae_loss", "mse_loss"]


@pytest.mark.parametrize("kind, loss, message", [
    ("tuple", [F, G, F], "list of 3"), ("dict", {"a": F, "x": G}, "'x'"), ("deep", {"a": (F, G, F)}, "list of 3"),
    ("deep", {"a": {"p": F}}, "keys 'p'"), ("dict", {"a": {"p": F}}, "keys 'p'"), ("list", [F], "list of 1")], ids=repr_of)
def test_losses_that_do_not_fit_the_outputs(kind, loss, message):
    with pytest.raises(ValueError, match=message):
        losses_of(cornu, kind, loss)
