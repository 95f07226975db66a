"""Sums that neither stall nor drift, however many numbers go into them."""

import jax
import jax.numpy as jnp
import numpy as np

from cornu.variable import Variable


@jax.jit
def _added(state, x):
    """The pair of a sum and its rest, with x added: exact to twice the digits (Knuth's and Dekker's sums)."""
    high, low = jnp.real(state), jnp.imag(state)
    total = high + x
    back = total - high
    low = low + ((high - (total - back)) + (x - back))
    new = total + low
    return jax.lax.complex(new, jnp.where(jnp.isfinite(new), low - (new - total), 0))


def _as(dtype, value, sharding):
    """A concrete value in another dtype, by NumPy: nothing is compiled for it."""
    apart = None if isinstance(sharding, jax.sharding.SingleDeviceSharding) else sharding
    return jax.device_put(np.asarray(value).astype(dtype), apart)


class Tally(Variable):
    """A Variable whose `assign_add` and `assign_sub` keep what rounding takes off.

    float32 counts in steps of one to 2^24 only, and a mean over many batches drifts; this sum is exact to 48 bits. It
    is stored as a complex number, the rest being the imaginary part: one array costs a training step less time than
    two. Reads give the real part. Where a scope lends real numbers, sums are plain.

    >>> total = Tally(jnp.zeros, (), "float32", name="total")
    >>> total.assign(2.0**24), total.assign_add(1.0), total.assign_add(1.0)
    (Array(16777216., dtype=float32), Array(16777216., dtype=float32), Array(16777218., dtype=float32))
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        wide = jnp.promote_types(self._value.dtype, "complex64")
        with jax.core.eval_context():  # the metric may be built inside a trace
            self._value = _as(wide, self._value, self._value.sharding)

    raw = property(lambda self: jnp.real(super().raw))
    value = property(lambda self: self.raw)
    dtype = property(lambda self: jnp.finfo(self._value.dtype).dtype.name)  # reads no value, which a trace would keep

    def _kept(self, value):
        """The value, real, in the form that the scope lent or that is stored."""
        stored = super().raw
        if any(isinstance(x, jax.core.Tracer) for x in (value, stored)):
            return jnp.asarray(value, self.dtype).astype(stored.dtype)
        return _as(stored.dtype, value, stored.sharding)

    def assign_add(self, value):
        value = jnp.asarray(getattr(value, "raw", value), self.dtype)
        state = super().raw
        return jnp.real(self._write(_added(state, value) if jnp.iscomplexobj(state) else state + value))

    def assign_sub(self, value):
        return self.assign_add(-jnp.asarray(getattr(value, "raw", value)))


# As for Variable: JAX's functions see the array.
jax.tree_util.register_pytree_node(Tally, lambda v: ((v.value,), None), lambda _, children: children[0])
