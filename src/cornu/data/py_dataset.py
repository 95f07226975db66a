"""PyDataset: the user's own batches by number."""

from cornu import check


class PyDataset:
    """Base of datasets that give batch after batch: define `__getitem__` and `__len__` (or `num_batches`).

    `__getitem__(index)` returns `x`, `(x, y)` or `(x, y, sample_weight)` for batch `index`. `on_epoch_begin` and
    `on_epoch_end` are called round every epoch. For exact resume, a dataset that changes there may define `get_state`
    and `set_state`; otherwise these calls are repeated.

    Args:
        workers: how many batches are prepared at a time.
        use_multiprocessing: whether the workers are spawned processes rather than threads; the dataset must pickle then.
        max_queue_size: how many batches may be ready or in work ahead of the training; 0 is one for each worker.

    Raises ValueError for numbers below 1.

    >>> import numpy as np
    >>> class Squares(PyDataset):
    ...     def __len__(self):
    ...         return 3
    ...     def __getitem__(self, index):
    ...         x = np.arange(4.0) + index
    ...         return x, x**2
    >>> Squares(workers=2)[1][1]
    array([ 1.,  4.,  9., 16.])
    """

    workers, use_multiprocessing, max_queue_size = 1, False, 10  # also for a subclass that does not call __init__

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10):
        self.workers = check.positive("workers", workers, type(self).__name__, zero=True)
        self.use_multiprocessing = use_multiprocessing
        self.max_queue_size = check.positive("max_queue_size", max_queue_size, type(self).__name__, zero=True)

    def __getitem__(self, index):
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__(self, index), which returns a batch.")

    @property
    def num_batches(self) -> int | None:
        """The number of batches; None when there is no end."""
        return len(self) if hasattr(self, "__len__") else None

    def __iter__(self):
        index = 0
        while self.num_batches is None or index < self.num_batches:
            yield self[index]
            index += 1

    def on_epoch_begin(self): ...
    def on_epoch_end(self): ...
