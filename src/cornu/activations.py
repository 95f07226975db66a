"""Activation functions by name: those of `cornu.ops`, with Keras's defaults for layers."""

from typing import Any, Callable

import jax.numpy as jnp

from cornu import frames, registry
from cornu.ops.kit import inexact
from cornu.ops.nn_activations import (celu, elu, glu, hard_shrink, hard_sigmoid, hard_silu, hard_tanh, leaky_relu,
                                      log_sigmoid, log_softmax, relu6, selu, sigmoid, silu, soft_shrink, softmax,
                                      softplus, softsign, sparse_plus, sparse_sigmoid, sparsemax, squareplus,
                                      tanh_shrink, threshold)
from cornu.ops.nn_activations import gelu as _gelu
from cornu.ops.nn_activations import relu as _relu
from cornu.ops.numpy_elementwise import exp, tanh
from cornu.symbolic import op


def _named(name, fn, doc):
    def function(x):
        return fn(x)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


exponential = _named("exponential", exp, "e^x.")


def relu(x, negative_slope=0.0, max_value=None, threshold=0.0):
    """x above the threshold, negative_slope (x - threshold) below it; at most max_value.

    Args:
        x: a tensor.
        negative_slope: the slope below the threshold.
        max_value: the largest result, or None.
        threshold: where the function starts.

    >>> relu(jnp.array([-1.0, 2.0]))
    Array([0., 2.], dtype=float32)
    """
    if negative_slope == 0 and max_value is None and threshold == 0:
        return _relu(x)
    return _bent_relu(x, negative_slope, max_value, threshold)


@op
def _bent_relu(x, negative_slope, max_value, threshold):
    x = inexact(x)
    below = negative_slope * (x - threshold)
    result = jnp.where(x >= 0 if negative_slope and threshold == 0 else x > threshold, x, below)
    return (result if max_value is None else jnp.minimum(result, max_value)).astype(x.dtype)


def gelu(x, approximate=False):
    """x P(X <= x) for a standard normal X, or its approximation by tanh (Hendrycks and Gimpel 2016)."""
    return _gelu(x, approximate)


@op
def mish(x):
    """x tanh(log(1 + e^x)) (Misra 2019)."""
    x = inexact(x)
    return x * jnp.tanh(jnp.logaddexp(x, jnp.zeros((), x.dtype)))


def linear(x):
    """x itself."""
    return x


swish, hard_swish = silu, hard_silu
_FUNCTIONS = (celu, elu, exponential, gelu, glu, hard_shrink, hard_sigmoid, hard_silu, hard_tanh, leaky_relu, linear,
              log_sigmoid, log_softmax, mish, relu, relu6, selu, sigmoid, silu, soft_shrink, softmax, softplus,
              softsign, sparse_plus, sparse_sigmoid, sparsemax, squareplus, tanh, tanh_shrink, threshold)
registry.add_functions("activations", {f.__name__: f for f in _FUNCTIONS} | {"swish": silu, "hard_swish": hard_silu})


@frames.filtered
def get(identifier: Any) -> Callable:
    """The activation that a name, a config or a callable means; `linear` for None.

    Raises ValueError for an unknown name, with the nearest known ones.

    >>> get("relu") is relu
    True
    """
    return linear if identifier is None else registry.get(identifier, "activations", "activation")


def serialize(activation: Callable) -> Any:
    """The activation's name, or a config for one of the user's own."""
    return registry.serialize(activation)


@frames.filtered
def deserialize(config: Any, custom_objects: dict | None = None) -> Callable:
    """The activation that `serialize` wrote."""
    return registry.deserialize(config, custom_objects, "activations", "activation")
