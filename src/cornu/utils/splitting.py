"""Data sets cut in two, and windows of time series, as batches of NumPy arrays."""

import numpy as np

from cornu import check, frames, tree
from cornu.random import make_default_seed


class Batches:
    """Batches of arrays that can be passed over again and again; `fit` takes it as it is.

    Args:
        parts: nested arrays, or objects with `len` and indexing by an array of rows, of one length.
        batch_size: samples in a batch; None gives single samples.
        shuffle: whether every pass has an order of its own.
        seed: of the orders.
    """

    def __init__(self, parts, batch_size: int | None = None, shuffle: bool = False, seed: int | None = None):
        self.parts, self.batch_size, self.shuffle = parts, batch_size, shuffle
        self._generator = np.random.default_rng(make_default_seed() if seed is None else seed)
        self.samples = len(tree.flatten(parts)[0])

    def __len__(self):
        return self.samples if self.batch_size is None else -(-self.samples // self.batch_size)

    def __iter__(self):
        order = self._generator.permutation(self.samples) if self.shuffle else np.arange(self.samples)
        for start in range(0, self.samples, self.batch_size or 1):
            rows = order[start:start + (self.batch_size or 1)]
            yield tree.map_structure(lambda part: part[rows] if self.batch_size else part[rows][0], self.parts)


@frames.filtered
def split_dataset(dataset, left_size=None, right_size=None, shuffle: bool = False, seed: int | None = None,
                  preferred_backend: str | None = None) -> tuple:
    """Cut data into a left and a right part.

    Args:
        dataset: an array, a list or tuple of arrays of one length, or an iterable of samples.
        left_size, right_size: a number of samples (int) or a share (float); the rest if None. At least one is needed.
        shuffle: whether samples change places first.
        seed: of the shuffling.
        preferred_backend: None or "jax"; cornu gives Batches of NumPy samples in every case.

    Returns two Batches of single samples. Raises ValueError for sizes that do not fit.

    >>> left, right = split_dataset(np.arange(10), left_size=0.8)
    >>> len(left), len(right)
    (8, 2)
    """
    check.one_of("preferred_backend", preferred_backend, (None, "jax"))
    arrays = _as_arrays(dataset)
    total = len(tree.flatten(arrays)[0])
    left, right = _sizes(left_size, right_size, total)
    order = np.random.default_rng(make_default_seed() if seed is None else seed).permutation(total) if shuffle else np.arange(total)
    return tuple(Batches(tree.map_structure(lambda a: a[rows], arrays)) for rows in (order[:left], order[total - right:]))


def _as_arrays(dataset):
    if isinstance(dataset, np.ndarray) or hasattr(dataset, "__jax_array__") or hasattr(dataset, "devices"):
        return np.asarray(dataset)
    if isinstance(dataset, dict) or isinstance(dataset, (list, tuple)) and all(hasattr(a, "shape") and a.shape for a in dataset):
        arrays = tree.map_structure(np.asarray, dataset)
        lengths = {len(a) for a in tree.flatten(arrays)}
        if len(lengths) > 1:
            raise ValueError(f"split_dataset: the arrays have different lengths: {sorted(lengths)}.")
        return arrays
    if not hasattr(dataset, "__iter__"):
        raise TypeError(f"split_dataset takes arrays or an iterable of samples. Received: {type(dataset).__name__}")
    samples = list(dataset)
    if not samples:
        raise ValueError("split_dataset: the data set is empty.")
    return tree.map_structure(lambda *parts: np.stack([np.asarray(p) for p in parts]), *samples)


def _sizes(left, right, total: int) -> tuple[int, int]:
    if left is None and right is None:
        raise ValueError("split_dataset needs `left_size` or `right_size`.")
    counts = []
    for name, size in (("left_size", left), ("right_size", right)):
        if size is None:
            counts.append(None)
        elif isinstance(size, float) and 0 < size < 1:
            counts.append(size)
        elif isinstance(size, (int, np.integer)) and not isinstance(size, bool) and 0 < size < total:
            counts.append(int(size))
        else:
            raise ValueError(f"{name} must be an integer between 0 and the number of samples ({total}), or a share "
                             f"between 0 and 1. Received: {size!r}")
    shares = [c for c in counts if isinstance(c, float)]
    if len(shares) == 2 and sum(shares) > 1:
        raise ValueError(f"left_size and right_size sum to {sum(shares)}, which is more than 1.")
    left, right = (round(c * total) if isinstance(c, float) else c for c in counts)
    left = total - right if left is None else left
    right = total - left if right is None else right
    if left + right > total or not left or not right:
        raise ValueError(f"left_size={left} and right_size={right} do not fit {total} samples.")
    return left, right


class _Windows:
    """Windows of a series by their number."""

    def __init__(self, series, starts, length: int, rate: int):
        self.series, self.starts, self.steps = series, starts, np.arange(length) * rate

    def __len__(self):
        return len(self.starts)

    def __getitem__(self, rows):
        return self.series[self.starts[rows][:, None] + self.steps]


@frames.filtered
def timeseries_dataset_from_array(data, targets, sequence_length: int, sequence_stride: int = 1, sampling_rate: int = 1,
                                  batch_size: int | None = 128, shuffle: bool = False, seed: int | None = None,
                                  start_index: int | None = None, end_index: int | None = None, format: str = "tf"):
    """Sliding windows over a time series, with a target for each.

    Args:
        data: (time, ...) values.
        targets: (time, ...): the target of the window that starts at t is targets[t]; None for windows alone.
        sequence_length: steps in a window.
        sequence_stride: steps between the starts of two windows.
        sampling_rate: steps between two values of a window.
        batch_size: windows in a batch; None for single windows.
        shuffle, seed: whether every pass has an order of its own, and its seed.
        start_index, end_index: use only this part of the data.
        format: kept for Keras's interface; batches are NumPy arrays.

    >>> batches = timeseries_dataset_from_array(np.arange(10), None, sequence_length=3, batch_size=4)
    >>> next(iter(batches))[0]
    array([0, 1, 2])
    """
    check.one_of("format", format, ("tf", "grain"))
    for name, value in (("sequence_length", sequence_length), ("sequence_stride", sequence_stride), ("sampling_rate", sampling_rate)):
        check.positive(name, value)
    data = np.asarray(data)
    start, end = start_index or 0, len(data) if end_index is None else end_index
    if not 0 <= start < end <= len(data):
        raise ValueError(f"start_index={start_index} and end_index={end_index} do not fit data of length {len(data)}.")
    data = data[start:end]
    span = (sequence_length - 1) * sampling_rate
    last = len(data) - span if targets is None else min(len(data) - span, len(targets))
    if last <= 0:
        raise ValueError(f"A window of {sequence_length} steps at sampling_rate={sampling_rate} is longer than the data "
                         f"({len(data)}).")
    starts = np.arange(0, last, sequence_stride)
    windows = _Windows(data, starts, sequence_length, sampling_rate)
    parts = windows if targets is None else (windows, np.asarray(targets)[start + starts])
    return Batches(parts, batch_size, shuffle, seed)
