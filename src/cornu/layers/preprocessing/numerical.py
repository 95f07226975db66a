"""Numbers to numbers: another scale, and bins."""

import jax.numpy as jnp
import numpy as np

from cornu import config, registry
from cornu.layers.layer import Layer


class Rescaling(Layer):
    """`inputs * scale + offset`, in the compute dtype whatever the inputs' own.

    Args:
        scale, offset: numbers, or one for each channel (the last axis, or the second where the image data format is
            "channels_first").

    Raises ValueError for what is neither a number nor a list of them.

    >>> Rescaling(1 / 255)(np.array([[0, 51, 255]], "uint8"))
    Array([[0. , 0.2, 1. ]], dtype=float32)
    """

    def __init__(self, scale, offset=0.0, **kwargs):
        super().__init__(**kwargs)
        self.scale, self.offset = (_factors(n, v) for n, v in (("scale", scale), ("offset", offset)))
        self.supports_masking = True
        self.built = True

    def call(self, inputs):
        inputs = inputs.astype(self.compute_dtype)
        return inputs * self._along(self.scale, inputs) + self._along(self.offset, inputs)

    def _along(self, values, inputs):
        values = jnp.asarray(values, inputs.dtype)
        if values.ndim == 1 and inputs.ndim > 1 and config.image_data_format() == "channels_first":
            values = values.reshape(-1, *[1] * (inputs.ndim - 2))
        return values


def _factors(name: str, value):
    """A number or a list of them, also from a config."""
    value = registry.deserialize(value)
    try:
        np.asarray(value, "float32")
    except (TypeError, ValueError):
        raise ValueError(f"Rescaling: argument `{name}` must be a number or a list of them. Received: {value!r}") from None
    return value
