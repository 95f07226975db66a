"""The base class of layers: building, weights, masks, training, dtypes, losses, parts, and what it refuses."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cornu
from cornu import layers
from cornu.layers import Layer

X = np.arange(8, dtype="float32").reshape(2, 4)


class Scale(Layer):
    """A layer as a user writes one."""

    def __init__(self, start=2.0, **kwargs):
        super().__init__(**kwargs)
        self.start = start

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(input_shape[-1],), initializer=cornu.initializers.Constant(self.start),
                                     name="scale")
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False, name="count", dtype="int32")

    def call(self, inputs, training=None):
        if training:
            self.count.assign_add(1)
        return inputs * self.scale


class Block(Layer):
    """Sublayers in an attribute, a list and a dict."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = layers.Dense(4, name="first")
        self.more = [Scale(name="a"), {"deep": Scale(name="b")}]

    def call(self, inputs, training=None):
        x = self.first(inputs)
        return self.more[1]["deep"](self.more[0](x))


class Told(Layer):
    """Says what it was told."""

    def call(self, inputs, training=None, mask=None):
        self.seen = training, mask
        return inputs


# building and weights --------------------------------------------------------------------------------------------


def test_a_call_builds_once_and_shapes_are_kept():
    layer = Scale()
    layer(X)
    first = layer.scale
    layer(X)
    assert layer.scale is first and layer.get_build_config() == {"input_shape": (2, 4)}


def test_weights_are_ordered_and_named_by_their_path():
    block = Block(name="block")
    block(X)
    assert [v.path for v in block.weights] == [
        "block/first/kernel", "block/first/bias", "block/a/scale", "block/a/count", "block/b/scale", "block/b/count"]
    assert [v.name for v in block.trainable_weights] == ["kernel", "bias", "scale", "scale"]
    assert [v.name for v in block.non_trainable_weights] == ["count", "count"]
    assert block.count_params() == 30


def test_freezing_keeps_the_order_of_weights():
    layer = layers.Dense(3)
    layer.build((2, 4))
    before = layer.get_weights()
    layer.kernel.trainable = False
    assert [w.shape for w in layer.get_weights()] == [w.shape for w in before]
    assert layer.trainable_weights == [layer.bias] and layer.non_trainable_weights == [layer.kernel]


def test_trainable_reaches_every_sublayer():
    block = Block()
    block(X)
    block.trainable = False
    assert block.trainable_variables == [] and not block.more[1]["deep"].trainable
    block.trainable = True
    assert len(block.trainable_variables) == 4


def test_build_of_a_layer_without_its_own_builds_the_sublayers():
    block = Block()
    block.build((None, 4))
    assert block.built and len(block.weights) == 6


def test_build_takes_several_shapes_by_name():
    class Pair(Layer):
        def build(self, query_shape, value_shape):
            self.shapes = query_shape, value_shape

        def call(self, query, value):
            return query + value

    layer = Pair()
    layer(X, X[:1])
    assert layer.shapes == ((2, 4), (1, 4)) and set(layer.get_build_config()) == {"shapes_dict"}


def test_build_may_take_shapes_by_place():
    class Scale(cornu.layers.Layer):
        def build(self, *shapes):
            self.scale = self.add_weight(shapes[0][-1:], "ones")

        def call(self, x, training):
            return 2 * x * self.scale if training else x

    assert np.array_equal(Scale()(X), X)
    assert np.array_equal(Scale()(X, training=True), 2 * X)
    assert np.array_equal(Scale()(X, True), 2 * X)
    assert cornu.Sequential([Scale()]).predict(X, verbose=0).shape == X.shape


@pytest.mark.parametrize("numbers", [[[1.0, 2.0]], ((1, 2), (3, 4))])
def test_numbers_in_lists_are_no_tensor(numbers):
    with pytest.raises(ValueError, match="Received numbers in a .*np.array"):
        cornu.layers.Dense(2)(numbers)


def test_numbers_of_numpy_are_read_in_the_compute_dtype():
    class Plus(cornu.layers.Layer):
        def call(self, x, more=None):
            return x + more

    assert Plus(dtype="float16")(X, more=np.float64(1)).dtype == "float16"



@pytest.mark.parametrize("given", ["text", ["a", "b"], None], ids=str)
@pytest.mark.parametrize("cls", ["LayerNormalization", "RMSNormalization", "BatchNormalization"])
def test_what_is_no_tensor_is_refused_by_a_layer_that_is_to_be_built(cls, given):
    with pytest.raises(ValueError, match="input 0 is not a tensor but " + type(given).__name__):
        getattr(cornu.layers, cls)()(given)


def test_build_of_a_list_and_a_dict_of_inputs():
    seen = []

    class Joined(Layer):
        def build(self, input_shape):
            seen.append(input_shape)

        def call(self, inputs):
            return sum(inputs.values() if isinstance(inputs, dict) else inputs)

    Joined()([X, X])
    Joined()({"a": X, "b": X})
    assert seen == [[(2, 4), (2, 4)], {"a": (2, 4), "b": (2, 4)}]


def test_a_build_of_a_base_class_is_one_build():
    class Child(Scale):
        def build(self, input_shape):
            super().build(input_shape)
            self.shift = self.add_weight(shape=(), initializer="ones", name="shift")

    child = Child(name="child")
    child(X)
    assert [v.path for v in child.weights] == ["child/scale", "child/shift", "child/count"]


def test_a_layer_built_inside_jit_leaks_nothing():
    layer = Scale()
    jax.jit(lambda x: layer(x))(X)
    assert not isinstance(layer.scale.value, jax.core.Tracer)
    np.testing.assert_array_equal(layer(X), 2 * X)


def test_set_weights_changes_all_or_nothing():
    layer = layers.Dense(3)
    layer.build((2, 4))
    before = layer.get_weights()
    with pytest.raises(ValueError, match="bias.*shape"):
        layer.set_weights([np.ones((4, 3)), np.ones(4)])
    np.testing.assert_array_equal(before[0], layer.get_weights()[0])
    with pytest.raises(ValueError, match="2 weights; 1"):
        layer.set_weights([np.ones((4, 3))])


def test_own_variables_go_into_a_store_and_back():
    layer, other, store = Scale(3.0), Scale(), {}
    layer(X), other(X)
    layer.save_own_variables(store)
    other.load_own_variables({k: np.asarray(v) for k, v in store.items()})
    np.testing.assert_array_equal(other.scale, [3.0] * 4)


def test_a_deep_copy_is_its_own_layer():
    layer = Scale()
    layer(X)
    twin = copy.deepcopy(layer)
    twin.scale.assign(jnp.zeros(4))
    np.testing.assert_array_equal(layer.scale, [2.0] * 4)


# training, masks, dtypes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given, inner", [({}, None), ({"training": True}, True), ({"training": False}, False)])
def test_training_is_handed_down(given, inner):
    class Outer(Layer):
        def __init__(self):
            super().__init__()
            self.told = Told()

        def call(self, x):
            return self.told(x)

    outer = Outer()
    outer(X, **given)
    assert outer.told.seen == (inner, None)


def test_an_own_training_default_and_an_own_argument_win():
    class Eager(Told):
        def call(self, inputs, training=True):
            return super().call(inputs, training)

    layer = Eager()
    layer(X)
    assert layer.seen[0] is True
    layer(X, training=False)
    assert layer.seen[0] is False


@pytest.mark.parametrize("compiled", [False, True])
def test_masks_go_through_layers_and_dtypes(compiled):
    told = Told(dtype="mixed_bfloat16")
    told.supports_masking = True
    chain = cornu.Sequential([layers.Masking(), layers.Dense(2), told])
    x = np.array([[[1.0], [0.0]]], "float32")

    def run(x):
        chain(x)
        return told.seen[1]

    np.testing.assert_array_equal((jax.jit(run) if compiled else run)(x), [[True, False]])


def test_an_explicit_mask_wins_over_the_carried_one():
    told, x = Told(), jnp.ones((1, 2, 1))
    told.supports_masking = True
    x._keras_mask = jnp.array([[True, False]])
    told(x, mask=jnp.array([[False, True]]))
    np.testing.assert_array_equal(told.seen[1], [[False, True]])


def test_a_layer_without_masks_warns_and_ends_the_mask():
    x = layers.Masking()(np.ones((1, 2, 3), "float32"))
    with pytest.warns(UserWarning, match="does not support masks"):
        y = layers.Reshape((6,))(x)
    assert getattr(y, "_keras_mask", None) is None


@pytest.mark.parametrize("policy, compute, variable", [
    ("mixed_bfloat16", "bfloat16", "float32"), ("bfloat16", "bfloat16", "bfloat16"), (None, "float32", "float32")])
def test_inputs_and_weights_are_read_in_the_compute_dtype(policy, compute, variable):
    layer = Scale(dtype=policy)
    assert layer(X).dtype == compute and layer.scale.dtype == variable and layer.count.dtype == "int32"
    assert layer(X.astype("int32")).dtype == compute


def test_autocast_off_still_reads_weights_in_the_compute_dtype():
    class Weighted(cornu.layers.Layer):
        def build(self, shape):
            self.kernel = self.add_weight((4,))

        def call(self, x):
            return cornu.ops.cast(x, self.compute_dtype) + self.kernel

    assert Weighted(dtype="mixed_float16", autocast=False)(X).dtype == "float16"


def test_autocast_off_leaves_inputs_alone():
    assert Told(dtype="bfloat16", autocast=False)(X).dtype == "float32"


# losses ------------------------------------------------------------------------------------------------------------


class Lossy(Layer):
    def call(self, inputs):
        self.add_loss(jnp.sum(inputs))
        return inputs


def test_losses_are_those_of_the_last_call():
    layer = Lossy()
    layer(X), layer(X)
    assert [float(x) for x in layer.losses] == [X.sum()]


def test_losses_of_sublayers_and_weights_are_found():
    model = cornu.Sequential([Lossy(), layers.Dense(3, kernel_regularizer="l2", activity_regularizer="l1")])
    model(X)
    assert len(model.losses) == 3


def test_stateless_call_is_pure_and_returns_losses():
    layer = cornu.Sequential([Scale(), Lossy()])
    layer(X)
    weights, others = ([v.value for v in vs] for vs in (layer.trainable_variables, layer.non_trainable_variables))
    y, new, losses = jax.jit(lambda *a: layer.stateless_call(*a, training=True, return_losses=True))(weights, others, X)
    np.testing.assert_array_equal(y, 2 * X)
    assert int(new[0]) == 1 and int(layer.layers[0].count) == 0 and float(losses[0]) == 2 * X.sum()


@pytest.mark.parametrize("count", [0, 2])
def test_stateless_call_counts_its_values(count):
    layer = layers.Dense(3)
    layer(X)
    with pytest.raises(ValueError, match="trainable"):
        layer.stateless_call([np.ones(1)] * (count + 1), [], X)


# parts and configs -------------------------------------------------------------------------------------------------


def test_a_layer_that_is_replaced_or_deleted_is_gone():
    block = Block()
    block(X)
    block.more = []
    assert len(block.weights) == 2


def test_a_users_config_is_what_the_constructor_was_told():
    layer = Scale(start=3.0, name="mine")
    config = layer.get_config()
    assert (config["start"], config["name"]) == (3.0, "mine")
    assert Scale.from_config(config).get_config() == config


def test_seeds_are_state_but_no_weights():
    layer = layers.Dropout(0.5)
    layer(X, training=True)
    assert layer.weights == [] and [v.name for v in layer.variables] == ["seed_generator_state"]


def test_symbolic_calls_leave_no_trace_in_the_state():
    layer = Scale()
    layer(layers.Input((4,)), training=True)
    assert int(layer.count) == 0 and layer.compute_output_shape((None, 4)) == (None, 4)


# what is refused -----------------------------------------------------------------------------------------------------


class NoSuper(Layer):
    def __init__(self):
        self.dense = layers.Dense(1)


class Forgetful(Layer):
    def __init__(self):
        pass


class ReturnsNone(Layer):
    def call(self, inputs):
        inputs * 2


class WeightInCall(Layer):
    def call(self, inputs):
        return inputs * self.add_weight(shape=(), initializer="ones", name="late")


class LayerInCall(Layer):
    def call(self, inputs):
        self.late = layers.Dense(1)
        return self.late(inputs)


REFUSED = [
    (NoSuper, r"super\(\).__init__\(\)"),
    (Forgetful, r"super\(\).__init__\(\)"),
    (ReturnsNone, "returned None"),
    (WeightInCall, "add_weight was called inside `call`"),
    (LayerInCall, "self.late was given a new Dense inside `call`"),
    (lambda: layers.Dense(3, unit=4), "unknown argument 'unit'.*Did you mean 'units'"),
    (lambda: layers.Dense(3, name="a/b"), "without '/'"),
    (lambda: layers.Dense(3, dtype="float99"), "float99"),
    (lambda: layers.Dense(3, kernel_initializer="glorot_unifrom"), "Did you mean 'glorot_uniform'"),
]


@pytest.mark.parametrize("make, message", REFUSED, ids=lambda v: getattr(v, "__name__", None))
def test_mistakes_are_named(make, message):
    with pytest.raises((ValueError, RuntimeError), match=message) as found:
        make()(X)
    assert len(str(found.value).splitlines()) <= 12


def test_count_params_needs_weights():
    with pytest.raises(ValueError, match="not built"):
        layers.Dense(3).count_params()


def test_an_error_in_call_names_the_innermost_layer():
    class Broken(Layer):
        def call(self, inputs):
            return inputs @ jnp.ones((9, 9))

    with pytest.raises(Exception) as found:
        cornu.Sequential([layers.Dense(3), Broken(name="broken")])(X)
    assert any("broken" in note for note in found.value.__notes__)


def test_check_layer_passes_a_good_layer_and_names_what_fails():
    cornu.testing.check_layer(Scale, {"start": 3.0}, (2, 4))

    class Unstable(Layer):
        def call(self, inputs):
            return jnp.sqrt(inputs - 100.0)

    with pytest.raises(AssertionError, match="Unstable.*finite gradients does not hold"):
        cornu.testing.check_layer(Unstable, {}, (2, 4))


class WithParts(cornu.layers.Layer):
    """Has a part of each kind, and one that stands in no attribute."""

    def __init__(self):
        super().__init__()
        self.inner, self.seen = [cornu.layers.Dense(1)], cornu.metrics.Mean(name="seen")
        self.seeds = cornu.random.SeedGenerator(1)
        self.unnamed = id(self._tracker.track(cornu.layers.Dense(2)))

    def build(self, shape):
        self.still = self.add_weight((2,), trainable=False)
        self.moving = self.add_weight((3,))
        for layer in self._layers:
            layer.build(shape)


def test_parts_are_found_under_the_names_that_keras_keeps_them():
    layer = WithParts()
    layer.build((None, 4))
    assert layer._build_shapes_dict == {"shape": (None, 4)}
    assert layer._metrics == [layer.seen] and layer._seed_generators == [layer.seeds]
    assert layer._trainable_variables == [layer.moving]
    assert layer._non_trainable_variables == [layer.still]
    assert [type(part).__name__ for part in layer._layers] == ["Dense", "Dense"]
    assert layer.unnamed == id(layer._layers[1]) and len(layer.trainable_variables) == 5
    layer._tracker.unlock()
    layer._tracker.lock()


def test_attributes_of_such_a_name_are_the_users_own():
    class Own(cornu.Model):
        def __init__(self):
            super().__init__()
            self._layers, self.last = [cornu.layers.Dense(3)], cornu.layers.Dense(1)
            self._metrics = [cornu.metrics.Mean(name="own")]

        def call(self, x):
            for layer in self._layers:
                x = layer(x)
            return self.last(x)

    model = Own()
    model(np.ones((1, 2), "float32"))
    assert len(model._layers) == 1 and len(model.layers) == 2 and len(model.weights) == 4
    assert [metric.name for metric in model.metrics] == ["own"]


def test_constructors_get_a_policys_name_from_a_config():
    class Reading(cornu.layers.Layer):
        def __init__(self, dtype="int32", **kwargs):
            assert cornu.backend.standardize_dtype(dtype) in ("int32", "float16")
            super().__init__(dtype=dtype, **kwargs)

    for dtype in ("int32", "float16"):
        again = Reading.from_config(Reading(dtype=dtype).get_config())
        assert again.dtype_policy.name == dtype
