"""Boston housing: 506 districts of Boston in the 1970s (Harrison and Rubinfeld, 1978)."""

import numpy as np

from cornu.datasets import fetching, reading, sequences


def load_data(path: str = "boston_housing.npz", test_split: float = 0.2,
              seed: int = 113) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """13 numbers of each district and its median house price in 1,000 dollars, float64.

    The data are of historical interest only: one of the 13 numbers is built on the share of Black residents, and
    the data set has been withdrawn elsewhere for that reason.

    Args:
        path: the name of the copy in cornu's home or Keras's cache.
        test_split: the share of the data that is for testing, 0 <= test_split < 1.
        seed: of the order.

    Raises:
        ValueError: `test_split` out of range.
        DownloadError: the file could not be had; the message says how to help by hand.

    >>> (x_train, y_train), (x_test, y_test) = load_data()      # doctest: +SKIP
    """
    check_split(test_split)
    file = fetching.known_file(path, fetching.GOOGLE + "boston_housing.npz",
                               "f553886a1f8d56431e820c5b82552d9d95cfcb96d1e678153f8839538947dff5", "boston_housing")
    found = reading.npz(file)
    return split(found["x"], found["y"], test_split, seed)


def check_split(test_split: float) -> None:
    """Raise ValueError unless 0 <= test_split < 1."""
    if not 0 <= test_split < 1:
        raise ValueError(f"`test_split` must be at least 0 and less than 1. Received: {test_split!r}")


def split(x, y, test_split, seed):
    """Shuffle, then cut into a training and a test part."""
    x, y = sequences.shuffled(np.random.RandomState(seed), x, y)
    cut = int(len(x) * (1 - test_split))
    return (x[:cut], y[:cut]), (x[cut:], y[cut:])
