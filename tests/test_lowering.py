"""The CPU's ways against XLA's portable ones: outputs and gradients, then the platform's own switches."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cornu import functional, layers, lowering, ops
from cornu.lowering import backend_options, platform, reduction

RNG = np.random.default_rng(0)


def normal(*shape, dtype="float32"):
    return jnp.asarray(RNG.standard_normal(shape), dtype)


def with_gradients(fn, inputs, where):
    """The output of `fn` and its gradients for all inputs, traced as for a platform."""
    def both(inputs):
        with lowering.lowering_for(where):
            y, pull = jax.vjp(fn, *inputs)
            return y, *pull(jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))
    return jax.jit(both)(inputs)


def agree(fn, *inputs, tolerance=2e-5):
    for ours, xla in zip(with_gradients(fn, inputs, "cpu"), with_gradients(fn, inputs, "plain")):
        assert ours.dtype == xla.dtype
        np.testing.assert_allclose(np.asarray(ours, "float64"), np.asarray(xla, "float64"), tolerance,
                                   tolerance * max(1, np.abs(xla).max(initial=0)))


# shape of x, shape of the kernel, strides, padding, dilation, groups
CONVOLUTIONS = [
    ((2, 9, 8, 5), (3, 3, 5, 4), 1, "valid", 1, 1),
    ((2, 9, 8, 5), (3, 2, 5, 4), 2, "same", 1, 1),
    ((2, 9, 8, 1), (3, 3, 1, 4), (2, 1), "same", 1, 1),
    ((2, 9, 8, 3), (3, 3, 3, 4), 1, "valid", 2, 1),
    ((2, 9, 9, 6), (2, 2, 6, 4), 2, "valid", 1, 1),
    ((2, 9, 8, 5), (3, 3, 5, 4), 1, ((2, 2), (3, 0)), 1, 1),
    ((2, 9, 8, 8), (3, 3, 2, 12), 1, "same", 2, 4),
    ((2, 9, 8, 40), (3, 3, 8, 20), 2, "same", 1, 5),
    ((2, 9, 8, 4), (3, 3, 1, 8), 2, "same", 1, 4),
    ((1, 2, 2, 5), (3, 3, 5, 4), 1, "same", 1, 1),
    ((2, 9, 1), (4, 1, 3), 2, "same", 1, 1),
    ((2, 9, 6), (3, 6, 3), 1, ((4, 0),), 2, 1),
    ((2, 5, 6, 4, 1), (3, 2, 3, 1, 3), 1, "same", 1, 1),
    ((2, 5, 6, 4, 4), (3, 2, 3, 2, 6), 2, "same", 1, 2),
    ((2, 9, 8, 5), (5, 4, 5, 6), (2, 3), "same", 1, 1),
    ((2, 9, 8, 5), (3, 3, 5, 6), 2, ((2, 2), (5, 0)), 1, 1),
    ((2, 9, 8, 5), (3, 3, 5, 6), (1, 2), "valid", 1, 1),
    ((2, 9, 8, 5), (3, 3, 5, 3), 1, "same", 2, 1),
    ((2, 9, 8, 5), (3, 3, 5, 1), 1, ((4, 0), (0, 5)), 1, 1),
    ((2, 9, 8, 5), (3, 3, 5, 17), 1, "same", 1, 1),
    ((2, 11, 5), (3, 5, 6), 2, "same", 1, 1),
    ((2, 7, 6, 5, 5), (3, 3, 3, 5, 6), 2, "same", 1, 1),
    ((2, 9, 8, 16), (3, 3, 8, 16), 1, "same", 1, 2),
    ((2, 9, 8, 18), (2, 3, 6, 15), 1, ((1, 0), (0, 4)), (1, 2), 3),
    ((2, 12, 10), (4, 5, 14), 1, "valid", 1, 2),
    ((2, 4, 6, 4, 10), (2, 2, 2, 5, 12), 1, "same", 1, 2),
    ((2, 6, 8, 9), (3, 2, 9, 7), 1, "valid", 1, 1),
    ((2, 9, 8, 17), (3, 3, 17, 5), 1, "valid", 1, 1),
    ((2, 9, 8, 17), (3, 2, 17, 16), 1, ((2, 2), (3, 0)), 1, 1),
    ((2, 9, 8, 5), (3, 3, 5, 18), 1, "same", (2, 3), 1),
    ((2, 9, 8, 5), (2, 4, 5, 16), 1, ((0, 4), (5, 0)), (3, 2), 1),
    ((40, 24, 24, 16), (3, 3, 16, 16), 1, "same", 1, 1),
    ((11, 13, 13, 16), (3, 3, 8, 16), 1, "same", 1, 2),
    ((8, 7, 5, 16), (3, 3, 8, 10), 1, "valid", 1, 2),
]


@pytest.mark.parametrize("row", CONVOLUTIONS, ids=str)
def test_conv(row):
    x, kernel, *where = row
    agree(lambda x, k: lowering.conv(x, k, *where), normal(*x), normal(*kernel))


@pytest.mark.parametrize("shape, kernel, strides, dilation", [
    ((2, 7, 8, 3), (3, 3, 3, 2), 2, 1), ((2, 7, 8, 3), (5, 2, 3, 1), 1, 2), ((2, 9, 4), (3, 4, 1), 1, 1),
    ((66, 5, 6, 3), (3, 3, 3, 2), 1, 1), ((37, 9, 4), (3, 4, 1), 1, 1)])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_depthwise(shape, kernel, strides, dilation, padding):
    agree(lambda x, k: lowering.depthwise_conv(x, k, strides, padding, dilation), normal(*shape), normal(*kernel))


@pytest.mark.parametrize("window, strides, padding, extra, dilation", [
    (3, 2, "same", None, 1), (2, 3, "valid", None, 1), (3, 2, "same", 1, 1), (3, 1, "valid", 0, 2),
    (4, 2, "valid", 1, 1)])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_conv_transpose(window, strides, padding, extra, dilation, rank):
    x, kernel = normal(2, *(3, 2, 4)[:rank], 5), normal(*(window,) * rank, 4, 5)
    agree(lambda x, k: lowering.conv_transpose(x, k, strides, padding, extra, dilation), x, kernel)


@pytest.mark.parametrize("window, strides", [(2, None), (3, 2), (3, 1), ((1, 5), None), (5, None), (40, 1)])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("pool", [lowering.max_pool, lowering.average_pool])
def test_pool(pool, window, strides, padding):
    if window == 40 and padding == "valid":
        pytest.skip("the window does not fit")
    ties = jnp.round(jax.nn.relu(normal(2, 11, 10, 3)) * 2)  # many equal values: the first one has the gradient
    agree(lambda x: pool(x, window, strides, padding), ties)


@pytest.mark.parametrize("shape", [(2, 9, 3), (2, 5, 6, 4, 2)], ids=str)
@pytest.mark.parametrize("pool", [lowering.max_pool, lowering.average_pool])
def test_pool_of_other_ranks(pool, shape):
    agree(lambda x: pool(x, 2), normal(*shape))
    agree(lambda x: pool(x, 3, 2, "same"), normal(*shape))


def test_average_of_same_padding_by_hand():
    assert lowering.average_pool(jnp.asarray([[[1.0], [2.0], [4.0]]]), 2, 2, "same").ravel().tolist() == [1.5, 4.0]


@pytest.mark.parametrize("fn", [
    lambda x, k: lowering.conv(x, k, 2, "same", data_format="channels_first"),
    lambda x, k: lowering.conv_transpose(x, jnp.swapaxes(k, -1, -2), 2, "same", data_format="channels_first"),
    lambda x, k: lowering.max_pool(x, 2, data_format="channels_first") * k.sum(),
    lambda x, k: lowering.average_pool(x, 3, 2, "same", data_format="channels_first") * k.sum(),
    lambda x, k: lowering.bias_add(x, k[0, 0, 0], "channels_first")],
    ids=["conv", "transpose", "max", "average", "bias"])
def test_channels_first(fn):
    agree(fn, normal(2, 6, 7, 8), normal(3, 3, 6, 6))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_low_precision(dtype):
    x, kernel = normal(2, 8, 8, 4, dtype=dtype), normal(3, 3, 4, 4, dtype=dtype)
    agree(lambda x, k: lowering.max_pool(lowering.conv(x, k, 1, "same"), 2), x, kernel, tolerance=2e-2)


def test_empty_and_tiny():
    kernel = normal(3, 3, 4, 5)
    assert lowering.conv(jnp.zeros((0, 8, 8, 4)), kernel, 1, "same").shape == (0, 8, 8, 5)
    assert lowering.max_pool(jnp.zeros((0, 8, 8, 4)), 2).shape == (0, 4, 4, 4)
    assert lowering.conv(normal(1, 1, 1, 4), kernel, 1, "same").shape == (1, 1, 1, 5)
    assert jax.eval_shape(lambda x: lowering.conv(x, kernel, 2), jnp.zeros((3, 9, 9, 4))).shape == (3, 4, 4, 5)


@pytest.mark.parametrize("fn", [lambda x, k: lowering.conv(x, k, 2, "same"),
                                lambda x, k: lowering.conv_transpose(x, k, 2, "same"),
                                lambda x, k: lowering.average_pool(x, 3, 2) * k.sum()],
                         ids=["conv", "transpose", "pool"])
def test_second_order(fn):
    def curvature(x, kernel):
        return jnp.sum(jax.grad(lambda k: jnp.sum(fn(x, k) ** 3))(kernel) ** 2)
    agree(jax.grad(curvature), normal(2, 6, 6, 3), normal(3, 3, 3, 3), tolerance=1e-4)


def test_vmap():
    x, kernel = normal(3, 2, 7, 7, 4), normal(3, 3, 4, 5)
    each = jnp.stack([lowering.conv(a, kernel) for a in x])
    np.testing.assert_allclose(jax.vmap(lambda a: lowering.conv(a, kernel))(x), each, 1e-5, 1e-5)


def test_conv_and_pool_match_the_real_keras():
    keras = pytest.importorskip("keras")
    x, kernel = np.asarray(normal(2, 9, 8, 3)), np.asarray(normal(3, 3, 3, 4))
    for strides, padding in [(1, "valid"), (2, "same")]:
        np.testing.assert_allclose(lowering.conv(x, kernel, strides, padding),
                                   keras.ops.conv(x, kernel, strides, padding, "channels_last"), 1e-5, 1e-5)
        np.testing.assert_allclose(lowering.average_pool(x, 3, strides, padding),
                                   keras.ops.average_pool(x, 3, strides, padding, "channels_last"), 1e-5, 1e-5)


@pytest.mark.parametrize("padding, extra", [("valid", None), ("same", None), ("same", 1), ("same", 0), ("valid", 1)])
@pytest.mark.parametrize("window", [2, 3, 4, 5])
def test_conv_transpose_matches_the_real_keras(window, padding, extra):
    keras = pytest.importorskip("keras")
    x, kernel = np.asarray(normal(2, 4, 3)), np.asarray(normal(window, 2, 3))
    for strides in (2, 3):
        theirs = keras.ops.conv_transpose(x, kernel, strides, padding, extra, "channels_last")
        ours = lowering.conv_transpose(x, kernel, strides, padding, extra)
        np.testing.assert_allclose(ours, theirs, 1e-5, 1e-5)


def test_sum_leading_and_bias():
    agree(lambda x, b: lowering.bias_add(x, b) ** 2, normal(3, 4, 5, 6), normal(6))
    agree(lambda x: lowering.sum_leading(x), normal(3, 4, 5, 6))


@pytest.mark.parametrize("size", [1, 9, 127, 256, 21632])
@pytest.mark.parametrize("axis, before, after", [(0, (), (7,)), (1, (12,), (5, 16)), (2, (3, 2), (40,))])
def test_sums_and_largest_across(size, axis, before, after):
    x, y = (np.asarray(normal(*before, size, *after)) for _ in range(2))
    one = y.take([0], axis)
    total = reduction.across(lambda x, y, one: x * y - one, axis, x, y, one)
    np.testing.assert_allclose(total, np.sum(np.float64(x) * y - one, axis, keepdims=True), 1e-5, 2e-6 * size)
    largest = reduction.across(lambda x, one: jnp.where(x > 0.5, one, x), axis, x, one, two=jnp.maximum)
    np.testing.assert_array_equal(largest, np.max(np.where(x > 0.5, one, x), axis, keepdims=True))


@pytest.mark.parametrize("shape", [(4, 28, 4, 40), (3, 13, 13, 32), (2, 31, 211), (70, 7, 5, 3, 8)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_channel_means(shape, keepdims):
    agree(lambda x: reduction.channel_means(x, tuple(range(1, x.ndim - 1)), keepdims), normal(*shape))


def test_moments_and_affine():
    def normalized(x, scale, shift):
        mean, variance = lowering.moments(x)
        return lowering.affine(x, mean, scale / jnp.sqrt(variance + 1e-3), shift) * (1 + mean + variance)
    agree(normalized, normal(3, 4, 5, 6), normal(6), normal(6))
    agree(normalized, normal(30, 6), normal(6), normal(6))


@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"mask": True}, {"mask": True, "scale": 0.3}], ids=str)
@pytest.mark.parametrize("heads, shared", [(4, 4), (4, 2)])
def test_attention(heads, shared, options):
    if "mask" in options:
        options = {**options, "mask": RNG.random((2, 1, 5, 7)) < 0.6}  # some queries may see nothing at all
    keys = normal(2, 5 if options.get("is_causal") else 7, shared, 3)
    agree(lambda q, k, v: ops.dot_product_attention(q, k, v, **options), normal(2, 5, heads, 3), keys, keys * 0.5 + 1)


@pytest.mark.parametrize("batch, length", [(1, 400), (3, 300), (70, 64)])
@pytest.mark.parametrize("mask", [False, True])
def test_causal_attention_in_parts(batch, length, mask):
    mask = (RNG.random((1, 1, length, length)) < 0.6) | np.eye(length, dtype=bool) if mask else None
    agree(lambda q, k, v: ops.dot_product_attention(q, k, v, mask=mask, is_causal=True),
          *(normal(batch, length, 2, 4) * scale for scale in (1, 1, 0.5)))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("mask", [None, (1, 1), (3, 2)])
def test_attention_in_two_parts_of_the_batch(batch, mask):
    mask = mask and RNG.random((min(batch, mask[0]), mask[1], 300, 310)) < 0.6
    keys = normal(batch, 310, 2, 4)
    agree(lambda q, k, v: ops.dot_product_attention(q, k, v, mask=mask), normal(batch, 300, 2, 4), keys, keys * 0.5 + 1)


LABELS = RNG.integers(0, 96, 500)


@pytest.mark.parametrize("fn", [
    ops.softmax, lambda x: ops.gelu(x, False), ops.gelu, lambda x: ops.sparse_categorical_crossentropy(LABELS, x, from_logits=True),
    lambda x: ops.sparse_categorical_crossentropy(LABELS, x * x), lambda x: ops.categorical_crossentropy(x[::-1] ** 2, x * x),
])
def test_many_classes(fn):
    agree(fn, 0.3 + normal(500, 96), tolerance=1e-4)


@pytest.mark.parametrize("fn", [ops.softmax, ops.gelu])
def test_many_classes_of_arrays_of_more_axes(fn):
    agree(fn, 0.3 + normal(5, 100, 148)[..., :96], tolerance=1e-4)


def test_the_first_largest():
    x = np.asarray(normal(1000, 64)).round()  # with many ties
    place = RNG.integers(-2, 66, 1000)
    place[:400] = x[:400].argmax(-1)
    np.testing.assert_array_equal(lowering.is_largest(jnp.asarray(x), jnp.asarray(place)), place == x.argmax(-1))
    wrong = lowering.is_largest(jnp.asarray(x).at[:, 3].set(np.nan), jnp.asarray(place + 0.5))
    assert not wrong.any() and lowering.is_largest(jnp.asarray(x), x.argmax(-1).astype("float32")).all()


@pytest.mark.parametrize("layer, shape", [
    (layers.LayerNormalization(), (30, 5, 256)), (layers.RMSNormalization(), (30, 5, 96)),
    (layers.LayerNormalization(), (3, 5, 6)), (layers.LayerNormalization(axis=(1, 2)), (3, 5, 6)),
    (layers.LayerNormalization(center=False), (4, 6)), (layers.GroupNormalization(3), (2, 4, 5, 6)),
    (layers.GroupNormalization(1), (2, 4, 6)), (layers.GroupNormalization(2, scale=False), (2, 4, 6)),
    (layers.Dense(7), (600, 5)), (layers.EinsumDense("abc,cde->abde", (300, 2, 3)), (2, 300, 4)),
    (layers.EinsumDense("abcd,cde->abe", (300, 3)), (2, 300, 4, 2)),
], ids=lambda x: getattr(x, "name", str(x)))
def test_layers_in_the_texts_of_the_cpu(layer, shape):
    layer.build(shape)
    pure = functional(layer, layer.trainable_variables)
    agree(lambda x, *weights: pure(weights, x)[0], 3 * normal(*shape) + 2, *[1 + normal(*w.shape) for w in layer.weights])


def test_projections_of_one_array_are_one_product():
    layer = layers.MultiHeadAttention(2, 3, value_dim=4)
    layer.build((2, 300, 5), (2, 300, 5))
    pure = functional(lambda x: layer(x, x), layer.trainable_variables)
    *before, key_bias = [normal(*w.shape) for w in layer.weights[:4]]  # a key's bias has no gradient, only rounding
    after = [normal(*w.shape) for w in layer.weights[4:]]
    agree(lambda x, *weights: pure([*weights[:3], key_bias, *weights[3:]], x)[0], normal(2, 300, 5), *before, *after)
    count = lambda y: str(jax.make_jaxpr(lambda x: layer(x, y(x)))(normal(2, 3, 5))).count("dot_general")
    assert count(lambda x: x) == count(lambda x: x + 0) - 2


def test_gpu_text_is_the_portable_one():
    trace = lambda: str(jax.make_jaxpr(lambda x, k: lowering.conv(x, k, 2))(normal(1, 8, 8, 2), normal(3, 3, 2, 4)))
    with lowering.lowering_for("gpu"):
        assert "custom_vjp" not in trace() and "conv_general_dilated" in trace()


def test_options_that_xla_does_not_know_are_left_out(monkeypatch):
    monkeypatch.setattr(platform, "_KNOWN_VERSIONS", ())
    monkeypatch.setattr(platform, "_CPU_OPTIONS", {"xla_cpu_no_such_thing": "1", "xla_cpu_enable_fast_math": False})
    assert lowering.compiler_options("cpu") == {"xla_cpu_enable_fast_math": False}
    assert lowering.compiler_options("gpu") == {}


def test_options_of_the_map_reach_xla(tmp_path):
    options = {"xla_cpu_disable_tiled_emitter": True, "--unroll-full-max-count=8": True, "xla_cpu_prefer_vector_width": 128,
               "xla_dump_to": str(tmp_path)}
    assert jax.jit(lambda x: x.T + 1).lower(normal(3, 5)).compile(options)(normal(3, 5)).shape == (5, 3)
    told = next(tmp_path.glob("*debug_options")).read_text()
    for line in ('key: "xla_cpu_disable_tiled_emitter"', 'key: "--unroll-full-max-count=8"', "xla_cpu_prefer_vector_width: 128"):
        assert line in told


def test_options_of_the_map_are_told_where_they_can_be(monkeypatch):
    tiled = lambda fn, *shape: "xla_cpu_disable_tiled_emitter" not in lowering.options_for(jax.make_jaxpr(fn)(normal(*shape)).jaxpr)
    assert tiled(lambda x: jax.lax.conv(x, normal(2, 8, 3), (1,), "SAME"), 1, 8, 8)
    assert tiled(jnp.transpose, 1024, 1024) and not tiled(jnp.transpose, 128, 64)
    monkeypatch.delattr("jax._src.compiler.get_compile_options")
    assert not backend_options.take_backend_options({"xla_cpu_disable_tiled_emitter": True})


def test_long_loops_are_written_out_only_where_a_sum_needs_it(monkeypatch):
    def kept(shape, axes):
        program = jax.make_jaxpr(lambda x: jax.jit(jnp.sum, static_argnums=1)(x, axes))(jnp.zeros(shape))
        return "--unroll-full-max-count=8" in lowering.options_for(program.jaxpr)
    monkeypatch.setattr(lowering.platform, "is_known_version", lambda: True)
    assert kept((512, 512), (1,)) and kept((8, 32, 512), (0,)) and kept((32, 512), (0,)) and kept((64, 64, 64), (1, 2))
    assert not kept((512, 512), (0,)) and not kept((4, 4, 64, 512), (0, 1))
    monkeypatch.setattr(lowering.platform, "is_known_version", lambda: False)  # of another XLA, whose LLVM may not know it
    assert not kept((512, 512), (1,))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc")
def test_the_malloc_switch():
    code = "from cornu.lowering import prepare_cpu; print(prepare_cpu())"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                         env={**os.environ, "CORNU_MALLOC": "0", "JAX_PLATFORMS": "cpu",
                              "PYTHONPATH": os.pathsep.join(sys.path)})
    assert run.stdout.strip() == "False", run.stderr


@pytest.mark.parametrize("bias", [None, 12], ids=["", "bias"])
@pytest.mark.parametrize("apart", [False, True])
def test_recurrence_matches_the_gradient_of_a_plain_loop(bias, apart):
    from cornu.lowering.rnn import recurrence

    def step(parts, valid, states):
        (h, c), (x,), (u,) = states, parts[0], parts[-1]
        c = jnp.tanh(c) * jax.nn.sigmoid(x)[:, :3] + jnp.tanh(u[:, 3:6] * x[:, 6:9])
        return [jnp.tanh(c + h), c], c * 2

    def plain(z, h, c, kernel, bias):
        def body(states, x):
            u = states[0] @ kernel + (0 if bias is None else bias)
            return step(([x], [u]) if apart else ([x + u],), None, states)
        return jax.lax.scan(body, [h, c], z)

    def total(fn):
        def run(*inputs):
            states, outputs = fn(*inputs[:4], inputs[4] if bias else None)
            return outputs + sum(states)
        return run
    inputs = [normal(5, 2, 12), normal(2, 3), normal(2, 3), 0.3 * normal(3, 12)] + ([normal(12)] if bias else [])
    ours = with_gradients(total(lambda z, h, c, k, b: recurrence(step, z, None, [h, c], k, b, apart=apart)), inputs, "cpu")
    for a, b in zip(ours, with_gradients(total(plain), inputs, "plain")):
        np.testing.assert_allclose(a, b, 1e-4, 1e-5)
