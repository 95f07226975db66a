"""Random numbers: a SeedGenerator is a Variable that is a key, and every distribution takes one, or an integer.

The same seed gives the same numbers as Keras on JAX, bit for bit.
"""

import math
import random as python_random
import threading

import jax
import jax.numpy as jnp
import numpy as np

from cornu import dtypes, lowering, names, tree
from cornu.registry import Configurable
from cornu.variable import Variable, get_opaque_trace_state, in_scope

_drawing, _making = threading.Lock(), threading.Lock()
changes = [0]  # counts draws, and whatever else changes a SeedGenerator's state
_AT_TOP = get_opaque_trace_state(convention="nnx")


@tree.register_leaf
class SeedState(Variable):
    """The state of a SeedGenerator: a seed and a count of draws, which are kept on the host.

    Draws are counted there, under a lock for some nanoseconds, so that threads never draw the same numbers; a compiled step is
    given its seeds as data, nothing of them is donated.
    """

    of_seed = True
    shape, ndim, size = (2,), 1, 2
    _held: tuple = ()

    @property
    def _value(self):
        pair, array = self._held
        if array is None:
            pair = self.pair()
            with jax.ensure_compile_time_eval():  # it may be read inside a trace
                self._held = pair, (array := jax.device_put(np.array(pair, "uint32")))
        return array

    @_value.setter
    def _value(self, value):
        self._held = None, value
        changes[0] += 1

    def hold_row(self, states, row: int) -> None:
        """Take the value from a row of what a step returned, which need not be there yet."""
        self._held = (states, row), None
        changes[0] += 1

    def is_row(self, states, row: int) -> bool:
        """Whether that is the value."""
        pair = self._held[0]
        return pair is not None and pair[0] is states and pair[1] == row

    def __getstate__(self) -> dict:
        return dict(self.__dict__)

    def __deepcopy__(self, memo):
        copy = memo[id(self)] = object.__new__(type(self))
        copy.__dict__.update(self.__dict__, _held=(self.pair(), None))
        return copy

    def pair(self) -> tuple:
        """The seed and the count."""
        pair, array = held = self._held
        if pair is None or not isinstance(pair[0], int):
            pair = tuple(np.asarray(array if pair is None else pair[0])[() if pair is None else pair[1]].tolist())
            if self._held is held:
                self._held = pair, array
        return pair

    def take(self, count: int, taken: list | None = None) -> tuple:
        """The state for so many draws, which nobody else is given.

        It is noted in `taken` before it counts on, for `give_back`.
        """
        with _drawing:
            seed, number = pair = self.pair()
            if taken is not None:
                taken.append((self, pair, count))
            self._held = (seed, (number + count) % 2**32), None
            changes[0] += 1
        return pair

    def give_back(self, pair: tuple, count: int) -> None:
        """Undo `take`, if nothing was drawn since."""
        with _drawing:
            if self.pair() == (pair[0], (pair[1] + count) % 2**32):
                self._held = pair, None
                changes[0] += 1


# As for Variable: JAX's functions see the array.
jax.tree_util.register_pytree_node(SeedState, lambda v: ((v.value,), None), lambda _, children: children[0])


class SeedGenerator(Configurable):
    """A source of fresh seeds: every draw takes the state as its key and counts it on.

    Args:
        seed: an integer >= 0, or None for one from Python's `random` (so `utils.set_random_seed` fixes it).
        name: its name.

    Raises ValueError for a seed that is not such an integer.

    >>> generator = SeedGenerator(1337)
    >>> generator.next()
    Array([1337,    0], dtype=uint32)
    """

    def __init__(self, seed: int | None = None, name: str | None = None, **kwargs):
        kwargs.pop("backend", None)
        if kwargs:
            raise ValueError(f"SeedGenerator: unknown arguments {sorted(kwargs)}.")
        seed = make_default_seed() if seed is None else seed
        if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool) or seed < 0:
            raise ValueError(f"A seed is an integer >= 0 or None. Received: seed={seed!r}")
        self.seed, self.name = int(seed), name or names.auto_name("seed_generator")
        self.state = SeedState(np.array([seed % 2**32, 0], "uint32"), dtype="uint32", trainable=False, name="seed_generator_state")
        self.state.path = f"{self.name}/seed_generator_state"

    def next(self, ordered: bool = True):
        """The key of this draw, a uint32 array of shape (2,); the state is counted on."""
        if not in_scope() and get_opaque_trace_state(convention="nnx") == _AT_TOP:
            return jax.device_put(np.array(self.state.take(1), "uint32"))
        key = self.state.raw
        self.state.assign(key + jax.lax.iota("uint32", 2))  # no constant: a step's draws are counted by what is added
        return key

    def get_config(self) -> dict:  # Keras writes no name
        return {"seed": self.seed}


def make_default_seed() -> int:
    """A seed from Python's `random` module, which `utils.set_random_seed` fixes."""
    return python_random.randint(1, int(1e9))


_global: list = [None]


def global_seed_generator() -> SeedGenerator:
    """The generator behind calls without a seed; a training step carries its state along like the model's own."""
    if _global[0] is None:
        with _making:  # two threads must not begin with a generator each
            if _global[0] is None:
                _global[0] = SeedGenerator(name="global_seed_generator")
    return _global[0]


def reset_global_seed() -> None:
    """Forget the global generator; the next call without a seed makes a new one."""
    _global[0] = None


def key_of(seed):
    """The JAX key that a seed (None, integer, SeedGenerator or key array) stands for."""
    if seed is None:
        return global_seed_generator().next()
    if hasattr(seed, "next"):
        return seed.next()
    if isinstance(seed, (int, np.integer)):
        return jax.device_put(np.array([int(seed) % 2**32, 0], "uint32"))  # compiles nothing
    if isinstance(seed, (jax.Array, Variable)):
        return getattr(seed, "raw", seed)
    raise ValueError(f"A seed is None, an integer, a SeedGenerator or a key. Received: seed={seed!r}")


def _float(dtype):
    dtype = dtypes.standardize(dtype)
    if not dtypes.is_float(dtype):
        raise ValueError(f"A random float needs a float dtype. Received: dtype={dtype!r}")
    return dtype


def _array(parameter):
    """A parameter of a distribution; lists of them become arrays."""
    return jnp.asarray(parameter) if isinstance(parameter, (list, tuple)) else getattr(parameter, "raw", parameter)


def _shape(shape) -> tuple:
    shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    if any(d is None for d in shape):
        raise ValueError(f"Random numbers need a shape whose sizes are all known. Received: shape={shape}\n"
                         "Inside a layer's call, cornu.ops.shape(x) gives sizes that are.")
    return shape


def normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    """Draw from the normal distribution of the given mean and standard deviation.

    >>> normal((2,), seed=1337)
    Array([0.6725026 , 0.24866055], dtype=float32)
    """
    dtype = _float(dtype)
    return _drawn(jax.random.normal, key_of(seed), _shape(shape), dtype, stddev, mean)


def uniform(shape, minval=0.0, maxval=1.0, dtype=None, seed=None):
    """Draw evenly from [minval, maxval); integers where the dtype is one."""
    dtype = dtypes.standardize(dtype)
    if dtypes.is_int(dtype):
        return randint(shape, minval, maxval, dtype, seed)
    key, shape = key_of(seed), _shape(shape)
    plain = _float(dtype) == "float32" and all(isinstance(v, (int, float)) for v in (minval, maxval))
    if plain and _by_place(key, shape):
        low, high = np.float32(minval), np.float32(maxval)
        # XLA multiplies and adds with one rounding: in 64 bits the product is exact.
        drawn = lowering.uniform_on_host(np.asarray(key), shape).astype("float64") * (high - low) + low
        return jax.device_put(np.maximum(low, drawn.astype("float32")))
    if plain and (minval, maxval) == (0, 1):
        return lowering.uniform(key, shape)
    return jax.random.uniform(key, shape, dtype, _array(minval), _array(maxval))


_FEW = 1 << 18


def _by_place(key, shape) -> bool:
    """Whether the numbers are few, and each depends on the key and its own place alone."""
    return math.prod(shape) <= _FEW and not isinstance(key, jax.core.Tracer) and lowering.by_place(key)


def _drawn(draw, key, shape, dtype, stddev, mean):
    """`stddev draw(key, shape, dtype) + mean`, few numbers as the beginning of a longer draw: not every shape is compiled."""
    count = math.prod(shape)
    if not _by_place(key, shape) or count == 0 or any(isinstance(v, (jax.Array, Variable)) for v in (stddev, mean)):
        return draw(key, shape, dtype) * jnp.asarray(stddev, dtype) + jnp.asarray(mean, dtype)
    size = 4 ** max(4, math.ceil(math.log(count, 4)))
    with jax.core.eval_context():  # the key may be known while a program around is traced
        drawn = np.asarray(draw(key, (size,), dtype))[:count].reshape(shape)
    return jax.device_put(drawn * np.asarray(stddev, drawn.dtype) + np.asarray(mean, drawn.dtype))


def randint(shape, minval, maxval, dtype="int32", seed=None):
    """Draw integers evenly from [minval, maxval)."""
    dtype = dtypes.standardize(dtype)
    if not dtypes.is_int(dtype):
        raise ValueError(f"randint needs an integer dtype. Received: dtype={dtype!r}")
    return jax.random.randint(key_of(seed), _shape(shape), _array(minval), _array(maxval), dtype)


def truncated_normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    """Draw from a normal distribution whose values beyond two standard deviations are drawn again."""
    dtype = _float(dtype)

    def draw(key, shape, dtype):
        return jax.random.truncated_normal(key, -2.0, 2.0, shape, dtype)

    return _drawn(draw, key_of(seed), _shape(shape), dtype, stddev, mean)


def categorical(logits, num_samples, dtype="int32", seed=None):
    """Draw class numbers from unnormalized log probabilities of shape (batch, classes): (batch, num_samples)."""
    logits = jnp.asarray(logits)
    if logits.ndim != 2:
        raise ValueError(f"categorical: `logits` must have shape (batch, classes). Received shape: {logits.shape}")
    shape = (logits.shape[0], num_samples)
    drawn = jax.random.categorical(key_of(seed), logits[:, :, None], axis=1, shape=shape)  # Keras's order of draws
    return drawn.astype(dtypes.standardize(dtype))


def dropout(inputs, rate, noise_shape=None, seed=None):
    """Set a share `rate` of the values to 0 and divide the others by `1 - rate`; noise_shape's 1s share a draw."""
    inputs = jnp.asarray(inputs)
    keep = 1.0 - rate
    if isinstance(rate, (int, float)) and rate >= 1:
        return jnp.zeros_like(inputs)
    shape = inputs.shape if noise_shape is None else tuple(
        inputs.shape[i] if n is None else n for i, n in enumerate(noise_shape))
    mask = lowering.bernoulli(key_of(seed), keep, shape)
    return jnp.where(mask, inputs / jnp.asarray(keep, inputs.dtype), jnp.zeros((), inputs.dtype))


def shuffle(x, axis=0, seed=None):
    """The values in random order along an axis."""
    return jax.random.permutation(key_of(seed), jnp.asarray(x), axis)


def gamma(shape, alpha, dtype=None, seed=None):
    """Draw from the gamma distribution of shape alpha and scale 1."""
    dtype = _float(dtype)
    return jax.random.gamma(key_of(seed), _array(alpha), shape=_shape(shape), dtype=dtype)


def binomial(shape, counts, probabilities, dtype=None, seed=None):
    """Draw the number of successes among `counts` tries of the given probability."""
    dtype = _float(dtype)
    return jax.random.binomial(key_of(seed), _array(counts), _array(probabilities), shape=_shape(shape), dtype=dtype)


def beta(shape, alpha, beta, dtype=None, seed=None):
    """Draw from the beta distribution."""
    dtype = _float(dtype)
    return jax.random.beta(key_of(seed), _array(alpha), _array(beta), shape=_shape(shape), dtype=dtype)
