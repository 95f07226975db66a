"""What programs and packages written for Keras rely on: early attributes, hooks, outer seeds, clones, configs of functions."""

import collections

import keras
import numpy as np
import pytest

import cornu
from cornu import layers as L
from cornu import ops, random

X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")


class EarlyModel(cornu.Model):
    def __init__(self, units=2, **kwargs):
        self.dense, self.scale = L.Dense(units), cornu.Variable(2.0)
        x = cornu.Input((3,))
        super().__init__(inputs=x, outputs=self.dense(x), **kwargs)


class EarlyLayer(L.Layer):
    def __init__(self, units=2, **kwargs):
        self.dense, self.scale = L.Dense(units), cornu.Variable(2.0)
        super().__init__(**kwargs)

    def call(self, x):
        return self.dense(x) * self.scale


@pytest.mark.parametrize("make", [EarlyModel, EarlyLayer])
def test_attributes_before_super_init_are_parts(make):
    made = make(name="early")
    assert made(X).shape == (4, 2) and len(made.trainable_weights) == 3 and made.name == "early"


class Raw(L.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs, autocast=False)

    def call(self, x):
        return x


def test_autocast_may_be_passed_on():
    assert not Raw.from_config(Raw().get_config()).autocast


class Weighted(L.Embedding):
    def call(self, inputs, weights=None):
        x = super().call(inputs)
        return x if weights is None else x * ops.expand_dims(weights, -1)


def test_further_inputs_of_an_embedding_keep_their_dtype():
    layer = Weighted(4, 2, embeddings_initializer="ones")
    np.testing.assert_allclose(layer(np.array([1, 2]), np.array([0.5, 0.25], "float32")), [[0.5, 0.5], [0.25, 0.25]])
    assert layer(np.array([1, 2]), None).shape == (2, 2) and layer(np.array([1.0, 2.0])).shape == (2, 2)


OUTER = random.SeedGenerator(1)


class Noisy(L.Layer):
    def call(self, x):
        return x + random.normal(ops.shape(x), seed=OUTER)


class Jitter(cornu.metrics.Metric):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.total, self.seed = self.add_variable((), "zeros"), random.SeedGenerator(1)

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.total.assign_add(ops.mean(random.uniform(ops.shape(y_pred), seed=self.seed)))

    def result(self):
        return self.total.value


@pytest.mark.parametrize("eager", [False, True])
def test_steps_draw_from_seeds_outside_the_model(eager):
    model = cornu.Sequential([cornu.Input((3,)), Noisy(), L.Dense(1)])
    model.compile("sgd", "mse", metrics=[Jitter()], run_eagerly=eager)
    before = np.asarray(OUTER.state.raw)[1]
    history = model.fit(X, X[:, :1], batch_size=2, epochs=2, verbose=0)
    assert np.asarray(OUTER.state.raw)[1] >= before + 4 and np.isfinite(history.history["loss"]).all()
    assert not np.array_equal(model.predict(X, verbose=0), model.predict(X, verbose=0))


class Doubled(L.MultiHeadAttention):
    """Computes attention by the hook, in Keras's way."""

    def _compute_attention(self, query, key, value, attention_mask=None, training=None, return_attention_scores=False):
        scores = ops.einsum("btnh,bsnh->bnts", query * self._inverse_sqrt_key_dim, key)
        scores = self._masked_softmax(scores, attention_mask)
        return ops.einsum("bnts,bsnh->btnh", scores, value), scores


class Handed(L.MultiHeadAttention):
    def _compute_attention(self, *args, **kwargs):
        return super()._compute_attention(*args, **kwargs)


@pytest.mark.parametrize("cls", [Doubled, Handed])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_by_the_hook_is_attention(cls, causal, masked):
    x = np.random.default_rng(1).normal(size=(2, 5, 8)).astype("float32")
    mask = np.tri(5, dtype=bool)[None, ::-1].repeat(2, 0) if masked else None
    plain, own = L.MultiHeadAttention(2, 4), cls(2, 4)
    told = {"attention_mask": mask, "use_causal_mask": causal, "return_attention_scores": True}
    plain(x, x), own(x, x)
    own.set_weights(plain.get_weights())
    for ours, wanted in zip(own(x, x, **told), plain(x, x, **told)):
        np.testing.assert_allclose(ours, wanted, atol=1e-5)
    assert (own._num_heads, own._key_dim, own._attention_axes) == (2, 4, (1,))


def test_a_symbolic_loss_is_refused():
    x = cornu.Input((3,))
    model = cornu.Model(x, y := L.Dense(2)(x))
    with pytest.raises(ValueError, match="add_loss.*in the `call` of a layer"):
        model.add_loss(ops.mean(y))


@pytest.mark.parametrize("function, arguments", [
    (cornu.activations.relu, {"max_value": 0.5}), (ops.abs, {}), (ops.softmax, {}), (ops.nn.gelu, {}), (ops.image.rgb_to_grayscale, {})])
def test_a_lambda_of_a_built_in_function_comes_back(function, arguments):
    x = cornu.Input((3,))
    model = cornu.Model(x, L.Lambda(function, arguments=arguments)(x)) if function is not ops.image.rgb_to_grayscale else \
        cornu.Sequential([cornu.Input((2, 2, 3)), L.Lambda(function)])
    data = X if model.input_shape == (None, 3) else np.ones((1, 2, 2, 3), "float32")
    for copy in (cornu.models.model_from_json(model.to_json()), cornu.models.clone_model(model)):
        np.testing.assert_array_equal(copy(data), model(data))


def parts():
    half = L.Bidirectional(L.LSTM(2))
    half.forward_layer.trainable = False
    inner = cornu.Sequential([cornu.Input((3, 4)), L.Dense(4, trainable=False), half, L.Dense(3)])
    x = cornu.Input((3, 4))
    return cornu.Model(x, inner(x))


def test_a_clone_keeps_what_is_frozen_at_any_depth():
    model = parts()
    copy = cornu.models.clone_model(model)
    assert [v.shape for v in copy.trainable_weights] == [v.shape for v in model.trainable_weights]
    assert len(copy.trainable_weights) == 5 and copy.trainable


@pytest.mark.parametrize("value", [1, (), (1, 2), [], [1], collections.deque([]), collections.deque([1, 2]), {"a": 1},
                                   collections.namedtuple("P", "x y")(1, 2), {1, 2}, None, [None, 1], {"a": (1, [2, {"k": 4}])},
                                   collections.OrderedDict([("b", 2), ("a", 1)]), collections.defaultdict(int, a=[1])])
@pytest.mark.parametrize("what", ["flatten", "flatten_with_path", "is_nested", "lists_to_tuples", "map_structure", "traverse"])
def test_structures_are_taken_as_by_keras(what, value):
    first = {"map_structure": [str], "traverse": [lambda x: x + 1 if isinstance(x, int) else None]}.get(what, [])
    ours, theirs = (getattr(k.tree, what)(*first, value) for k in (cornu, keras))
    assert repr(ours) == repr(theirs)


@pytest.mark.parametrize("function, words", [
    (lambda: cornu.tree.map_structure(str), "at least one"), (lambda: cornu.tree.map_structure(1, 2), "function"),
    (lambda: L.Dense(2, trainable=None), "True or False"), (lambda: cornu.DTypePolicy(123), "string"),
    (lambda: setattr(cornu.KerasTensor((3,)), "shape", (2,)), "shape"), (lambda: bool(cornu.Variable([1.0, 2.0])), "truth value"),
    (lambda: setattr(cornu.Variable(1.0), "constraint", "no"), "constraint"),
    (lambda: setattr(cornu.Variable(1.0), "overwrite_with_gradient", "no"), "True or False"),
    (lambda: cornu.KerasTensor((3,), sparse=True, ragged=True), "both sparse and ragged"),
    (lambda: MismatchedBuild()(X, X), "build.. takes 'z_shape'.*Arguments of call.*: x, y")])
def test_errors_say_what_is_expected(function, words):
    with pytest.raises((ValueError, TypeError, AttributeError), match=f"(?s){words}"):
        function()


class MismatchedBuild(L.Layer):
    def build(self, x_shape, z_shape):
        pass

    def call(self, x, y):
        return x + y


def test_inputs_of_another_structure_warn_once_or_are_refused():
    a, b = cornu.Input((2,)), cornu.Input((2,))
    model = cornu.Model({"a": a, "b": b}, L.Subtract()([a, b]))
    with pytest.warns(UserWarning, match="structure of `inputs`.*'input_layer"):
        model([np.ones((1, 2)), np.zeros((1, 2))])
    turned = cornu.Model({"b": a, "a": b}, L.Subtract()([a, b]))
    with pytest.raises(ValueError, match="could mean two things"):
        turned([np.ones((1, 2)), np.zeros((1, 2))])


def test_freezing_a_layer_freezes_its_weights_and_back():
    layer = L.BatchNormalization()
    layer.build((None, 3))
    for frozen in (True, False):
        layer.trainable = not frozen
        assert [v.trainable for v in layer.weights] == [not frozen] * 2 + [False] * 2


def test_logical_operators_of_variables_ask_for_truth():
    v = cornu.Variable([0, 2], dtype="int32")
    for ours, theirs in ((v & 4, [False, True]), (v | 0, [False, True]), (1 ^ v, [True, False])):
        assert ours.dtype == bool and ours.tolist() == theirs


def test_symbolic_tensors_are_found_in_lists():
    a, b = cornu.Input((2,)), cornu.Input((2,))
    assert a in [b, a] and a not in [b] and isinstance(a == b, cornu.KerasTensor)


def test_a_sequential_of_a_list_or_dict_runs_layer_by_layer():
    model = cornu.Sequential([Same()])
    assert list(model({"a": X, "b": X})) == ["a", "b"] and isinstance(cornu.Sequential([Same()])([X, X]), list)


class Same(L.Layer):
    def call(self, inputs):
        return inputs


@pytest.mark.parametrize("equation, output, shape", [
    ("abc,cde->abde", (None, 8, 16), (None, 10, 32)), ("abde,dec->abc", (None, 32), (None, 10, 8, 16)), ("ab,bc->ac", 50, (None, 40)),
    ("abc,bcd->abd", (7, 50), (None, 7, 40)), ("...x,xy->...y", (50,), (None, 40)), ("abc,bde->ade", (30, 50), (None, 7, 40))])
@pytest.mark.parametrize("name", ["glorot_uniform", "lecun_normal", "he_uniform"])
def test_kernels_of_an_equation_start_as_large_as_keras_s(equation, output, shape, name):
    made = [k.layers.EinsumDense(equation, output, kernel_initializer=name) for k in (cornu, keras)]
    ours, theirs = (layer.build(shape) or float(np.std(np.asarray(layer.kernel))) for layer in made)
    np.testing.assert_allclose(ours, theirs, rtol=0.12)
    assert made[0].get_config()["kernel_initializer"]["config"]["input_axes"] is None


def test_a_state_tree_loses_no_value_of_a_path_that_stands_twice():
    model = cornu.Sequential([cornu.Input((3,)), Block(), L.Dense(1)])
    with pytest.raises(ValueError, match="two variables have the path.*kernel"):
        model.get_state_tree()


class Block(L.Layer):
    def __init__(self):
        super().__init__()
        self.a, self.b = L.Dense(3, name="same"), L.Dense(3, name="same")

    def call(self, x):
        return self.a(self.b(x))
