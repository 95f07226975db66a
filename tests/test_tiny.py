"""The first file to read: what cornu is, from a Variable to a trained model, in growing difficulty."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cornu


def test_a_variable_is_an_array_with_a_name():
    v = cornu.Variable([1.0, 2.0], name="v")
    v.assign_add([1.0, 1.0])
    np.testing.assert_array_equal(jnp.sqrt(v * v), [2.0, 3.0])


def test_functional_makes_stateful_text_pure():
    counter = cornu.Variable(0, name="counter")
    pure = cornu.functional(lambda step: counter.assign_add(step), [counter])
    output, [new] = jax.jit(pure)([counter.value], 3)
    assert (output, new, counter.value) == (3, 3, 0)


def test_an_error_discards_the_scope():
    counter = cornu.Variable(0)

    def fail():
        counter.assign_add(1)
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        cornu.functional(fail, [counter])([counter.value])
    assert int(counter) == 0


@pytest.mark.parametrize("inner", ["vmap", "scan", "checkpoint", "cond"])
def test_a_write_from_a_deeper_trace_is_refused(inner):
    counter = cornu.Variable(0.0, name="counter")
    bodies = {"vmap": lambda: jax.vmap(counter.assign_add)(jnp.ones(3)),
              "scan": lambda: jax.lax.scan(lambda c, x: (c, counter.assign_add(x)), 0.0, jnp.ones(3)),
              "checkpoint": lambda: jax.checkpoint(counter.assign_add)(1.0),
              "cond": lambda: jax.lax.cond(True, lambda: counter.assign_add(1.0), lambda: 0.0)}
    with pytest.raises(RuntimeError, match="counter.*inner JAX transformation"):
        jax.jit(cornu.functional(bodies[inner], [counter]))([counter.value])
    assert float(counter) == 0.0


def test_a_write_that_would_leak_is_refused():
    counter = cornu.Variable(0.0, name="counter")
    with pytest.raises(RuntimeError, match="counter.*leak"):
        jax.jit(counter.assign)(1.0)


def test_value_and_grad_hands_writes_on():
    w, calls = cornu.Variable(3.0), cornu.Variable(0)

    def loss_fn():
        calls.assign_add(1)
        return w.value**2

    loss, [gradient] = cornu.value_and_grad(loss_fn, [w])
    assert (float(loss), float(gradient), int(calls)) == (9.0, 6.0, 1)


def test_a_layer_builds_itself():
    dense = cornu.layers.Dense(3)
    assert dense(np.ones((2, 4))).shape == (2, 3)
    assert [v.path for v in dense.weights] == ["dense/kernel", "dense/bias"] or dense.name != "dense"


def test_symbolic_shapes_are_inferred():
    x = cornu.Input((8, 4))
    y = cornu.layers.Flatten()(cornu.layers.Dense(3)(x))
    assert y.shape == (None, 24)


def test_shared_and_nested_models_share_their_state():
    inner = cornu.Sequential([cornu.Input((4,)), cornu.layers.BatchNormalization()], name="inner")
    x = cornu.Input((4,))
    model = cornu.Model(x, inner(inner(x)))
    pure = cornu.functional(lambda x: model(x, training=True), model.variables)
    before = np.asarray(inner.weights[2])
    _, new = jax.jit(pure)([v.value for v in model.variables], np.ones((2, 4), "float32"))
    assert len(model.weights) == 4
    np.testing.assert_array_equal(inner.weights[2], before)
    np.testing.assert_allclose(new[2], 0.99 * 0.01 + 0.01 * 0, atol=0.011)


def test_masks_travel_through_a_model_and_its_ops():
    class Masked(cornu.layers.Layer):
        def __init__(self):
            super().__init__()
            self.supports_masking = True

        def call(self, x, mask=None):
            return x if mask is None else x * mask[..., None]

    x = cornu.Input((None, 2))
    y = cornu.layers.Masking()(x)
    inner = cornu.Sequential([cornu.layers.Dense(2, use_bias=False, kernel_initializer="ones"), Masked()])
    out = cornu.Model(x, inner(y))(np.array([[[1.0, 1.0], [0.0, 0.0]]]))
    np.testing.assert_array_equal(out, [[[2.0, 2.0], [0.0, 0.0]]])
    np.testing.assert_array_equal(out._keras_mask, [[True, False]])


def test_a_config_is_what_the_constructor_was_told():
    layer = cornu.layers.Dense(3, activation="relu", name="mine")
    copy = cornu.layers.Dense.from_config(layer.get_config())
    assert (copy.units, copy.name, copy.get_config()) == (3, "mine", layer.get_config())


def problem(samples=256):
    x = np.random.default_rng(0).normal(size=(samples, 4)).astype("float32")
    return x, (x @ [1.0, -2.0, 3.0, 0.5] > 0).astype("int32")


def classifier():
    model = cornu.Sequential([cornu.Input((4,)), cornu.layers.Dense(16, "relu"), cornu.layers.Dropout(0.1),
                              cornu.layers.Dense(2, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def test_the_five_steps():
    cornu.utils.set_random_seed(0)
    x, y = problem()
    model = classifier()
    history = model.fit(x, y, epochs=15, validation_split=0.2, verbose=0)
    loss, accuracy = model.evaluate(x, y, verbose=0)
    assert accuracy > 0.8 and loss < history.history["loss"][0]
    assert (model.predict(x, verbose=0).argmax(-1) == y).mean() == pytest.approx(accuracy)


def test_the_same_seed_gives_the_same_weights():
    def train():
        cornu.utils.set_random_seed(1)
        model = classifier()
        model.fit(*problem(), epochs=2, verbose=0)
        return model.get_weights()

    for a, b in zip(train(), train()):
        np.testing.assert_array_equal(a, b)


def test_a_failing_fit_leaves_the_model_as_it_was():
    x, y = problem()
    model = classifier()
    model.fit(x, y, verbose=0)
    before = [np.array(v) for v in [*model.variables, *model.optimizer.variables]]
    with pytest.raises(ValueError):
        model.fit(x[:, :3], y, verbose=0)
    for a, b in zip(before, [*model.variables, *model.optimizer.variables]):
        np.testing.assert_array_equal(a, b)


def test_a_training_step_of_ones_own():
    class Own(cornu.Model):
        def __init__(self):
            super().__init__()
            self.dense, self.seen = cornu.layers.Dense(1), cornu.metrics.Mean(name="seen")

        def call(self, x):
            return self.dense(x)

        def train_step(self, data):
            x, y = data
            loss, gradients = cornu.value_and_grad(lambda: ((self(x)[:, 0] - y) ** 2).mean(), self.trainable_variables)
            self.optimizer.apply(gradients, self.trainable_variables)
            self.seen.update_state(loss)
            return {"seen": self.seen.result()}

    model = Own()
    model.compile("sgd")
    x, y = problem()
    history = model.fit(x, y.astype("float32"), epochs=5, verbose=0)
    assert history.history["seen"][-1] < history.history["seen"][0]
