"""Variables that wait for the values that a file holds for them.

A model that is read from a file so takes no time and no memory for values that are replaced at once, and a config that
claims huge layers costs nothing.
"""

import contextlib
import math
import os

import jax
import numpy as np

from cornu import tree
from cornu.variable import Variable, awaiting, get_opaque_trace_state, in_scope, own_array

_AT_TOP = get_opaque_trace_state(convention="nnx")  # outside of every trace


@tree.register_leaf
class Awaited(Variable):
    """A variable that gets its value from a file, or from its initializer if it is read before."""

    shape = property(lambda self: self._start[1])
    ndim = property(lambda self: len(self._start[1]))
    size = property(lambda self: math.prod(self._start[1]))
    dtype = property(lambda self: self._dtype_here(self._start[2]))

    @property
    def _value(self):
        if in_scope() or get_opaque_trace_state(convention="nnx") != self._start[3]:
            return self._nothing()  # shapes are inferred: the values do not matter
        self.settle()
        return self._value

    @_value.setter
    def _value(self, value):
        self.__class__ = Variable
        del self.__dict__["_start"]
        self._value = value

    def _nothing(self):
        """Zeros of the right shape, which take no memory."""
        _, shape, dtype, _ = self._start
        if get_opaque_trace_state(convention="nnx") != _AT_TOP:  # an array would become a constant of the trace
            return jax.lax.full(shape, 0, dtype)
        return np.broadcast_to(np.zeros((), dtype), shape)

    def settle(self) -> None:
        """Take the value from the initializer."""
        initializer, shape, dtype, _ = self._start
        self._value = own_array(initializer(shape, dtype=dtype), dtype)

    def assign(self, value):
        self._value = self._nothing()
        return self.assign(value)

    def __deepcopy__(self, memo):
        self.settle()
        return self.__deepcopy__(memo)


class _Taken(list):
    def __init__(self):
        super().__init__()
        self.trace = get_opaque_trace_state(convention="nnx")
        self.numbers = 0  # what was asked for by `room_for`

    def take(self, variable, initializer, shape, dtype) -> None:
        variable.__dict__["_start"] = initializer, shape, dtype, self.trace
        variable.__class__ = Awaited
        self.append(variable)


@contextlib.contextmanager
def awaiting_values(limit: int, shown: str):
    """Variables that are made in the block wait for their values; those that got none in it are initialized.

    Raises ValueError, naming what is `shown`, when these take more than `limit` bytes.

    >>> with awaiting_values(1000, "The file"):
    ...     v = Variable(lambda shape, dtype: np.ones(shape, dtype), shape=(2,))
    ...     v.assign([3.0, 4.0])
    Array([3., 4.], dtype=float32)
    """
    token = awaiting.set(taken := _Taken())
    try:
        yield
        left = [v for v in taken if isinstance(v, Awaited)]
        if (needed := sum(v.size * np.dtype(v._start[2]).itemsize for v in left)) > limit:
            largest = max(left, key=lambda v: v.size)
            raise ValueError(f"{shown} asks for {needed / 1e9:.1f} GB of memory; at most {limit / 1e9:.1f} GB make sense. The "
                             f"largest part is {largest.path!r:.100} of shape {largest.shape}.")
        for variable in left:
            variable.settle()
    finally:
        awaiting.reset(token)


def memory() -> int:
    """The bytes of memory that this machine has; where it does not tell, more than any has."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 1 << 50
