"""California housing: 20,640 districts in the census of 1990 (Pace and Barry, 1997)."""

import numpy as np

from cornu import check
from cornu.datasets import fetching, reading
from cornu.datasets.boston_housing import check_split, split


def load_data(version: str = "large", path: str = "california_housing.npz", test_split: float = 0.2,
              seed: int = 113) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """8 numbers of each district and its median house price in dollars, float32.

    Args:
        version: `"large"` (20,640 districts) or `"small"` (600 of them).
        path: the name of the copy in cornu's home or Keras's cache.
        test_split: the share of the data that is for testing, 0 <= test_split < 1.
        seed: of the order.

    Raises:
        ValueError: another version, or `test_split` out of range.
        DownloadError: the file could not be had; the message says how to help by hand.

    >>> (x_train, y_train), (x_test, y_test) = load_data()      # doctest: +SKIP
    """
    check_split(test_split)
    check.one_of("version", version, ("small", "large"))
    file = fetching.known_file(path, fetching.GOOGLE + "california_housing.npz",
                               "1a2e3a52e0398de6463aebe6f4a8da34fb21fbb6b934cf88c3425e766f2a1a6f", "california_housing")
    found = reading.npz(file)
    end = 600 if version == "small" else None
    return split(found["x"][:end], found["y"][:end], test_split, seed)
