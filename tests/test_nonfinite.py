"""NaN and infinity in training: the first layer, the step and the sample are named, and the step is taken back."""

import jax.numpy as jnp
import numpy as np
import pytest

import cornu
from cornu import layers, ops

X = np.random.default_rng(0).random((40, 4)).astype("float32") + 0.5
Y = X[:, :1]
BAD = np.where(np.arange(40)[:, None] == 37, -1.0, X).astype("float32")


class Log(layers.Layer):
    def call(self, x):
        return ops.log(x)


class Length(layers.Layer):
    """Its gradient is not finite at 0."""

    def call(self, x):
        return jnp.sqrt(ops.sum((x - 1.0) ** 2, -1, keepdims=True))


def overflow(y, y_pred):
    return ops.exp(1e4 * (y - y_pred) ** 2)


def build(layer, loss="mse", **told):
    cornu.utils.set_random_seed(0)
    model = cornu.Sequential([cornu.Input((4,)), layers.Dense(4, "relu", use_bias=False, kernel_initializer="identity", name="first"),
                              layer, layers.Dense(1, name="last")])
    model.compile("sgd", loss, **{"debug_nans": True, **told})
    return model


CASES = {  # layer, loss, data -> what is said
    "layer": (Log, "mse", BAD, r"step 5 of epoch 1: layer 'log.*' \(Log\) is the first whose output is not finite, in row 5 of the "
                               r"batch, which is sample 37 of the data"),
    "loss": (layers.Dropout, overflow, X * 100, r"step 1 of epoch 1: every layer's output is finite, and the loss .* is not"),
    "gradient": (Length, "mse", np.where(np.arange(40)[:, None] == 2, 1.0, X).astype("float32"),
                 r"step 1 of epoch 1: layer 'length.*' \(Length\) is the first whose gradient is not finite, in row 2 .* sample 2"),
    "data": (layers.Dropout, "mse", np.where(X == X[21, 2], np.inf, X), r"step 3 of epoch 1: the data is not finite, in row 5 .* sample 21"),
}


@pytest.mark.parametrize("eager", [False, True], ids=["compiled", "eager"])
@pytest.mark.parametrize("name", CASES)
def test_the_place_is_named_and_the_step_taken_back(name, eager):
    layer, loss, x, message = CASES[name]
    model = build(layer(0.0) if layer is layers.Dropout else layer(), loss, run_eagerly=eager)
    with pytest.raises(FloatingPointError, match=message):
        model.fit(x, Y, batch_size=8, shuffle=False, verbose=0)
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_shuffled_samples_are_found(capsys):
    model = build(Log(), debug_nans=False)
    model.fit(BAD, Y, batch_size=8, verbose=0, callbacks=[cornu.callbacks.TerminateOnNaN()])
    told = capsys.readouterr().out
    assert "the loss is nan" in told and "(Log) is the first" in told and "sample 37 of the data" in told
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_evaluation_and_own_steps_are_watched():
    class Own(cornu.Model):
        def train_step(self, data):
            loss, gradients = cornu.value_and_grad(lambda: ops.mean(self(data, training=True)), self.trainable_variables)
            self.optimizer.apply(gradients, self.trainable_variables)
            return {"cost": loss}

    with pytest.raises(FloatingPointError, match="step 5 of epoch 1: layer .*Log"):
        build(Log()).evaluate(BAD, Y, batch_size=8, verbose=0)
    x = cornu.Input((4,))
    model = Own(x, layers.Dense(1)(Log()(x)))
    model.compile("sgd", debug_nans=True)
    with pytest.raises(FloatingPointError, match=r"\(Log\) is the first .* sample 37"):
        model.fit(BAD, batch_size=8, verbose=0)


def test_sound_training_is_the_same():
    weights = []
    for debug in (False, True):
        model = build(layers.Dropout(0.2, seed=1), debug_nans=debug)
        model.fit(X, Y, batch_size=8, epochs=3, verbose=0)
        weights.append(model.get_weights())
    for a, b in zip(*weights):
        np.testing.assert_allclose(a, b, atol=1e-6)
