"""One voice for errors: what is wrong with the value, what was expected, what to do."""

import difflib


def nearest(word: str, known, count: int = 3) -> list[str]:
    """The known words most like `word`, best first."""
    known = [str(k) for k in known]
    lowered = {k.lower(): k for k in reversed(known)}
    found = difflib.get_close_matches(str(word).lower(), list(lowered), n=count, cutoff=0.4)
    return [lowered[k] for k in found]


def unknown(kind: str, word, known) -> ValueError:
    """The error for a name that is not among the known ones, with the nearest of them."""
    close = nearest(word, known)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    return ValueError(f"Could not interpret {kind} identifier: {word!r}.{hint} Pass one of the built-in names, a callable or an instance.")


def one_of(argument: str, value, allowed, owner: str = ""):
    """Return `value` when it is one of `allowed`, else raise ValueError."""
    if value not in allowed:
        raise ValueError(f"{_of(argument, owner)} must be one of {', '.join(map(repr, allowed))}. Received: {value!r}")
    return value


def positive(argument: str, value, owner: str = "", zero: bool = False, kind=int):
    """Return `value` when it is a positive (or zero, where allowed) number of the kind, else raise ValueError."""
    good = isinstance(value, _numbers() if kind is float else _integers()) and not isinstance(value, bool)
    if not good or not value >= 0 or (value == 0 and not zero):
        what = "an integer" if kind is int else "a number"
        raise ValueError(f"{_of(argument, owner)} must be {what} {'>= 0' if zero else '> 0'}. Received: {value!r}")
    return value


def between(argument: str, value, low, high, owner: str = ""):
    """Return the number `value` when low <= value <= high, else raise ValueError."""
    if isinstance(value, bool) or not isinstance(value, _numbers()) or not low <= value <= high:
        raise ValueError(f"{_of(argument, owner)} must be a number between {low} and {high}. Received: {value!r}")
    return value


def int_tuple(argument: str, value, rank: int, owner: str = "", zero: bool = False) -> tuple:
    """`value` (an integer, or `rank` of them) as a tuple of `rank` positive integers."""
    values = (value,) * rank if isinstance(value, _integers()) else value
    try:
        values = tuple(int(v) if v == int(v) else v for v in values)
    except (TypeError, ValueError):
        values = None
    if values is None or len(values) != rank or any(not isinstance(v, int) or v < (not zero) for v in values):
        sign = ">= 0" if zero else "> 0"
        raise ValueError(f"{_of(argument, owner)} must be an integer {sign} or {rank} of them. Received: {value!r}")
    return values


def mask(given, shape: tuple, owner: str):
    """Return a mask, or None, that can be broadcast to the shape, else raise ValueError."""
    sizes = [] if given is None else zip(given.shape[::-1], shape[::-1])
    if any(m not in (1, n) for m, n in sizes if isinstance(m, int) and isinstance(n, int)):
        raise ValueError(f"{owner}: a mask of shape {tuple(given.shape)} does not fit the data, which need one of shape "
                         f"{shape}.")
    return given


def missing_package(package: str, extra: str | None, why: str) -> ImportError:
    """The one line that says what to install for an optional feature."""
    how = f'pip install "cornu[{extra}]"' if extra else f"pip install {package}"
    return ImportError(f"{why} needs the package {package!r}, which is not installed. Install it with: {how}")


def _integers():
    import numpy as np

    return (int, np.integer)


def _numbers():
    import numpy as np

    return (int, float, np.integer, np.floating)


def _of(argument: str, owner: str) -> str:
    return f"{owner}: argument `{argument}`" if owner else f"Argument `{argument}`"
