"""Objects that are built wholly or not at all, and layers that are built while a shape is inferred by concrete trial sizes.

In the first two trials it is only noted which layers are built and for which shapes; afterwards each layer is again
what it was. In the third, each is built for the shapes that both trials have in common, with None where they differ.
"""

import contextlib
import contextvars

from cornu import names
from cornu.variable import structure

_current: contextvars.ContextVar = contextvars.ContextVar("cornu_trial", default=None)


class Trial:
    """A `with` block around an inference by concrete sizes.

    Args:
        known: the two trials before, in the last inference.
    """

    def __init__(self, known: list = ()):
        self.known, self.built, self._before = known, [], []

    def __enter__(self) -> "Trial":
        self._outer, self._token = _current.get(), _current.set(self)
        self._counts = names.counts()
        return self

    def __exit__(self, *error) -> None:
        _current.reset(self._token)
        if self.known and error[0] is None:
            return
        for before in reversed(self._before):
            _put_back(*before)
        names.set_counts(self._counts)

    def shapes(self, layer, shapes):
        """Note that a layer is about to be built; returns the shapes to build it for."""
        self._before.append(_as_it_is(layer))
        place = len(self.built)
        if self.known and all(len(t.built) > place and t.built[place][0] is type(layer) for t in self.known):
            shapes = _common(*(t.built[place][1] for t in self.known))
        self.built.append((type(layer), shapes))
        return self._outer.shapes(layer, shapes) if self._outer is not None and self.known else shapes


def _as_it_is(thing) -> tuple:
    attributes = dict(thing.__dict__)
    return thing, attributes, [(x, x.copy()) for x in attributes.values() if type(x) in (list, dict)]


def _put_back(thing, attributes, contents) -> None:
    thing.__dict__.clear()
    thing.__dict__.update(attributes)
    for container, items in contents:
        container.clear()
        container.update(items) if isinstance(items, dict) else container.extend(items)
    structure["version"] += 1


@contextlib.contextmanager
def whole_or_not(thing):
    """Let an object be built within it: where that fails, by an error or Ctrl-C, the object is what it was.

    >>> class Thing: ...
    >>> thing = Thing()
    >>> with contextlib.suppress(KeyError), whole_or_not(thing):
    ...     thing.half = 1
    ...     raise KeyError
    >>> vars(thing)
    {}
    """
    before = _as_it_is(thing)
    try:
        yield
    except BaseException:
        _put_back(*before)
        raise


def _common(one, other):
    """Two structures of shapes as one, with None for the sizes in which they differ."""
    if type(one) is not type(other):
        return None
    if isinstance(one, dict):
        return {k: _common(v, other.get(k)) for k, v in one.items()}
    if isinstance(one, (list, tuple)) and len(one) == len(other):
        return type(one)(_common(a, b) for a, b in zip(one, other))
    return one if one == other else None


def building(layer, shapes):
    """The shapes to build a layer for: the given ones, unless they come from trial sizes."""
    trial = _current.get()
    return shapes if trial is None else trial.shapes(layer, shapes)
