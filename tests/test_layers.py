"""The properties of every layer, over the rows of tests/layer_table.py; the real Keras is the oracle."""

import collections
import functools
import inspect
import json

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from layer_table import ROWS as ROWS_A
from layer_table import TRAINING
from layer_table_b import ROWS_B, is_long
from layer_table_text import ROWS_TEXT

import cornu
from cornu.testing import check_layer

ROWS = [*ROWS_A, *ROWS_B, *ROWS_TEXT]
every_row = pytest.mark.parametrize(
    "row", [pytest.param(r, marks=[pytest.mark.long] * is_long(r)) for r in ROWS], ids=str, scope="class")


def kwargs_of(row, library):
    """The row's arguments; functions of `keras` are given the library."""
    return {k: v(library) if getattr(getattr(v, "__code__", None), "co_varnames", ()) == ("keras",) else v
            for k, v in row.kwargs.items()}


def made(row, library):
    """The row's layer, of Keras or cornu."""
    return getattr(library.layers, row.name)(**kwargs_of(row, library))


@functools.lru_cache(maxsize=None)
def inputs_of(row_id):
    """The row's inputs and masks, the same each time."""
    row = BY_ID[row_id]
    rng = np.random.default_rng(0)
    shapes = row.shape if isinstance(row.shape, list) else [row.shape]
    values = [rng.integers(0, row.high, s).astype("int32") if row.high else rng.normal(size=s).astype("float32")
              for s in shapes]
    masks = [rng.random(s[:2]) > 0.4 for s in shapes] if row.mask else [None] * len(shapes)
    for mask in masks:
        if mask is not None:
            mask[:, 0] = True
    return values, masks


BY_ID = {str(r): r for r in ROWS}
assert len(BY_ID) == len(ROWS), "two rows are the same"


def random_weights(layer):
    """Weights that leave nothing hidden: no zeros and ones; variances positive."""
    rng = np.random.default_rng(1)
    return [(np.abs(v) + 0.5 if "stddev" in w.path or "variance" in w.path else v).astype("float32")
            for w in layer.weights for v in [rng.normal(size=w.shape) * 0.5]]


def run(layer, library, row, values, masks):
    """Call the layer on inputs that carry their masks; the call takes a list where the row has one."""
    call = dict(row.call)
    if masks[0] is not None:
        if "mask" in inspect.signature(layer.call).parameters and not isinstance(row.shape, list):
            call["mask"] = jnp.asarray(masks[0])
        else:
            values = [jnp.array(v) for v in values]
            for value, mask in zip(values, masks):
                if not isinstance(value, jax.core.Tracer):
                    value._keras_mask = jnp.asarray(mask)
    return layer(list(values) if isinstance(row.shape, list) else values[0], **call)


def weighted(outputs):
    """A number that depends on every output, and on each in its own way."""
    total = 0.0
    for x in jax.tree.leaves(outputs):
        if jnp.issubdtype(x.dtype, jnp.floating):
            total += jnp.sum(x * jnp.cos(jnp.arange(x.size, dtype="float32")).reshape(x.shape).astype(x.dtype))
    return total


def rewind(layer):
    """Set all seeds back to their start."""
    for v in layer.variables:
        if v.name == "seed_generator_state":
            v.assign(np.array([np.asarray(v)[0], 0], "uint32"))


def described(layer):
    trained = {id(w) for w in layer.trainable_weights}
    return [(w.name, tuple(w.shape), id(w) in trained) for w in layer.weights]


class Oracle:
    """What Keras says of a row."""

    def __init__(self, row):
        self.layer = layer = made(row, keras)
        self.values, self.masks = inputs_of(str(row))
        layer.build([v.shape for v in self.values] if isinstance(row.shape, list) else self.values[0].shape) \
            if type(layer).build is not keras.layers.Layer.build else None
        if not layer.built or row.call:
            run(layer, keras, row._replace(call={}), self.values, self.masks)
        if layer.weights:
            layer.set_weights(random_weights(layer))
            getattr(layer, "finalize_state", lambda: None)()  # Normalization keeps its moments apart from its weights
        self.names = described(layer)
        self.weights = layer.get_weights()
        rewind(layer)
        self.gradients = self._gradients(row) if row.grad else None
        rewind(layer)
        self.outputs = run(layer, keras, row, self.values, self.masks)
        self.losses = [np.asarray(x) for x in layer.losses]
        self.after = layer.get_weights()

    def _gradients(self, row):
        layer = self.layer
        others = [v.value for v in layer.non_trainable_variables]
        floats = [v for v in self.values if v.dtype.kind == "f"]

        def loss(weights, floats):
            with keras.StatelessScope(list(zip(layer.trainable_variables, weights))
                                      + list(zip(layer.non_trainable_variables, others))):
                return weighted(run(layer, keras, row, floats or self.values, self.masks))

        return jax.grad(loss, (0, 1))([v.value for v in layer.trainable_variables], floats)


@functools.lru_cache(maxsize=4)  # the tests of a row follow one another
def oracle(row_id):
    return Oracle(BY_ID[row_id])


def ours(row):
    """cornu's layer of the row with the weights that Keras's had, seeds at their start."""
    layer = made(row, cornu)
    values, masks = inputs_of(str(row))
    run(layer, cornu, row._replace(call={}), values, masks)
    layer.set_weights(oracle(str(row)).weights)
    rewind(layer)
    return layer


def close(ours, theirs, tolerance, what=""):
    assert len(jax.tree.leaves(ours)) == len(jax.tree.leaves(theirs)), what
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs)):
        a, b = np.asarray(a, "float32"), np.asarray(b, "float32")
        scale = max(1.0, float(np.abs(b).max(initial=0)))
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale, err_msg=what)


KERAS_FORGETS = {"SimpleRNN": ("seed",), "CategoryEncoding": ("sparse",)}  # arguments that its configs leave out


def plain(config, lost=()):
    """A config as JSON would give it back, without names and entries that are None, or that are lost."""
    config = {k: v for k, v in config.items() if k not in lost}

    def clean(value):
        if isinstance(value, dict) and value.get("class_name") == "DTypePolicy":
            return value["config"]["name"]
        if isinstance(value, dict):
            return {k: clean(v) for k, v in value.items() if v is not None and k not in ("name", "registered_name")
                    and not (k == "build_config")}
        if isinstance(value, float):  # Keras keeps some factors in float32
            return float(f"{value:.6g}")
        return [clean(v) for v in value] if isinstance(value, list) else value

    return clean(json.loads(json.dumps(config)))


@every_row
class TestRow:
    def test_numbers(self, row):
        """Outputs, masks, losses and the state afterwards are Keras's; so are the weights' names, shapes and order."""
        expected, layer = oracle(str(row)), ours(row)
        assert described(layer) == expected.names
        outputs = run(layer, cornu, row, expected.values, expected.masks)
        close(outputs, expected.outputs, row.tolerance, "outputs")
        for a, b in zip(jax.tree.leaves(outputs), jax.tree.leaves(expected.outputs)):
            assert a.dtype == b.dtype
            if row.mask or hasattr(b, "_keras_mask"):
                close(getattr(a, "_keras_mask", None), getattr(b, "_keras_mask", None), 0, "mask")
        close([float(x) for x in layer.losses], expected.losses, row.tolerance, "losses")
        if row.name != "SpectralNormalization" or not row.call:
            close(layer.get_weights(), expected.after, row.tolerance, "weights afterwards")

    def test_gradients_under_jit(self, row):
        """The compiled gradients by weights and inputs are Keras's."""
        if not row.grad:
            return
        expected, layer = oracle(str(row)), ours(row)
        trained, floats = layer.trainable_variables, [v for v in expected.values if v.dtype.kind == "f"]
        others = [v for v in layer.variables if all(v is not t for t in trained)]

        def loss(weights, floats, rest):
            call = lambda: weighted(run(layer, cornu, row, floats or expected.values, expected.masks))  # noqa: E731
            return cornu.functional(call, [*trained, *others])([*weights, *rest])[0]

        gradients = jax.jit(jax.grad(loss, (0, 1)))([v.value for v in trained], floats, [v.value for v in others])
        close(gradients, expected.gradients, 3 * row.tolerance, "gradients")

    def test_config(self, row):
        """The config is Keras's, and each library reads the other's."""
        mine, theirs = made(row, cornu), made(row, keras)
        config, other = mine.get_config(), theirs.get_config()
        lost = KERAS_FORGETS.get(row.name, ())
        assert plain(config, lost) == plain(other)
        assert plain(type(theirs).from_config(json.loads(json.dumps(config))).get_config()) == plain(other)
        assert plain(type(mine).from_config(json.loads(json.dumps(other))).get_config(), lost) == plain(config, lost)


# properties of some rows only --------------------------------------------------------------------------------------


def _first_rows_of_a_layer():
    """The first two rows of each layer by default, the others among the long tests."""
    seen = collections.Counter()
    for row in ROWS:
        seen[row.name] += 1
        yield pytest.param(row, id=str(row), marks=() if seen[row.name] <= 2 else pytest.mark.long)


@pytest.mark.parametrize("row", list(_first_rows_of_a_layer()))
def test_what_holds_of_any_layer(row):
    """The properties that need no oracle: see cornu.testing."""
    values, _ = inputs_of(str(row))
    check_layer(getattr(cornu.layers, row.name), kwargs_of(row, cornu), row.shape,
                inputs=values if isinstance(row.shape, list) else values[0], call_kwargs=row.call)


def _both_layouts():
    for row in ROWS:
        parameters = inspect.signature(getattr(cornu.layers, row.name).__init__).parameters
        if "data_format" in parameters and "data_format" not in row.kwargs and not isinstance(row.shape, list) \
                and len(row.shape) > 2 and not row.mask and row.name != "Flatten" and "dropout" not in row.kwargs \
                and not callable(row.kwargs.get("layer")):
            yield row


@pytest.mark.parametrize("row", list(_both_layouts()), ids=str)
def test_channels_first_is_channels_last_transposed(row):
    values, _ = inputs_of(str(row))
    last = made(row, cornu)
    first = made(row._replace(kwargs={**row.kwargs, "data_format": "channels_first"}), cornu)
    axis = 2 if "ConvLSTM" in row.name else 1
    moved = np.moveaxis(values[0], -1, axis)
    expected, _ = last(values[0]), first(moved)
    first.set_weights(last.get_weights())
    outputs = first(moved, **row.call)
    expected = last(values[0], **row.call)
    for a, b in zip(jax.tree.leaves(outputs), jax.tree.leaves(expected), strict=True):
        spatial = b.ndim > 2
        close(a, jnp.moveaxis(b, -1, a.ndim - (values[0].ndim - axis)) if spatial else b, row.tolerance)


@pytest.mark.parametrize("row", ROWS[::15], ids=str)
def test_no_tracer_leaks(row):
    layer, (values, masks) = made(row, cornu), inputs_of(str(row))
    run(layer, cornu, row, values, masks)
    pure = cornu.functional(lambda: run(layer, cornu, row, values, masks), layer.variables)
    with jax.checking_leaks():
        jax.jit(pure)([v.value for v in layer.variables])


@pytest.mark.parametrize("name", sorted({r.name for r in ROWS_A if r.call == TRAINING and "seed" in r.kwargs}))
def test_noise_is_new_each_time_and_the_same_for_a_seed(name):
    row = next(r for r in ROWS if r.name == name and "seed" in r.kwargs)
    values, _ = inputs_of(str(row))
    one, two = made(row, cornu), made(row, cornu)
    first, second = one(values[0], **TRAINING), one(values[0], **TRAINING)
    np.testing.assert_array_equal(first, two(values[0], **TRAINING))
    assert not np.array_equal(first, second)


# what the table cannot say -----------------------------------------------------------------------------------------


X = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")


def test_einsum_dense_takes_the_bias_of_an_axis_of_the_input():
    layer = cornu.layers.EinsumDense("abc,bd->adc", (3, None), bias_axes="dc")
    assert layer(np.ones((2, 4, 5))).shape == (2, 3, 5) and layer.bias.shape == (3, 5)


@pytest.mark.parametrize("axis", [1, 2, [1, 2], [0, 2]])
def test_rms_normalization_over_any_axis(axis):
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    layer = cornu.layers.RMSNormalization(axis=axis, epsilon=0.1)
    layer(x)
    scale = np.arange(1.0, 1 + layer.scale.size).reshape(layer.scale.shape)
    layer.scale.assign(scale)
    axes = tuple(np.atleast_1d(axis))
    scale = scale.reshape([n if i in axes else 1 for i, n in enumerate(x.shape)])
    np.testing.assert_allclose(layer(x), scale * x / np.sqrt((x**2).mean(axes, keepdims=True) + 0.1), rtol=1e-5)


@pytest.mark.filterwarnings("ignore:.*rms_scaling")
def test_rms_scaling_of_layer_normalization_is_keras_s():
    theirs, mine = keras.layers.LayerNormalization(rms_scaling=True), cornu.layers.LayerNormalization(rms_scaling=True)
    assert plain(mine.get_config()) == plain(theirs.get_config())
    close(mine(X), theirs(X), 1e-5)
    assert [w.name for w in mine.weights] == ["gamma"]


def test_spectral_normalization_reaches_the_greatest_singular_value():
    layer = cornu.layers.SpectralNormalization(
        cornu.layers.Dense(3, kernel_initializer=cornu.initializers.GlorotUniform(seed=1)), power_iterations=20)
    layer(X, training=True)
    assert np.linalg.svd(np.asarray(layer.layer.kernel))[1][0] == pytest.approx(1.0, abs=1e-3)
    layer(X), layer(X, training=True)
    assert [w.name for w in layer.weights] == ["kernel", "vector_u", "bias"]


@pytest.mark.parametrize("tokens", [[[7]], [[0, -1]]])
def test_tokens_that_the_table_lacks_are_refused(tokens):
    layer = cornu.layers.Embedding(7, 3, name="words")
    with pytest.raises(ValueError, match="words.*tokens 0 to 6"):
        layer(np.array(tokens))
    assert np.isnan(jax.jit(lambda t: layer(t))(np.array(tokens))).any()


@pytest.mark.parametrize("kwargs", [{}, {"tie_weights": False}, {"logit_soft_cap": 0.5}, {"reverse_dtype": "bfloat16"}])
def test_a_reversible_embedding_goes_back_as_in_keras(kwargs):
    mine, theirs = (m.layers.ReversibleEmbedding(5, 4, **kwargs) for m in (cornu, keras))
    mine.build(), theirs.build()
    mine.set_weights(theirs.get_weights())
    ours, expected = mine(X, reverse=True), theirs(X, reverse=True)
    assert ours.dtype == expected.dtype == mine(cornu.Input((4,)), reverse=True).dtype
    close(ours, expected, 1e-5)
    with pytest.raises(ValueError, match="takes vectors of 4 values"):
        mine(X[:, :3], reverse=True)


def _readers():
    a, b = cornu.Input((2,), name="a"), cornu.Input((2,), name="b")
    total = cornu.layers.Add()([cornu.layers.Embedding(9, 3)(a), cornu.layers.Embedding(7, 3, name="words")(b)])
    return cornu.Model([a, b], cornu.layers.Flatten()(total))


@pytest.mark.parametrize("make, pack", [
    (lambda: cornu.Sequential([cornu.layers.Embedding(7, 3, name="words"), cornu.layers.Flatten()]), lambda x: x),
    (_readers, lambda x: [x, x]), (_readers, lambda x: {"b": x, "a": x})])
def test_fit_refuses_tokens_that_the_table_lacks(make, pack):
    model = make()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="words.*has tokens from 1 to 8"):
        model.fit(pack(np.array([[1, 2], [8, 3]])), np.zeros((2, 6)), verbose=0)
    model.fit(pack(np.array([[1, 2], [6, 3]])), np.zeros((2, 6)), verbose=0)


def test_an_embedding_starts_from_given_weights_and_reads_float_tokens_exactly():
    table = np.arange(600.0).reshape(300, 2)
    layer = cornu.layers.Embedding(300, 2, weights=table, dtype="mixed_bfloat16")
    np.testing.assert_array_equal(layer(np.array([[257.0]])), table[[[257]]].astype(jnp.bfloat16))
    assert "weights" not in layer.get_config()


def test_a_lambda_passes_what_its_function_takes():
    layer = cornu.layers.Lambda(lambda x, training=None, factor=1: x * factor * (2 if training else 1),
                                arguments={"factor": 3})
    np.testing.assert_allclose(layer(X, training=True), 6 * X, rtol=1e-6)
    assert cornu.layers.Lambda(lambda x: x[:, :2], output_shape=(2,))(cornu.Input((4,))).shape == (None, 2)
    with pytest.raises(ValueError, match="Define a named"):
        layer.get_config()


def halve(x, mask=None):
    return x / 2


def test_a_named_function_in_a_lambda_is_saved_by_its_name():
    layer = cornu.layers.Lambda(halve, mask=lambda x, mask: mask)
    x = jnp.ones((1, 2, 3))
    x._keras_mask = jnp.array([[True, False]])
    np.testing.assert_array_equal(layer(x)._keras_mask, x._keras_mask)
    config = cornu.layers.Lambda(halve).get_config()
    with cornu.utils.custom_object_scope({"halve": halve}):
        np.testing.assert_allclose(cornu.layers.Lambda.from_config(config)(X), X / 2)


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "average", "maximum", "minimum", "concatenate", "dot"])
def test_merging_functions_are_their_layers(name):
    kwargs = {"axes": 1} if name == "dot" else {}
    layer = getattr(cornu.layers, name.capitalize())(**kwargs)
    np.testing.assert_array_equal(getattr(cornu.layers, name)([X, X + 1], **kwargs), layer([X, X + 1]))


def test_softmax_does_not_see_what_is_masked():
    x, mask = X[:, :3], np.array([[True, False, True], [False, False, True]])
    theirs = keras.layers.Softmax()(x, mask=mask)
    close(cornu.layers.Softmax()(x, mask=jnp.asarray(mask)), theirs, 1e-6)


def test_batch_normalization_of_a_masked_batch_ignores_it():
    x, mask = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32"), np.array([[1, 1, 0], [1, 0, 0]], bool)
    layer = cornu.layers.BatchNormalization(momentum=0.0)
    layer(x, training=True, mask=jnp.asarray(mask))
    np.testing.assert_allclose(layer.moving_mean, x[mask].mean(0), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, x[mask].var(0), rtol=1e-5)


# what is refused ---------------------------------------------------------------------------------------------------


def of(name, *args, **kwargs):
    return lambda: getattr(cornu.layers, name)(*args, **kwargs)


ERRORS = [  # how a layer is made, the shape it is called on, and what the error says
    (of("Dense", 0), (2, 3), "units.*integer > 0"),
    (of("Dense", "3"), (2, 3), "units.*Received: '3'"),
    (of("Dense", 3, quantization_config="int8"), (2, 3), "Dense: quantization_config='int8': layers with LoRA or quant"),
    (of("Conv2D", 3, 1, lora_rank=2), (2, 3, 3, 1), "Conv2D: lora_rank=2: layers with LoRA or quantized"),
    (of("EinsumDense", "ab,bc->ac", 3, lora_alpha=2), (2, 3), "EinsumDense: lora_alpha=2"),
    (of("Embedding", 5, 3, lora_rank=2), (2,), "Embedding: lora_rank=2"),
    (of("Dense", 3), (3,), "rank at least 2"),
    (of("EinsumDense", "ab->ac", 3), (2, 3), "not of the form"),
    (of("EinsumDense", "ab,bc->ac", 3), (2, 3, 4), "does not fit 'ab'"),
    (of("EinsumDense", "abc,cd->abd", (5, 3)), (2, 4, 6), "axis 'b'.*4 in the input, but 5"),
    (of("EinsumDense", "ab,bc->ac", 3, bias_axes="x"), (2, 3), "bias_axes='x'"),
    (of("Embedding", 0, 3), (2,), "input_dim"),
    *((of(name, **kwargs), (2, 3), "rank 4, received rank 2") for name, kwargs in (
        ("Conv2D", dict(filters=1, kernel_size=1)), ("MaxPooling2D", {}), ("GlobalAveragePooling2D", {}),
        ("ZeroPadding2D", {}), ("DepthwiseConv2D", dict(kernel_size=1)), ("AdaptiveMaxPooling2D", dict(output_size=1)))),
    *((of(name, data_format="channels_middle", **kwargs), (2, 3, 3, 3), "data_format.*channels_middle") for name, kwargs in (
        ("Conv2D", dict(filters=1, kernel_size=1)), ("SeparableConv2D", dict(filters=1, kernel_size=1)),
        ("AveragePooling2D", dict(pool_size=1)), ("GlobalMaxPooling2D", {}), ("Cropping2D", {}), ("UpSampling2D", {}), ("Flatten", {}))),
    *((of(name, **kwargs), (2, 3, 8, 3), "(?s)window of 4 does not fit into axis 1.*padding='same'") for name, kwargs in (
        ("Conv2D", dict(filters=1, kernel_size=4)), ("SeparableConv2D", dict(filters=1, kernel_size=4)),
        ("DepthwiseConv2D", dict(kernel_size=4)), ("MaxPooling2D", dict(pool_size=4)),
        ("AveragePooling2D", dict(pool_size=4)))),
    (of("Conv1D", 4, 3, dilation_rate=2), (2, 4, 3), "window of 5 does not fit into axis 1"),
    (of("Conv2D", 4, 1, groups=2), (2, 3, 3, 3), "3 channels are not divisible by groups=2"),
    (of("Conv2D", 5, 1, groups=2), (2, 3, 3, 4), "groups must divide filters"),
    (of("Conv2D", 2, 0), (2, 3, 3, 4), "kernel_size.*> 0"),
    (of("Conv2D", 2, (1, 2, 3)), (2, 3, 3, 4), "kernel_size.*2 of them"),
    (of("Conv2D", 2, 1, padding="causal"), (2, 3, 3, 4), "padding.*'valid', 'same'"),
    (of("Conv2DTranspose", 2, 2, strides=2, output_padding=2), (2, 3, 3, 4), "output_padding must be smaller"),
    (of("LSTM", 3), (2, 3), "rank 3, received rank 2"),
    (of("Lambda", 3), (2, 3), "callable"),
    (of("Wrapper", 3), (2, 3), "must be a Layer"),
    (of("Activation", "rellu"), (2, 3), "Did you mean 'relu"),
    (of("ReLU", negative_slope=-1), (2, 3), "negative_slope"),
    (of("LeakyReLU", None), (2, 3), "negative_slope"),
    (of("Dropout", 1.5), (2, 3), "rate.*between 0 and 1"),
    (of("Dropout", None), (2, 3), "rate"),
    (of("Dropout", 0.5, noise_shape=3), (2, 3), "noise_shape"),
    (of("Dropout", 0.5, seed=-1), (2, 3), "seed"),
    (of("GaussianDropout", 1.0), (2, 3), "below 1"),
    (of("AlphaDropout", 1), (2, 3), "below 1"),
    (of("GaussianNoise", -1.0), (2, 3), "stddev"),
    (of("SpatialDropout2D", 0.5), (2, 3, 4), "rank 4"),
    (of("SpatialDropout2D", 0.5, data_format="channels_middle"), (2, 3, 4, 5), "data_format"),
    (of("Add"), (2, 3), "takes a list"),
    (of("Add"), [(2, 3), (2, 4)], r"do not broadcast.*\(2, 4\)"),
    (of("Add"), [(2, 3), (3, 3)], "batch sizes"),
    (of("Subtract"), [(2, 3)] * 3, "exactly 2 inputs"),
    (of("Concatenate"), [(2, 3), (3, 3)], "batch sizes"),
    (of("Concatenate", axis=1), [(2, 3, 4), (2, 3, 5)], "all other sizes must be equal"),
    (of("Concatenate", axis=4), [(2, 3), (2, 3)], "axis 4 does not exist"),
    (of("Dot", "a"), [(2, 3), (2, 3)], "axes"),
    (of("Dot", 0), [(2, 3), (2, 3)], "not the batch"),
    (of("Dot", 1), [(2, 3), (2, 4)], r"\[3, 4\], but must be equal"),
    (of("Reshape", (5,)), (2, 3), "do not fit"),
    (of("Reshape", (-1, 4)), (2, 3), "do not fit"),
    (of("Reshape", (-1, -1)), (2, 3), "at most one -1"),
    (of("Permute", (0, 1)), (2, 3, 4), "dims"),
    (of("RepeatVector", 0), (2, 3), "n` must be an integer > 0"),
    (of("Cropping1D", 2), (2, 4, 3), "leaves nothing"),
    (of("Cropping2D", ((1, 2), 3, 4)), (2, 4, 4, 3), "2 pairs"),
    (of("ZeroPadding2D", -1), (2, 4, 4, 3), "padding"),
    (of("UpSampling1D", (2,)), (2, 4, 3), "size"),
    (of("UpSampling2D", 2, interpolation="area"), (2, 4, 4, 3), "interpolation"),
    (of("BatchNormalization", momentum=2), (2, 3), "momentum"),
    (of("BatchNormalization", axis=[1, 2]), (2, 3, 4), "one integer"),
    (of("BatchNormalization", axis=3), (2, 3), "axis 3 does not exist"),
    (of("BatchNormalization", renorm=True, renorm_clipping={"max": 1}), (2, 3), "rmin, rmax and dmax"),
    (of("LayerNormalization", axis=[1, 4]), (2, 3, 4), "axis 4 does not exist"),
    (of("GroupNormalization", groups=2), (2, 3), "not divisible"),
    (of("GroupNormalization", groups=0), (2, 3), "groups"),
    (of("UnitNormalization", axis="last"), (2, 3), "axis"),
    (of("SpectralNormalization", 3), (2, 3), "must be a Layer"),
    (lambda: cornu.layers.SpectralNormalization(cornu.layers.Flatten()), (2, 3), "neither a weight"),
]


@pytest.mark.parametrize("make, shape, message", ERRORS, ids=[f"{i}-{m[:20]}" for i, (_, _, m) in enumerate(ERRORS)])
def test_bad_input_is_named(make, shape, message):
    with pytest.raises(ValueError, match=message) as found:
        make()([np.ones(s, "float32") for s in shape] if isinstance(shape, list) else np.ones(shape, "float32"))
    assert len(str(found.value).splitlines()) <= 12
