"""The call context: what a layer's call needs to know of the calls around it."""

import contextvars
import weakref
from contextlib import contextmanager

from cornu import tree

_masks: dict = {}  # id of an array -> (weak reference to it, mask): JAX's tracers take no attributes


def put_mask(x, mask) -> None:
    """Give an array a mask, which is kept as long as the array."""
    try:
        x._keras_mask = mask
    except AttributeError:
        key = id(x)
        _masks[key] = (weakref.ref(x, lambda _: _masks.pop(key, None)), mask)


def mask_of(x):
    """The mask that a layer, or the user, gave to an array; None for none."""
    found = _masks.get(id(x))
    return found[1] if found is not None and found[0]() is x else getattr(x, "_keras_mask", None)


class CallContext:
    """One record for the span of an outermost call: training, masks, compute dtype, and the layers on the way.

    Masks are kept per array, by identity; the record keeps the array too, so that its identity is not given anew.
    """

    __slots__ = ("training", "compute_dtype", "masks", "path", "entry")

    def __init__(self, training=None, compute_dtype=None, masks=None, path=(), entry=None):
        self.training = training
        self.compute_dtype = compute_dtype
        self.masks = {} if masks is None else masks
        self.path = path
        self.entry = entry

    def mask_of(self, x):
        """The mask that belongs to an array, or None."""
        found = self.masks.get(id(x))
        return found[1] if found is not None and found[0] is x else mask_of(x)

    def masks_of(self, inputs):
        """The masks of inputs in their structure, or None where none of them has one."""
        if isinstance(inputs, (list, tuple, dict)):
            masks = tree.map_items(self.masks_of, inputs)
            return None if all(m is None for m in tree.flatten(masks)) else masks
        return self.mask_of(inputs) if inputs is not None else None

    def set_mask(self, x, mask) -> None:
        self.masks[id(x)] = (x, mask)
        put_mask(x, mask)


_context: contextvars.ContextVar = contextvars.ContextVar("cornu_call", default=None)
_name_path: contextvars.ContextVar = contextvars.ContextVar("cornu_names", default=())


def current() -> CallContext | None:
    """The context of the call that is running, or None."""
    return _context.get()


def enter(context: CallContext | None):
    """Make a context the current one; returns the token for `leave`."""
    return _context.set(context)


def leave(token) -> None:
    _context.reset(token)


@contextmanager
def autocast(dtype: str | None):
    """Within it, float Variables are read in the given dtype (None: in their own)."""
    outer = _context.get()
    token = _context.set(CallContext(outer.training, dtype, outer.masks, outer.path, outer.entry) if outer
                         else CallContext(compute_dtype=dtype))
    try:
        yield
    finally:
        _context.reset(token)


# What trains, by object, where a step keeps what an earlier `compile` saw; see `training/freezing.py`.
trains: contextvars.ContextVar = contextvars.ContextVar("cornu_trains", default=None)


def name_path() -> tuple:
    """The names of the scopes around, outermost first."""
    return _name_path.get()


class name_scope:
    """Within it, the paths of new variables start with the name (or with the path `override`).

    >>> from cornu import Variable
    >>> with name_scope("block"):
    ...     Variable(1.0, name="scale").path
    'block/scale'
    """

    def __init__(self, name: str, override: tuple | None = None):
        if not isinstance(name, str) or "/" in name:
            raise ValueError(f"A name is a string without '/'. Received: name={name!r}")
        self.name, self._path, self._tokens = name, override, []

    def __enter__(self) -> "name_scope":
        path = (*_name_path.get(), self.name) if self._path is None else self._path
        self._tokens.append(_name_path.set(path))
        return self

    def __exit__(self, *error) -> None:
        _name_path.reset(self._tokens.pop())
