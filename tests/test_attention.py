"""Many-headed attention against Keras, and what must be true of attention whatever the numbers."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import cornu
from cornu.layers import Attention, GroupQueryAttention, MultiHeadAttention

RNG = np.random.default_rng(0)
Q, V, K = (RNG.normal(size=s).astype("float32") for s in ((2, 5, 4), (2, 6, 3), (2, 6, 4)))
IMAGES = RNG.normal(size=(2, 3, 4, 5)).astype("float32")
SEEN = RNG.random((2, 5, 6)) > 0.3
SEEN[..., 0] = True
VALID = np.array([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]], bool)

MHA, GQA = dict(num_heads=2, key_dim=3), dict(head_dim=3, num_query_heads=4, num_key_value_heads=2)
CALLS = [{}, dict(attention_mask=SEEN), dict(value_mask=VALID, use_causal_mask=True), dict(return_attention_scores=True),
         dict(key_mask=VALID, attention_mask=SEEN, return_attention_scores=True)]
CASES = [("MultiHeadAttention", {**MHA, **kw}, (Q, V, K), call) for kw in ({}, dict(sliding_window=2)) for call in CALLS]
CASES += [("MultiHeadAttention", {**MHA, **kw}, (Q, V, K), {}) for kw in (
    dict(use_bias=False), dict(output_shape=7), dict(output_shape=(3, 2)), dict(use_gate=True),
    dict(kernel_regularizer="l2", activity_regularizer="l2"))]
CASES += [("MultiHeadAttention", {**MHA, "value_dim": 2}, (Q, V), dict(return_attention_scores=True))]
CASES += [("GroupQueryAttention", GQA, (Q, V, K), call) for call in CALLS]
CASES += [("GroupQueryAttention", {**GQA, **kw}, (Q, V), {}) for kw in (
    dict(use_gate=True), dict(sliding_window=1), dict(use_bias=False, activity_regularizer="l1"))]
CASES += [(name, {**kw, "dropout": 0.4, "seed": 1}, (Q, V), call) for name, kw in (
    ("MultiHeadAttention", MHA), ("GroupQueryAttention", GQA)) for call in (dict(training=True), {})]
CASES += [("MultiHeadAttention", {**MHA, "attention_axes": axes}, (IMAGES, IMAGES), dict(return_attention_scores=scores))
          for axes in (None, (1, 2), (2,), 1) for scores in (False, True)]
CASES += [("MultiHeadAttention", {**MHA, "attention_axes": (2,)}, (IMAGES, IMAGES),
           dict(attention_mask=np.tril(np.ones((2, 4, 4), bool))))]


def close(a, b, tolerance=1e-5):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name, kwargs, inputs, call", CASES, ids=lambda x: ",".join(x) if isinstance(x, dict) else None)
def test_equal_to_keras(name, kwargs, inputs, call):
    ours, theirs = (getattr(library.layers, name)(**kwargs) for library in (cornu, keras))
    theirs.build(*(x.shape for x in inputs)), ours.build(*(x.shape for x in inputs))
    theirs.set_weights([RNG.normal(size=w.shape) * 0.4 for w in theirs.weights])
    ours.set_weights(theirs.get_weights())
    assert [w.path.split("/")[1:] for w in ours.weights] == [w.path.split("/")[1:] for w in theirs.weights]
    close(ours(*inputs, **call), theirs(*inputs, **call))
    close(sum(ours.losses), np.asarray(sum(theirs.losses)))
    symbolic = ours(*(cornu.KerasTensor((None, *x.shape[1:])) for x in inputs))
    assert symbolic.shape == (None, *jax.tree.leaves(theirs(*inputs, **call))[0].shape[1:])


@pytest.mark.parametrize("name, kwargs", [("MultiHeadAttention", {**MHA, "use_gate": True}), ("GroupQueryAttention", GQA)])
def test_configs_are_keras_s(name, kwargs):
    ours, theirs = (getattr(library.layers, name)(**kwargs, name="a") for library in (cornu, keras))
    mine, other = cornu.registry.serialize(ours), keras.layers.serialize(theirs)
    assert mine["class_name"] == other["class_name"] and mine["module"] == other["module"]
    assert {"activity_regularizer": None, **mine["config"]} == other["config"]
    assert cornu.registry.deserialize(other).get_config() == mine["config"]
    assert keras.layers.deserialize(mine).get_config() == other["config"]


@pytest.mark.parametrize("layer", [MultiHeadAttention(**MHA), GroupQueryAttention(**GQA)], ids=lambda x: type(x).__name__)
def test_what_is_masked_has_no_influence(layer):
    x = jnp.asarray(Q)
    causal = lambda x: layer(x, x, use_causal_mask=True)[:, :3]  # noqa: E731
    close(causal(x), causal(x.at[:, 3:].set(9.0)))
    padded = lambda v: layer(x, v, value_mask=jnp.asarray(VALID))[0]  # noqa: E731
    close(padded(K), padded(np.where(VALID[..., None], K, 9.0)))
    slid = type(layer).from_config({**layer.get_config(), "sliding_window": 2})
    gradient = jax.grad(lambda x: slid(x, x)[0, 0].sum())(x)
    assert np.abs(gradient[0, 2:]).max() == 0 < np.abs(gradient[0, :2]).min()


def test_a_query_that_sees_nothing_stays_finite():
    nothing = np.zeros((2, 5, 5), bool)
    for layer in (MultiHeadAttention(**MHA), GroupQueryAttention(**GQA)):
        gradient = jax.grad(lambda x, layer=layer: layer(x, x, attention_mask=nothing).sum())(jnp.asarray(Q))
        assert np.isfinite(gradient).all()
        assert np.abs(layer(Q, Q, attention_mask=nothing, return_attention_scores=True)[1]).max() == 0


def test_masks_of_inputs_are_used_and_handed_on():
    tokens = np.array([[1, 2, 0, 0]])
    x = cornu.layers.Embedding(5, 4, mask_zero=True)(tokens)
    layer = MultiHeadAttention(**MHA)
    output = layer(x, x)
    assert np.array_equal(output._keras_mask, tokens != 0)
    close(output[:, :2], layer(x[:, :2], x[:, :2]))


def test_values_may_be_of_another_size_than_keys():
    layer = MultiHeadAttention(**MHA, value_dim=2)
    close(layer(Q, V), layer(Q, V, return_attention_scores=True)[0])


def test_under_mixed_precision():
    layer = MultiHeadAttention(**MHA, dtype="mixed_bfloat16")
    output, scores = layer(Q, V, return_attention_scores=True)
    assert output.dtype == scores.dtype == "bfloat16" and {w._value.dtype.name for w in layer.weights} == {"float32"}
    close(np.asarray(output, "float32"), np.asarray(layer(Q, V), "float32"), 3e-2)


@pytest.mark.parametrize("make, message", [
    (lambda: Attention()(Q), r"takes a list \[query, value\]"),
    (lambda: Attention()([Q, K], mask=VALID), "takes a mask as a list"),
    (lambda: Attention(score_mode="general"), "score_mode"),
    (lambda: Attention(dropout=2), "between 0 and 1"),
    (lambda: MultiHeadAttention(0, 3), "num_heads"),
    (lambda: MultiHeadAttention(2, 3, sliding_window=0), "sliding_window"),
    (lambda: MultiHeadAttention(2, 3, dropout=0.1, flash_attention=True), "flash attention cannot drop weights"),
    (lambda: MultiHeadAttention(2, 3, flash_attention=True)(Q, Q, return_attention_scores=True), "never forms the scores"),
    (lambda: MultiHeadAttention(2, 3)(Q, V, V[:, :2]), "value and key must have the same shape"),
    (lambda: MultiHeadAttention(2, 3)(Q[0], V[0]), r"of shape \(batch, length, dim\)"),
    (lambda: GroupQueryAttention(4, 5, 2), "num_query_heads must be divisible"),
    (lambda: MultiHeadAttention(2, 3)(Q, Q, attention_mask=np.ones((1, 1, 99), bool)), "a mask of shape .*99"),
    (lambda: cornu.ops.dot_product_attention(*np.ones((2, 2, 6, 2, 4)), np.ones((2, 5, 2, 4))), "must agree in batch, length"),
])
def test_errors_say_what_is_wrong(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("axes", [None, (1,), (2,), (1, 2)])
def test_the_equations_that_subclasses_read(axes):
    x = np.random.default_rng(0).normal(size=(2, 5, 3) if axes is None else (2, 5, 4, 3)).astype("float32")
    layer = MultiHeadAttention(2, 4, attention_axes=axes, output_shape=3)
    result, scores = layer(x, x, return_attention_scores=True)
    query, key, value = layer._query_dense(x), layer._key_dense(x), layer._value_dense(x)
    products = jnp.einsum(layer._dot_product_equation, key, query / 2)
    kept = scores.shape[:-len(layer._axes)]
    weights = jax.nn.softmax(products.reshape((*kept, -1)), -1).reshape(products.shape)
    assert np.allclose(weights, scores, atol=1e-5)
    again = layer._output_dense(jnp.einsum(layer._combine_equation, weights, value))
    assert np.allclose(again, result, atol=1e-5)


@pytest.mark.parametrize("make", [lambda: MultiHeadAttention(2, 4),
                                  lambda: GroupQueryAttention(4, 2, 2)])
@pytest.mark.parametrize("rank", [2, 3, 4])
def test_masks_of_fewer_axes_in_what_subclasses_call(make, rank):
    x, mask = np.random.default_rng(0).normal(size=(5, 5, 3)), np.tri(5)
    layer = make()
    want = layer(x, x, attention_mask=mask[None])
    parts = layer._query_dense(x), layer._key_dense(x), layer._value_dense(x)
    found = layer._compute_attention(*parts, attention_mask=mask.reshape((1,) * (rank - 2) + (5, 5)))
    assert np.allclose(layer._output_dense(found[0]), want, atol=1e-5)
