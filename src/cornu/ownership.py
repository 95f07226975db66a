"""Who owns which array when: a variable its value, a flight the values that a step writes, a reader what it holds.

A compiled training step writes the new state into the memory of the old one: its arguments are donated. So for the span of
a call the values leave their variables, all at once, and belong to a Flight. What somebody else holds besides (another
variable, a reader in another thread, the user) is copied before it is donated; a count of references tells. The results
land in the flight, in one call that is C to its end, so that no signal comes in between. Writing them back is such a call
too, and may be repeated: whoever reads a variable without a value finds its flight and finishes what was left undone. A
reader of a state that is under way waits for that one call and gets its result. No lock is held meanwhile: `_moving` is
held while references are moved about, some microseconds.

A value that is there is read as any attribute. `read` gives those of many variables from between the same two steps.
"""

import collections
import contextlib
import itertools
import operator
import os
import sys
import threading
import time

import jax
import numpy as np

from cornu.variable import assigned

_moving = threading.RLock()
_END = object()
_NAME = "_value"
_value_in = operator.itemgetter(_NAME)
_new_lock, _this_thread = threading.Lock, threading.get_ident
_tellings = [0]  # how often variables were told which state they fly with


def _renew_lock() -> None:
    """After a fork: a thread that is not there any more may have held it."""
    global _moving
    _moving = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def _exhaust(iterator) -> None:
    """Run an iterator to its end, in C."""
    collections.deque(iterator, maxlen=0)


def _references(arrays: list) -> list:
    """How often each array is referred to; `arrays` is one of the places."""
    return list(map(sys.getrefcount, arrays))


_ALONE = _references([object()])[0]  # what it is where nobody else holds one


def write(variables, values) -> None:
    """Give variables values in the form in which they are stored, as one action that no signal divides."""
    for variable in variables:
        variable._value  # what is under way lands before
    assigned[0] += 1
    _exhaust(map(setattr, variables, itertools.repeat(_NAME), values))


def read(variables) -> list:
    """The stored values of variables, those of a state from between the same two steps."""
    dicts = [v.__dict__ for v in variables]
    try:
        return list(map(_value_in, dicts))
    except KeyError:
        pass
    held: dict = {}  # by state
    while True:
        found, missing = _found(variables, dicts, held)
        if missing is None:
            return found
        flight = missing.flight
        if flight is not None:
            flight.wait()
            held[missing] = flight  # and nobody donates what has landed in it
            missing.settle(flight)


def _found(variables, dicts, held) -> tuple:
    """The values of the variables, or the state that one of them has to be waited for with."""
    found = []
    with _moving:
        for variable, own in zip(variables, dicts):
            state = own.get("_flies_with")
            if _NAME in own or state is None:
                found.append(variable._value)
            elif state in held:
                found.append(held[state].values()[state.places[id(variable)]])
            else:
                return found, state
    return found, None


class Flight:
    """One call of an executable with the values that it takes along, and where its results land.

    Args:
        given: the values.
        rest: the arguments of the call after the values.
    """

    __slots__ = ("given", "args", "landed", "kept", "_waiting", "_over", "_thread")

    def __init__(self, given: list, rest: tuple):
        self.given, self.args, self.kept = given, [given, *rest], None
        self.landed: list = []
        self._waiting = [_END, _END, _END, _END, self.args]  # an end for each who may ask at the same moment
        self._over, self._thread = _new_lock(), _this_thread()

    def run(self, function) -> bool:
        """Call the function, unless somebody has taken the values back; returns whether it was called."""
        with self._over:
            self.landed.extend(itertools.starmap(function, iter(self._waiting.pop, _END)))
        return bool(self.landed)

    def ended(self) -> bool:
        """Whether the call is over, or will not be: one that has not begun is called off."""
        if self.landed:
            return True
        with contextlib.suppress(IndexError):
            if self._waiting.pop() is not _END:
                return True
            self._waiting.append(_END)
        return not self._over.locked()

    def is_here(self) -> bool:
        """Whether this thread itself is in the middle of the call."""
        return self._thread == _this_thread() and not self.ended()

    def wait(self) -> None:
        """Wait for the end of the call, where it is another thread's."""
        if not self.ended() and self._thread != _this_thread():
            with self._over:
                pass

    def values(self) -> list:
        """The state after the call; the one before it where it gave none."""
        if self.landed:
            return self.landed[0][1]
        if self.kept is None or not any(value.is_deleted() for value in self.given):
            return self.given
        return [jax.device_put(k, place_of(v)) if v.is_deleted() else v for k, v in zip(self.kept, self.given)]


class State:
    """The variables that a step writes, whose values leave and come back together."""

    def __init__(self, variables):
        self.variables = list(variables)
        self.places = {id(v): i for i, v in enumerate(self.variables)}
        self.flight: Flight | None = None
        self._dicts = [v.__dict__ for v in self.variables]
        self._told, self._wanted = None, collections.deque()

    def depart(self, rest: tuple) -> Flight:
        """Take all values along, from their variables or from where they have landed, for a call with more arguments.

        Values that nobody has read since they landed go on from there: they need not come back to their variables.
        """
        before = self.flight
        if before is not None and before.landed and not self._wanted:
            flight = Flight(before.landed[0][1], rest)
            with _moving:
                goes_on = self.flight is before
                if goes_on:
                    self.flight = flight
            if goes_on:
                if _references([before])[0] > _ALONE + 1:  # a reader holds what has landed
                    self._copy(flight, lambda: list(map(copied, flight.given)))
                return flight
        before = None  # which would count as a reader
        flight = self._take(rest)
        if max(_references(flight.given), default=0) > _ALONE:
            self._copy(flight, lambda: _copied(flight.given))
        return flight

    def _copy(self, flight, copy) -> None:
        try:
            flight.args[0] = copy()
        except BaseException:
            self.settle(flight)
            raise

    def _take(self, rest) -> Flight:
        while True:
            if self._wanted:  # a step of another state waits for some of them
                self._wanted.clear()
                time.sleep(1e-4)
            with _moving:
                flight = self._leave(rest)
            if flight is not None:
                return flight
            self._wait_for_others()

    def _leave(self, rest) -> Flight | None:
        """Take the values from their variables, all or none: one of them may be under way with another state."""
        if self.flight is not None and not self.settle(self.flight):
            return None
        if not all(map(dict.__contains__, self._dicts, itertools.repeat(_NAME))):
            return None
        if self._told != _tellings[0]:
            _exhaust(map(dict.__setitem__, self._dicts, itertools.repeat("_flies_with"), itertools.repeat(self)))
            _tellings[0] += 1
            self._told = _tellings[0]
        self.flight = flight = Flight([], rest)
        flight.given.extend(map(dict.pop, self._dicts, itertools.repeat(_NAME)))
        return flight

    def _wait_for_others(self) -> None:
        """Wait for variables that are under way elsewhere, or wait for a file."""
        if self.flight is not None and self.flight.is_here():
            raise RuntimeError("A training step was begun inside another one of the same variables and the same thread.")
        for variable in self.variables:
            state = variable.__dict__.get("_flies_with")
            if _NAME not in variable.__dict__ and state is not None:
                state._wanted.append(self)
            variable._value

    def come_back(self) -> None:
        """Write back what has landed."""
        if self.flight is not None:
            self.settle(self.flight)

    def settle(self, flight) -> bool:
        """Write the values of a flight back into their variables, if it has ended; returns whether it has."""
        with _moving:
            if self.flight is not flight:
                return True
            if not flight.ended():
                return False
            _exhaust(map(dict.setdefault, self._dicts, itertools.repeat(_NAME), flight.values()))
            self.flight = None
            return True

    def value_of(self, variable):
        """The value of a variable that was under way when it was read."""
        flight = self.flight
        if flight is not None:
            flight.wait()
            if not self.settle(flight) or _NAME not in variable.__dict__:
                return flight.values()[self.places[id(variable)]]
        return variable._value


def _copied(arrays: list) -> list:
    """The arrays, with copies of those that somebody else holds."""
    counts = _references(arrays)
    return [copied(array) if count > _ALONE else array for array, count in zip(arrays, counts)]


def copied(array):
    """An array of the same values in memory of its own, made by the host: nothing is compiled for it."""
    if jax.numpy.issubdtype(array.dtype, jax.dtypes.prng_key):
        return jax.numpy.array(array, copy=True)
    return jax.device_put(np.array(array), place_of(array))


def place_of(array):
    """Where an array of the same kind is put; None where it lies on the default device, since it was put on no other."""
    return array.sharding if array.committed else None
