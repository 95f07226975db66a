"""What a compiled step is given for its random numbers: seeds as data, and how many draws one step makes from each."""

import jax
import numpy as np

from cornu.lowering.platform import inner_jaxprs
from cornu.random import SeedState, changes

_ADDS, _AS_IT_IS = {"add", "add_any"}, {"convert_element_type", "copy", "copy_p", "stop_gradient", "optimization_barrier"}
_CALLS = {"jit", "pjit", "closed_call", "core_call", "remat2", "checkpoint", "remat", "custom_jvp_call", "custom_vjp_call"}


class Draws:
    """The states of SeedGenerators that a step draws from.

    Each call takes the numbers that it needs from their counts on the host before it begins. `counts` has how many draws
    one step makes of each; where data decides that it is None, and the step returns the new states.
    """

    def __init__(self, seeds=()):
        self.seeds: list[SeedState] = list(seeds)
        self._last: tuple = None, None
        self._returned = None

    def take(self, counts, steps: int, taken: list):
        """The states for so many steps, an array of shape (seeds, 2); `taken` gets what `give_back` needs."""
        if self._last[0] == changes[0]:  # nothing was drawn, here or elsewhere
            return self._last[1]
        if counts is not None and any(counts):
            pairs = [seed.take(count * steps, taken) for seed, count in zip(self.seeds, counts)]
            return np.array(pairs, "uint32")
        if counts is None and (states := self._returned) is not None and all(
                seed.is_row(states, i) for i, seed in enumerate(self.seeds)):
            return states
        now = changes[0]
        array = jax.device_put(np.array([seed.pair() for seed in self.seeds], "uint32").reshape(-1, 2))
        if counts is not None:
            self._last = now, array
        return array

    @staticmethod
    def give_back(taken: list) -> None:
        """Undo `take` after a call that failed, or was not begun, whatever a signal has left undone of it."""
        for seed, pair, count in taken:
            seed.give_back(pair, count)

    def put(self, counts, found: list) -> list:
        """The results of a call without the states that it returned last, if it did, which are kept."""
        if counts is None:
            self._returned = states = found.pop()
            for i, seed in enumerate(self.seeds):
                seed.hold_row(states, i)
        return found


def rows_of(states) -> list:
    """The seeds' states, one by one."""
    return [jax.lax.index_in_dim(states, i, keepdims=False) for i in range(states.shape[0])]


def counts_of(jaxpr, places: list, results: list) -> tuple | None:
    """How far a traced step counts each seed's state on, where that is the same whatever the data.

    Args:
        jaxpr: the step.
        places: the numbers of the seeds' states among its arguments.
        results: those of the new states among its results.
    """
    starts = [np.array([[3 + n, 7 * n], [5, 0]], "uint32") for n in range(len(places))]  # two tries at once
    known = dict(zip([jaxpr.invars[p] for p in places], starts))
    _follow(jaxpr, known)
    counts = []
    for start, result in zip(starts, results):
        end = None if hasattr(jaxpr.outvars[result], "val") else known.get(jaxpr.outvars[result])
        moved = None if end is None else end - start
        if moved is None or moved[:, 0].any() or moved[0, 1] != moved[1, 1]:
            return None
        counts.append(int(moved[0, 1]))
    return tuple(counts)


def _follow(jaxpr, known: dict) -> None:
    """Find values that depend on the known ones alone, as far as additions and calls go."""
    def value(x):
        return np.asarray(x.val) if hasattr(x, "val") else known.get(x)

    for equation in jaxpr.eqns:
        name, arguments = equation.primitive.name, equation.invars
        if name == "iota" and equation.params["shape"] == (2,):
            known[equation.outvars[0]] = np.array([0, 1], "uint32")
        if not any(not hasattr(x, "val") and x in known for x in arguments):
            continue
        values = [value(x) for x in arguments]
        if name in _ADDS and all(v is not None for v in values):
            known[equation.outvars[0]] = (values[0] + values[1]).astype("uint32")
        elif name in _AS_IT_IS:
            for out, v in zip(equation.outvars, values):
                if v is not None:
                    known[out] = v
        elif name in _CALLS:
            inner = next(inner_jaxprs(equation), None)
            if inner is not None and len(inner.invars) == len(arguments) and len(inner.outvars) == len(equation.outvars):
                deeper = {x: v for x, v in zip(inner.invars, values) if v is not None}
                _follow(inner, deeper)
                for out, result in zip(equation.outvars, inner.outvars):
                    if not hasattr(result, "val") and result in deeper:
                        known[out] = deeper[result]
