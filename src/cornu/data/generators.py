"""The random states that data draws from: the global generators, and those that an object holds itself."""

import itertools
import pickle
import random
import sys
import types
import zlib

import numpy as np

from cornu import tree

_MOST = 10_000  # objects that are looked at for generators
_WIDEST = 1000  # items of a container that are looked at
_SAMPLE = 4096  # numbers of an array that a fingerprint reads


def random_states() -> dict:
    """Python's and NumPy's global generators of random numbers, and torch's where it is loaded."""
    version, numbers, gauss = random.getstate()
    found = {"python": [version, np.array(numbers, "uint32"), gauss], "numpy": np.random.get_state()}
    torch = sys.modules.get("torch")
    if hasattr(torch, "get_rng_state"):
        found["torch"] = torch.get_rng_state().numpy()
    return found


def set_random_states(states: dict) -> None:
    """Put back what `random_states` gave."""
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(map(int, numbers)), gauss))
    np.random.set_state(states["numpy"])
    torch = sys.modules.get("torch")
    if "torch" in states and hasattr(torch, "set_rng_state"):
        torch.set_rng_state(torch.from_numpy(np.array(states["torch"])))


def own_states(data) -> dict:
    """The states of the generators that are found in an object, by where they are.

    They are found in attributes and containers, and in what the functions of its classes close over or name.
    """
    return {where: state for where, one in _generators(data) if (state := _state_of(one)) is not None}


def set_own_states(data, states: dict) -> None:
    """Put back what `own_states` gave."""
    for where, one in _generators(data):
        if where in states:
            _set_state_of(one, states[where])


def states_of(data) -> dict:
    """All that `data` may draw from, as it is now."""
    return {"global": random_states(), "own": own_states(data)}


def set_states_of(data, states: dict) -> None:
    """Put back what `states_of` gave."""
    set_random_states(states["global"])
    set_own_states(data, states["own"])


def note(log: list, data) -> None:
    """Add to a log what `data` may draw from; None where that is as it was."""
    states, known = states_of(data), next((s for s in reversed(log) if s is not None), None)
    log.append(None if pickle.dumps(known) == pickle.dumps(states) else states)


def recall(log: list, index: int, data) -> None:
    """Put back what was noted at a place of the log."""
    set_states_of(data, next(s for s in reversed(log[:index + 1]) if s is not None))


def fingerprint(batch, before: int) -> int:
    """A number for a batch and those before it: another one, nearly always, for other batches."""
    for leaf in tree.flatten(batch):
        try:
            array = np.asarray(leaf)
            if array.dtype.hasobject:
                array = np.array([str(x) for x in array.reshape(-1)[:_SAMPLE]])
            flat = array.reshape(-1)
            sample = np.ascontiguousarray(flat[::flat.size // _SAMPLE | 1])
            before = zlib.crc32(sample.view("uint8"), zlib.crc32(str(array.shape).encode(), before))
        except Exception:  # what cannot be read as an array is not compared
            continue
    return before


# finding generators ------------------------------------------------------------------------------------------------


def _is_torch(value) -> bool:
    return type(value).__module__.partition(".")[0] == "torch" and type(value).__name__ == "Generator"


def _state_of(generator):
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    if isinstance(generator, np.random.BitGenerator):
        return generator.state
    if isinstance(generator, np.random.RandomState):
        return generator.get_state()
    if isinstance(generator, random.Random):
        version, numbers, gauss = generator.getstate()
        return [version, np.array(numbers, "uint32"), gauss]
    return generator.get_state().numpy()


def _set_state_of(generator, state) -> None:
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, np.random.BitGenerator):
        generator.state = state
    elif isinstance(generator, np.random.RandomState):
        generator.set_state(state)
    elif isinstance(generator, random.Random):
        generator.setstate((state[0], tuple(map(int, state[1])), state[2]))
    else:
        generator.set_state(sys.modules["torch"].from_numpy(np.array(state)))


def _generators(data) -> list:
    """Pairs of a place and a generator, each once, in an order that the object's text gives."""
    found, seen, waiting = [], set(), [("", data)]
    while waiting and len(seen) < _MOST:
        where, value = waiting.pop(0)
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, (np.random.Generator, np.random.BitGenerator, np.random.RandomState)) or _is_torch(value) \
                or isinstance(value, random.Random) and not isinstance(value, random.SystemRandom):
            found.append((where, value))
        else:
            waiting += [(f"{where}.{name}", part) for name, part in _parts(value)]
    return found


def _parts(value) -> list:
    """What may hold a generator in a value, by name."""
    if isinstance(value, dict):
        return list(itertools.islice(value.items(), _WIDEST))
    if isinstance(value, (list, tuple)):
        return list(enumerate(value[:_WIDEST]))
    if isinstance(value, types.MethodType):
        return [("self", value.__self__), ("function", value.__func__)]
    if isinstance(value, types.FunctionType):
        return _named_in(value)
    if isinstance(value, types.GeneratorType):
        return list(value.gi_frame.f_locals.items()) if value.gi_frame is not None else []
    if isinstance(value, (type, types.ModuleType, np.ndarray, str, bytes)) or not hasattr(value, "__dict__"):
        return []
    own = [c for c in type(value).__mro__ if c.__module__.partition(".")[0] not in ("builtins", "cornu", "torch", "jax", "numpy")]
    functions = [(name, part) for c in own for name, part in vars(c).items() if isinstance(part, types.FunctionType)]
    return [*vars(value).items(), *functions]


def _named_in(function) -> list:
    """The values that a function closes over, and those of its module that are generators, or functions, and that it names."""
    closed = []
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
        try:
            closed.append((name, cell.cell_contents))
        except ValueError:  # nothing is in it yet
            continue
    names = [(name, function.__globals__[name]) for name in function.__code__.co_names if name in function.__globals__]
    kinds = (np.random.Generator, np.random.RandomState, random.Random, types.FunctionType)
    return closed + [(name, value) for name, value in names if isinstance(value, kinds) or _is_torch(value)]
