"""Automatic names, as Keras gives them: `dense`, `dense_1`, ..."""

import collections
import re

_counts: collections.Counter = collections.Counter()


def to_snake_case(name: str) -> str:
    """`Conv2DTranspose` becomes `conv2d_transpose`.

    >>> to_snake_case("LSTMCell")
    'lstm_cell'
    """
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def auto_name(prefix: str) -> str:
    """The prefix in snake case, with a running number from its second use on."""
    prefix = to_snake_case(prefix)
    count = _counts[prefix]
    _counts[prefix] += 1
    return f"{prefix}_{count}" if count else prefix


def reset() -> None:
    """Start every running number anew."""
    _counts.clear()


def counts() -> dict:
    """The running numbers as they are now."""
    return dict(_counts)


def set_counts(counts: dict) -> None:
    """Set the running numbers back to what `counts` gave."""
    _counts.clear()
    _counts.update(counts)
