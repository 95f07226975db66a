"""What Keras's own published programs stumble over on JAX, and works here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cornu
from cornu import layers

X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
V = cornu.Variable(np.arange(3.0), name="v")


@pytest.mark.parametrize("use, expected", [
    (lambda: jnp.sum(V), 3.0), (lambda: jnp.stack([V, V]).shape, (2, 3)),
    (lambda: jax.jit(lambda v: v * 2)(V), [0, 2, 4]),
    (lambda: jax.jit(lambda: V + 1)(), [1, 2, 3]), (lambda: jax.jit(lambda v: v)(V), [0, 1, 2]),
    (lambda: jax.jit(lambda: {"v": V})()["v"], [0, 1, 2]), (lambda: jax.grad(lambda v: (v**2).sum())(V), [0, 2, 4]),
    (lambda: jax.grad(lambda x: jnp.sum(x * V))(jnp.ones(3)), [0, 1, 2]),
    (lambda: jax.vmap(lambda v: v + 1)(V), [1, 2, 3]),
    (lambda: jax.tree.map(lambda v: v + 1, [V])[0], [1, 2, 3]), (lambda: jnp.where(V > 1, V, 0), [0, 0, 2]),
    (lambda: jax.lax.scan(lambda c, v: (c + v, v), 0.0, V)[0], 3.0), (lambda: np.add(V, 1), [1, 2, 3])])
def test_variables_enter_and_leave_jax(use, expected):
    np.testing.assert_allclose(use(), expected)


class Noise(layers.Layer):
    """Draws without a seed of its own."""

    def call(self, inputs):
        return inputs + cornu.random.normal(jnp.shape(inputs))


def test_unseeded_draws_in_a_compiled_layer_are_new_each_time_and_follow_the_global_seed():
    def run():
        cornu.utils.set_random_seed(7)
        model = cornu.Sequential([cornu.Input((3,)), Noise()])
        return [model.predict(X, verbose=0) for _ in range(2)]

    (first, second), (again, _) = run(), run()
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, again)


def test_unseeded_draws_in_training_are_new_at_every_step():
    model = cornu.Sequential([cornu.Input((3,)), Noise()])
    model.compile("sgd", "mse")
    losses = {model.train_on_batch(X, X) for _ in range(3)}
    assert len(losses) == 3


@pytest.mark.parametrize("name", ["layers", "weights", "variables", "trainable_variables", "non_trainable_variables",
                                  "trainable_weights", "metrics", "inputs", "outputs", "input_names", "operations"])
def test_lists_that_properties_give_may_be_edited(name):
    model = cornu.Sequential([cornu.Input((3,)), layers.Dense(2), layers.BatchNormalization()])
    model.compile("sgd", "mse")
    model.train_on_batch(X, X[:, :2])
    before = [id(x) for x in getattr(model, name)]
    getattr(model, name).clear()
    getattr(model, name).append("nonsense")
    assert [id(x) for x in getattr(model, name)] == before or name == "input_names"
    model.train_on_batch(X, X[:, :2])


class Seen(cornu.Metric):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.total = self.add_variable((), "zeros", name="total")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.total.assign_add(jnp.shape(y_true)[0])

    def result(self):
        return self.total


def test_a_metric_may_return_its_variable():
    model = cornu.Sequential([cornu.Input((3,)), layers.Dense(1)])
    model.compile("sgd", "mse", metrics=[Seen(name="seen")])
    assert model.fit(X, X[:, :1], batch_size=2, verbose=0).history["seen"] == [4.0]
    assert model.evaluate(X, X[:, :1], verbose=0, return_dict=True)["seen"] == 4.0


def depth(trace):
    return 0 if trace is None else 1 + depth(trace.tb_next)


def test_tracebacks_are_cut_to_the_users_frames_unless_told_otherwise():
    depths = []
    for on in (True, False):
        (cornu.config.enable_traceback_filtering if on else cornu.config.disable_traceback_filtering)()
        try:
            with pytest.raises(ValueError) as found:
                cornu.Sequential([cornu.Input((4,)), layers.Conv2D(2, 2)])
            depths.append(depth(found.value.__traceback__))
        finally:
            cornu.config.enable_traceback_filtering()
    assert depths[0] <= 3 < depths[1]


@pytest.mark.parametrize("alias, name", [
    ("layers.GlobalAvgPool2D", "layers.GlobalAveragePooling2D"), ("layers.MaxPool1D", "layers.MaxPooling1D"),
    ("layers.Convolution2D", "layers.Conv2D"), ("models.Model", "Model"), ("models.Sequential", "Sequential"),
    ("Layer", "layers.Layer"), ("Input", "layers.Input"), ("InputSpec", "layers.InputSpec"),
    ("Metric", "metrics.Metric"), ("ops.nn.relu", "ops.relu"), ("ops.numpy.sum", "ops.sum"),
    ("utils.custom_object_scope", "saving.custom_object_scope"),
    ("initializers.glorot_uniform", "initializers.GlorotUniform")])
def test_aliases(alias, name):
    def find(path):
        found = cornu
        for part in path.split("."):
            found = getattr(found, part)
        return found

    assert find(alias) is find(name)
    assert cornu.__version__ == cornu.version()


def _residual():
    x = cornu.Input((3,))
    return cornu.Model(x, layers.Add()([x, layers.Dense(3, "relu")(x)]) * 2)


@pytest.mark.parametrize("make", [
    _residual, lambda: cornu.Sequential([cornu.Input((3,)), layers.Dense(4), layers.BatchNormalization(),
                                         layers.Dropout(0.5)])])
@pytest.mark.parametrize("training", [None, False, True])
def test_outermost_calls_are_compiled_and_equal_the_eager_ones(make, training):
    model = make()
    start = [v.numpy() for v in model.variables]
    results = []
    for eager in (True, False):
        model.run_eagerly = eager
        for variable, value in zip(model.variables, start):
            variable.assign(value)
        results.append([np.asarray(model(X, training=training)) for _ in range(3)])
        results[-1] += [v.numpy() for v in model.variables]
    assert model._compiled_calls.jitted, "no call was compiled"
    for a, b in zip(*results):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_models_with_layers_of_ones_own_run_as_they_are_written():
    seen = []

    class Mine(layers.Layer):
        def call(self, x):
            seen.append(isinstance(x, jax.core.Tracer))
            return x

    model = cornu.Sequential([cornu.Input((3,)), Mine()])
    seen.clear()
    for _ in range(3):
        model(X)
    assert seen == [False] * 3
