"""Forward-mode differentiation through layers whose gradients are written by hand: jvp, jacfwd, hessian."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cornu
from cornu import layers

RANDOM = np.random.default_rng(0)
ROWS, STEPS, IMAGES = (RANDOM.random(s).astype("float32") for s in ((2, 3), (2, 5, 3), (2, 6, 6, 4)))
CASES = {
    "Dense": (lambda: layers.Dense(3, activation="relu"), ROWS),
    "Conv1D": (lambda: layers.Conv1D(3, 3), STEPS),
    "Conv2D": (lambda: layers.Conv2D(3, 3, padding="same"), IMAGES),
    "Conv2DTranspose": (lambda: layers.Conv2DTranspose(3, 3, 2), IMAGES),
    "SeparableConv2D": (lambda: layers.SeparableConv2D(3, 3), IMAGES),
    "MaxPooling2D": (lambda: layers.MaxPooling2D(), IMAGES),
    "AveragePooling2D": (lambda: layers.AveragePooling2D(2), IMAGES),
    "BatchNormalization": (lambda: layers.BatchNormalization(), IMAGES),
    "LayerNormalization": (lambda: layers.LayerNormalization(), STEPS),
    "LSTM": (lambda: layers.LSTM(2), STEPS),
    "GRU": (lambda: layers.GRU(2, return_sequences=True), STEPS),
    "Bidirectional": (lambda: layers.Bidirectional(layers.SimpleRNN(2)), STEPS),
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.long] * (n in ("GRU", "Bidirectional"))) for n in CASES])
def test_forward_equals_reverse(name):
    layer, x = CASES[name][0](), jnp.asarray(CASES[name][1])
    direction, loss = jnp.cos(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape), lambda x: jnp.sum(jnp.sin(layer(x)))
    expected = jnp.vdot(jax.grad(loss)(x), direction)
    for jvp in (jax.jvp, jax.jit(jax.jvp, static_argnums=0)):
        np.testing.assert_allclose(jvp(loss, (x,), (direction,))[1], expected, rtol=2e-5, atol=2e-5)


@pytest.mark.long
def test_hessian_of_a_network_by_its_weights():
    model = cornu.Sequential([cornu.Input((6, 6, 4)), layers.Conv2D(2, 3, activation="tanh"), layers.AveragePooling2D(2),
                              layers.Flatten(), layers.Dense(1)])
    first, *others = [v.raw for v in model.weights]
    pure = cornu.functional(lambda: jnp.sum(model(IMAGES) ** 2), model.weights)
    loss = lambda kernel: pure([kernel, *others])[0]
    np.testing.assert_allclose(jax.hessian(loss)(first), jax.jacrev(jax.jacrev(loss))(first), rtol=1e-4, atol=1e-5)


def test_reverse_mode_keeps_its_own_gradients():
    layer, x = layers.Dense(3), jnp.asarray(ROWS)
    layer(x)
    text = str(jax.make_jaxpr(lambda x: layer(x))(x)), str(jax.make_jaxpr(lambda x: jax.jvp(layer, (x,), (x,)))(x))
    assert "custom_vjp" in text[0] and "custom_vjp" not in text[1]
