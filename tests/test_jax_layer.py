"""JaxLayer and FlaxLayer, against plain JAX, flax itself, and Keras where it does without TensorFlow."""

import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import cornu
from cornu.layers import FlaxLayer, JaxLayer

X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
PARAMS = {"w": np.full((3, 2), 0.5, "float32"), "b": [np.zeros(2, "float32"), np.float32(1.0)]}


@cornu.utils.register_keras_serializable()
def apply_affine(params, inputs):
    return inputs @ params["w"] + params["b"][0] * params["b"][1]


@cornu.utils.register_keras_serializable()
def init_affine(rng, inputs):
    return {"w": jax.random.normal(rng, (inputs.shape[-1], 2)), "b": [jnp.zeros(2), 1.0]}


def count_and_scale(params, state, inputs, training):
    return inputs * params, {"seen": state["seen"] + inputs.shape[0], "trained": state["trained"] + training}


class Block(nn.Module):
    width: int = 2

    @nn.compact
    def __call__(self, inputs, training=False):
        x = nn.BatchNorm(use_running_average=not training)(nn.Dense(self.width)(inputs))
        return nn.Dropout(0.5, deterministic=not training)(x)


def test_given_values_are_keras_s():
    mine, theirs = (m.layers.JaxLayer(apply_affine, params=PARAMS) for m in (cornu, keras))
    np.testing.assert_allclose(mine(X), theirs(X), rtol=1e-6)
    assert [v.shape for v in mine.weights] == [tuple(v.shape) for v in theirs.weights]
    assert [v.name for v in mine.weights] == ["b_0", "b_1", "w"]
    cornu.tree.assert_same_structure(mine.params, PARAMS)


def test_values_are_made_by_init_fn_and_trained():
    model = cornu.Sequential([cornu.Input((3,)), JaxLayer(apply_affine, init_affine, seed=1)])
    model.compile("adam", "mse")
    before = model.get_weights()
    losses = model.fit(X, X[:, :2], epochs=30, verbose=0).history["loss"]
    assert losses[-1] < losses[0] and not np.array_equal(before[2], model.get_weights()[2])


def test_state_is_written_back_eagerly_and_in_fit():
    layer = JaxLayer(count_and_scale, params=jnp.ones(()), state={"seen": jnp.zeros((), int), "trained": jnp.zeros(())})
    layer(X), layer(X, training=True)
    assert [int(v) for v in (layer.state["seen"], layer.state["trained"])] == [8, 1]
    model = cornu.Sequential([layer])
    model.compile("sgd", "mse")
    model.fit(X, X, batch_size=2, epochs=2, verbose=0)
    assert [int(v) for v in (layer.state["seen"], layer.state["trained"])] == [16, 5]
    assert [v.name for v in layer.trainable_variables] == ["params"]


def test_keys_are_given_in_training_only_and_new_each_time():
    def noisy(rng, inputs):
        return inputs if rng is None else inputs + jax.random.normal(rng, inputs.shape)

    layer = JaxLayer(noisy, seed=3)
    np.testing.assert_array_equal(layer(X), X)
    first, second = layer(X, training=True), layer(X, training=True)
    assert not np.array_equal(first, second) and not np.array_equal(first, X)


def test_init_fn_sees_integers_where_the_inputs_are():
    seen = []

    def table(inputs):
        seen.append(inputs.dtype)
        return jnp.ones((5, 2))

    layer = JaxLayer(lambda params, inputs: params[inputs], table)
    assert layer(cornu.Input((3,), dtype="int32")).shape == (None, 3, 2) and seen == [jnp.int32]
    copy = JaxLayer(layer.call_fn, layer.init_fn)
    copy.build_from_config(json.loads(json.dumps(layer.get_build_config())))
    assert seen[1] == jnp.int32


@pytest.mark.parametrize("kept", [None, "bar"])
def test_leaves_of_the_state_that_are_no_numbers(kept):
    layer = JaxLayer(lambda params, state, inputs: (inputs, state), state={"kept": kept, "count": 1.0})
    assert layer.state["kept"] == kept and layer.params is None and len(layer.weights) == 1
    np.testing.assert_array_equal(layer(X), X)


@pytest.mark.parametrize("state", [[0.0], {"a": {"b": 0.0}}, {}, None], ids=str)
def test_a_state_that_comes_back_otherwise(state):
    layer = JaxLayer(lambda params, state, inputs: (inputs, {"a": [1.0]}), params={}, state=state)
    with pytest.raises(ValueError, match="structure"):
        layer(X)


@pytest.mark.parametrize("method", [Block.__call__, Block().__call__, "__call__"], ids=["function", "bound", "name"])
def test_a_module_s_own_method_is_saved_by_its_name(method):
    assert FlaxLayer(Block(), method=method).method == "__call__"


def test_params_and_state_of_flax_are_its_variables():
    layer = FlaxLayer(Block())
    layer(X)
    again = FlaxLayer(Block(), variables={**layer.params, **layer.state})
    np.testing.assert_array_equal(layer(X), again(X))


def test_flax_gives_what_the_module_gives():
    variables = Block().init(jax.random.key(0), X)
    layer = FlaxLayer(Block(), variables=variables)
    np.testing.assert_allclose(layer(X), Block().apply(variables, X), rtol=1e-6)
    keras_layer = keras.layers.FlaxLayer(Block(), variables=variables)
    np.testing.assert_allclose(layer(X), keras_layer(X), rtol=1e-6)
    layer(X, training=True), keras_layer(X, training=True)
    kinds = [[(tuple(v.shape), v.trainable) for v in one.weights] for one in (layer, keras_layer)]
    assert kinds[0] == kinds[1]
    for a, b in zip(layer.get_weights(), keras_layer.get_weights()):
        np.testing.assert_allclose(a, b, rtol=1e-5)


@pytest.mark.parametrize("kwargs", [
    {}, {"method": "__call__"}, {"method": lambda module, inputs, training: module(inputs, training=training)}])
def test_flax_modules_train_inside_models(kwargs):
    x = cornu.Input((3,))
    model = cornu.Model(x, cornu.layers.Dense(2)(FlaxLayer(Block(4), **kwargs)(x)))
    model.compile("adam", "mse")
    before = model.get_weights()
    model.fit(X, X[:, :2], verbose=0)
    assert all(not np.array_equal(a, b) for a, b in zip(before, model.get_weights()) if a.ndim)
    np.testing.assert_allclose(model(X), model.predict(X, verbose=0), rtol=1e-5)


@cornu.utils.register_keras_serializable()
class Saved(Block):
    def get_config(self):
        return {"width": self.width}


@pytest.mark.parametrize("make", [lambda: JaxLayer(apply_affine, init_affine), lambda: FlaxLayer(Saved(5))],
                         ids=["jax", "flax"])
def test_a_model_with_it_is_saved(make, tmp_path):
    model = cornu.Sequential([cornu.Input((3,)), make()])
    model.save(tmp_path / "model.keras")
    other = cornu.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(other(X), model(X), rtol=1e-6)
    again = cornu.models.clone_model(model)
    assert [v.shape for v in again.weights] == [v.shape for v in model.weights]


@pytest.mark.parametrize("make, message", [
    (lambda: JaxLayer(apply_affine), "Pass init_fn, or the first values as params="),
    (lambda: JaxLayer(lambda params: 1), "must take inputs"),
    (lambda: JaxLayer(lambda params, inputs, mood: 1), r"Received one of \(params, inputs, mood\)"),
    (lambda: JaxLayer(3), "call_fn must be a function. Received: 3"),
    (lambda: JaxLayer(apply_affine, lambda rng, shape: 1), "init_fn takes arguments of the names rng, inputs, training"),
    (lambda: JaxLayer(count_and_scale, lambda inputs: 1)(X), r"must return a pair \(params, state\). It returned 1"),
    (lambda: JaxLayer(apply_affine, init_affine, native_serialization_platforms=["cpu"]), "TensorFlow's files"),
    (lambda: FlaxLayer(3), "takes a flax.linen module .* Received builtins.int"),
    (lambda: FlaxLayer(Block(), method="run"), "method of Block"),
    (lambda: cornu.layers.serialize(FlaxLayer(Block())), "get_config"),
])
def test_mistakes_are_named(make, message):
    with pytest.raises((ValueError, TypeError), match=message) as found:
        make()
    assert len(str(found.value).splitlines()) <= 6
