"""Arrays as other programs give them: byte orders, widths, dates, complex numbers, objects, none at all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cornu
from cornu import layers as L
from cornu import losses, metrics, ops

X = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
Y = np.arange(8, dtype="int32") % 3


def model(loss="mse"):
    cornu.utils.set_random_seed(0)
    made = cornu.Sequential([cornu.Input((3,)), L.Dense(1)])
    made.compile("sgd", loss)
    return made


READERS = {
    "fit": lambda x: model().fit(x, x[:, :1], batch_size=4, shuffle=False, verbose=0).history["loss"],
    "generator": lambda x: model().fit(((x, x[:, :1]) for _ in range(2)), verbose=0).history["loss"],
    "weights": lambda x: model().fit(X, X[:, :1], sample_weight=x[:, 0] ** 2, verbose=0).history["loss"],
    "evaluate": lambda x: model().evaluate(x, x[:, :1], verbose=0),
    "predict": lambda x: model().predict(x, verbose=0),
    "call": lambda x: model()(x),
    "batch": lambda x: model().train_on_batch(x, x[:, :1]),
    "metric": lambda x: metrics.MeanSquaredError()(x, x * 2),
    "loss": lambda x: losses.MeanAbsoluteError()(x, x * 2),
    "op": ops.sum,
    "tensor": ops.convert_to_tensor,
    "variable": lambda x: cornu.Variable(x).value,
    "assign": lambda x: (v := cornu.Variable(np.zeros_like(X)), v.assign(x))[0].value,
    "layer": lambda x: L.Rescaling(2.0)(x),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("dtype", [">f4", ">f8", "longdouble", "float64", "O"])
def test_an_array_of_floats_is_what_it_says_in_any_form(reader, dtype):
    if dtype == "O" and reader in ("weights", "loss", "metric", "fit", "evaluate", "batch", "generator"):
        pytest.skip("arithmetic of objects is the test's own")
    np.testing.assert_allclose(np.asarray(READERS[reader](X.astype(dtype))), np.asarray(READERS[reader](X)), rtol=1e-6)


@pytest.mark.parametrize("dtype", [">i2", ">i4", ">i8", ">u2", "int64", "uint64"])
def test_an_array_of_integers_is_what_it_says_in_any_form(dtype):
    tokens, table = Y.astype(dtype), L.Embedding(3, 2)
    np.testing.assert_array_equal(table(tokens), table(Y))
    np.testing.assert_array_equal(ops.one_hot(tokens, 3), np.eye(3)[Y])
    assert metrics.SparseCategoricalAccuracy()(tokens, np.eye(3)[Y]) == 1.0


DATES = np.arange(24).astype("datetime64[D]").reshape(8, 3)
RECORDS = np.zeros((8, 3), [("age", "f4"), ("size", "f4")])
NO_NUMBERS = {"dates": (DATES, "days"), "spans": (DATES - DATES[0], "days"), "records": (RECORDS, "age"),
              "objects": (np.full((8, 3), None, object), "objects|numeric")}


@pytest.mark.parametrize("kind", NO_NUMBERS)
@pytest.mark.parametrize("reader", ["predict", "op", "tensor", "variable"])
def test_what_is_no_number_is_refused_with_what_to_do(kind, reader):
    array, told = NO_NUMBERS[kind]
    if (kind, reader) == ("objects", "predict"):
        pytest.skip("None in a frame is a missing number")
    with pytest.raises(ValueError, match=told):
        READERS[reader](array)


@pytest.mark.parametrize("reader", ["call", "predict", "metric", "loss", "weights"])
def test_complex_numbers_lose_no_part_silently(reader):
    with pytest.raises(ValueError, match="(?i)complex|real numbers"):
        READERS[reader](X.astype("complex64"))


def test_complex_targets_are_refused_by_losses_in_a_step():
    with pytest.raises(ValueError, match="(?i)complex|real numbers"):
        model().fit(X, X[:, :1].astype("complex64"), verbose=0)


# Integers beyond 32 bits ---------------------------------------------------------------------------------------

WIDE = np.array([[2**40 + 1, 5, -(2**33)]] * 8)
TO_FLOAT = {"array": WIDE, "list": WIDE.tolist(), "unsigned": abs(WIDE).astype("uint64"), "other order": WIDE.astype(">i8")}


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype float64")
@pytest.mark.parametrize("form", TO_FLOAT)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_wide_integers_become_the_nearest_floats(form, dtype):
    expected = np.array(TO_FLOAT[form]).astype("float32")
    for convert in (ops.cast, ops.convert_to_tensor):
        np.testing.assert_array_equal(convert(TO_FLOAT[form], dtype), expected)


@pytest.mark.parametrize("reader", ["fit", "predict", "call", "op", "tensor", "generator", "batch", "layer"])
def test_integers_that_would_wrap_are_refused(reader):
    with pytest.raises(OverflowError, match="32 bits"):
        READERS[reader](WIDE)


def test_python_integers_that_would_wrap_are_refused():
    with pytest.raises(OverflowError):
        ops.convert_to_tensor([2**40])


def test_layers_that_count_on_the_host_take_wide_integers():
    assert L.IntegerLookup(vocabulary=[2**40 + 1, 7])(np.array([2**40 + 1]))[0] == 1


# Nothing at all --------------------------------------------------------------------------------------------------

EMPTY = {"lstm": (L.LSTM(2), (0, 3, 2), (0, 2)), "gru": (L.GRU(2, return_sequences=True), (0, 3, 2), (0, 3, 2)),
         "rnn": (L.SimpleRNN(2), (0, 3, 2), (0, 2)), "both ways": (L.Bidirectional(L.LSTM(2)), (0, 3, 2), (0, 4)),
         "cells": (L.RNN([L.GRUCell(2), L.LSTMCell(3)]), (0, 3, 2), (0, 3)),
         "conv lstm": (L.ConvLSTM1D(2, 2), (0, 3, 4, 2), (0, 3, 2)),
         "mean": (L.AveragePooling2D(2), (0, 4, 4, 1), (0, 2, 2, 1)), "max": (L.MaxPooling2D(2), (0, 4, 4, 1), (0, 2, 2, 1)),
         "mean same": (L.AveragePooling1D(2, padding="same"), (0, 5, 1), (0, 3, 1)),
         "mean 3": (L.AveragePooling3D(2), (0, 4, 4, 4, 1), (0, 2, 2, 2, 1)),
         "norm": (L.BatchNormalization(), (0, 4), (0, 4)), "conv": (L.Conv2D(2, 3), (0, 4, 4, 1), (0, 2, 2, 2))}


@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_batch_gives_an_empty_batch_and_a_gradient(name):
    layer, given, expected = EMPTY[name]
    assert layer(jnp.zeros(given)).shape == expected
    assert jax.grad(lambda x: jnp.sum(layer(x)))(jnp.zeros(given)).shape == given


# Limits of floats ------------------------------------------------------------------------------------------------

UNITS = {"normalize": ops.normalize, "order 1": lambda x: ops.normalize(x, order=1),
         "order 3": lambda x: ops.normalize(x, order=3),
         "layer": lambda x: L.UnitNormalization(dtype=x.dtype)(x),
         "cosine": lambda x: -losses.cosine_similarity(jnp.ones_like(x), x), "norm": lambda x: ops.norm(x, axis=-1),
         "dot": lambda x: L.Dot(1, normalize=True, dtype=x.dtype)([x, jnp.ones_like(x)])}


@pytest.mark.parametrize("name", UNITS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("values", [[0.0, 0, 0], [1e-3, 0, 0], [3.0, 4.0, 0.0], [300.0, 400.0, 0.0]])
def test_norms_and_their_gradients_are_finite_in_every_width(name, dtype, values):
    x = jnp.array([values], dtype)
    exact, found = (np.asarray(UNITS[name](jnp.array([values], d)), "float32") for d in ("float32", dtype))
    np.testing.assert_allclose(found, exact, rtol=2e-2)
    assert np.isfinite(np.asarray(jax.grad(lambda v: jnp.sum(UNITS[name](v)).astype("float32"))(x), "float32")).all()


@pytest.mark.parametrize("scale", [1.0, 1e4, 1e10, 1e30])
def test_sparsemax_does_not_depend_on_what_is_added(scale):
    x = jnp.array([scale, scale, -scale])
    np.testing.assert_array_equal(ops.sparsemax(x), [0.5, 0.5, 0])
    np.testing.assert_allclose(jax.grad(lambda v: ops.sparsemax(v) @ jnp.array([1.0, 3.0, 5.0]))(x), [-1, 1, 0])


@pytest.mark.parametrize("weights, wrong", [((0.9, 0.1), 0.1), ((0.2, 0.7), 0.7), ((0.5, 0.5), 0.5)])
def test_tversky_weighs_false_positives_by_alpha_and_false_negatives_by_beta(weights, wrong):
    loss = losses.Tversky(alpha=weights[0], beta=weights[1])
    few, many = np.array([[1.0, 0, 0, 0]]), np.array([[1.0, 1, 1, 0]])
    np.testing.assert_allclose(loss(many, few), 1 - 1 / (1 + 2 * wrong), rtol=1e-5)  # two false negatives
    np.testing.assert_allclose(loss(few, many), 1 - 1 / (1 + 2 * weights[0]), rtol=1e-5)


@pytest.mark.parametrize("axis, shape", [(-1, (2, 3)), ((1, 2), (2, 2, 2))])
def test_softmax_where_everything_is_masked_is_zero_as_keras_has_it(axis, shape):
    np.testing.assert_array_equal(L.Softmax(axis)(np.ones(shape, "float32"), mask=np.zeros(shape, bool)), np.zeros(shape))
