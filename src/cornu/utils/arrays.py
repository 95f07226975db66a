"""Small helpers for arrays that go into a model: one-hot labels, unit length, padding; and the seed of everything."""

import random as python_random
import sys

import jax
import jax.numpy as jnp
import numpy as np

from cornu import check, config, dtypes, frames, random


@frames.filtered
def set_random_seed(seed: int) -> None:
    """Fix every source of chance: Python's, NumPy's, TensorFlow's where it is loaded, and cornu's own.

    Args:
        seed: an integer, 0 <= seed < 2**32.

    Raises:
        ValueError: another value.

    >>> set_random_seed(1)
    """
    if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise ValueError(f"A seed is an integer from 0 to 2**32 - 1. Received: seed={seed!r}")
    python_random.seed(int(seed))
    np.random.seed(int(seed))
    random.reset_global_seed()
    tensorflow = sys.modules.get("tensorflow")  # its tf.data draws too; who never imported it draws nothing there
    if tensorflow is not None and hasattr(tensorflow, "random"):
        tensorflow.random.set_seed(int(seed))


@frames.filtered
def to_categorical(x, num_classes: int | None = None):
    """Labels as rows that are 1 at the label and 0 elsewhere.

    Args:
        x: integers (...,) or (..., 1), each 0 <= x < num_classes.
        num_classes: the length of a row, by default the largest label and one more.

    Returns:
        float64 (..., num_classes) for NumPy arrays and lists, float32 for JAX arrays.

    Raises:
        ValueError: no labels and no `num_classes`, or a label out of range (the first one is named).

    >>> to_categorical([0, 2], 3)
    array([[1., 0., 0.],
           [0., 0., 1.]])
    """
    labels = np.asarray(x).astype("int64")
    shape = labels.shape[:-1] if labels.ndim > 1 and labels.shape[-1] == 1 else labels.shape
    if num_classes is None and not labels.size:
        raise ValueError("to_categorical cannot tell `num_classes` from no labels at all. Pass it.")
    count = int(labels.max()) + 1 if num_classes is None else check.positive("num_classes", num_classes)
    wrong = np.flatnonzero((labels.ravel() < 0) | (labels.ravel() >= count))
    if wrong.size:
        raise ValueError(f"Labels must be from 0 to {count - 1} (num_classes={count}). The label at flat position "
                         f"{wrong[0]} is {labels.ravel()[wrong[0]]}.")
    rows = np.zeros((labels.size, count))
    rows[np.arange(labels.size), labels.ravel()] = 1
    rows = rows.reshape(*shape, count)
    return jnp.asarray(rows, "float32") if isinstance(x, jax.Array) else rows


@frames.filtered
def normalize(x, axis: int = -1, order: float = 2):
    """Scale to unit length: x / ||x||, with zero left as it is.

    Args:
        x: numbers of any shape.
        axis: the axis that gets unit length.
        order: the order of the norm: 1, 2, any other p > 0, or infinity.

    NumPy arrays give NumPy arrays, all else gives JAX arrays.

    >>> normalize(np.array([[3.0, 4.0]]))
    array([[0.6, 0.8]])
    """
    values = np.asarray(x)
    length = np.linalg.norm(values, ord=order, axis=axis, keepdims=True)
    result = values / np.where(length == 0, 1, length)
    if isinstance(x, np.ndarray):
        return result
    return jnp.asarray(result, getattr(x, "dtype", None) if dtypes.is_float(values.dtype) else config.floatx())


@frames.filtered
def pad_sequences(sequences, maxlen: int | None = None, dtype="int32", padding: str = "pre", truncating: str = "pre",
                  value=0.0) -> np.ndarray:
    """Sequences of different lengths as one array (number of sequences, maxlen, ...).

    Args:
        sequences: a list of lists or arrays.
        maxlen: the length of all, by default that of the longest.
        dtype: of the result; `object` for strings of any length.
        padding: `"pre"` or `"post"`: where short sequences are filled with `value`.
        truncating: `"pre"` or `"post"`: where long sequences lose their surplus.
        value: the filling.

    Raises:
        ValueError: something is no sequence, or elements differ in shape, or an unknown word.

    >>> pad_sequences([[1, 2], [3]])
    array([[1, 2],
           [0, 3]], dtype=int32)
    """
    check.one_of("padding", padding, ("pre", "post"))
    check.one_of("truncating", truncating, ("pre", "post"))
    for i, sequence in enumerate(sequences):
        if not hasattr(sequence, "__len__"):
            raise ValueError(f"`sequences` must be a list of sequences. Element {i} is {sequence!r}.")
    maxlen = max((len(s) for s in sequences), default=0) if maxlen is None else maxlen
    parts = [np.asarray(s[-maxlen:] if truncating == "pre" and maxlen else s[:maxlen]) for s in sequences]
    inner = next((part.shape[1:] for part in parts if len(part)), ())
    strings = isinstance(value, str) and dtype not in (object, "object")
    if strings and dtype is str:  # NumPy's bare `str` holds no character at all: make room for the longest
        dtype = np.result_type(np.asarray(value), *parts).newbyteorder("=")
    result = np.full((len(parts), maxlen, *inner), value, dtype=dtype)
    for i, part in enumerate(parts):
        if len(part) and part.shape[1:] != inner:
            raise ValueError(f"Elements of sequence {i} have shape {part.shape[1:]}, those of the first {inner}.")
        if len(part):
            result[i, slice(-len(part), None) if padding == "pre" else slice(len(part))] = part.astype(result.dtype)
    return result
