"""Random bits by place: Threefry-2x32 with 20 rounds (Salmon et al. 2011), the same as JAX's, bit for bit.

JAX writes the rounds as a loop for XLA:CPU, which copies its state in every turn and cannot be fused: dropout over 128x1600
takes 0.94 ms so, and 0.29 as one chain of operations, which compiles in 0.06 s instead of 0.17. By NumPy nothing is
compiled at all: 3 ms for the 100,000 weights of a dense layer, where XLA takes 80 to compile.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cornu.lowering.platform import current_platform, island

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_LAX = lax.add, lax.bitwise_xor, lax.bitwise_or, lax.shift_left, lax.shift_right_logical
_NUMPY = np.add, np.bitwise_xor, np.bitwise_or, np.left_shift, np.right_shift


def by_place(key) -> bool:
    """Whether every number is a function of the key and its own place alone, as it is here."""
    return key.dtype == jnp.uint32 and key.shape == (2,) and bool(jax.config.jax_threefry_partitionable)


def _bits(first, second, places, library):
    """32 random bits for every place, from both halves of a key."""
    add, xor, either, left, right = library
    keys = first, second, xor(xor(first, second), np.uint32(0x1BD11BDA))
    x, y = first, add(places, second)
    for block in range(5):
        for rotation in map(np.uint32, _ROTATIONS[block % 2]):
            x = add(x, y)
            y = xor(either(left(y, rotation), right(y, np.uint32(32) - rotation)), x)
        x, y = add(x, keys[(block + 1) % 3]), add(y, add(keys[(block + 2) % 3], np.uint32(block + 1)))
    return xor(x, y)


@functools.partial(jax.jit, static_argnums=1)
def _uniform(key, shape):
    bits = _bits(key[0], key[1], lax.iota(jnp.uint32, math.prod(shape)), _LAX)
    ones = lax.bitwise_or(lax.shift_right_logical(bits, np.uint32(9)), np.uint32(0x3F800000))
    return (lax.bitcast_convert_type(ones, jnp.float32) - 1).reshape(shape)


def uniform(key, shape):
    """float32 numbers from [0, 1): `jax.random.uniform`'s."""
    if current_platform() != "cpu" or not by_place(key) or math.prod(shape) >= 2**32:  # places are numbers of 32 bits here
        return jax.random.uniform(key, shape, "float32")
    return _uniform(key, shape)


def bernoulli(key, share: float, shape):
    """True for a share of all places: `jax.random.bernoulli`'s, drawn once for all who read it."""
    return island(lambda key: uniform(key, shape) < jnp.float32(share))(key)


def uniform_on_host(key, shape):
    """The same by NumPy, for a NumPy key."""
    with np.errstate(over="ignore"):
        bits = _bits(*key.astype("uint32"), np.arange(math.prod(shape), dtype="uint32"), _NUMPY)
    return ((bits >> np.uint32(9) | np.uint32(0x3F800000)).view("float32") - np.float32(1)).reshape(shape)
