"""CIFAR-100: small colour photographs of a hundred kinds of things in twenty groups (Krizhevsky, 2009)."""

import numpy as np

from cornu import check, config
from cornu.datasets import fetching, reading
from cornu.datasets.cifar10 import URL, cache_names

_FILE = "cifar-100-python.tar.gz"
_SHA256 = "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"


def _folder_or_archive():
    """An unpacked copy in Keras's cache, else the archive with its SHA-256."""
    for name in cache_names("cifar-100-python", _FILE):
        found = config.keras_home() / "datasets" / name
        if found.is_dir() and (found / "train").is_file():
            return found
    return fetching.known_file(_FILE, URL + _FILE, _SHA256, "cifar100")


def load_data(label_mode: str = "fine") -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """50,000 training and 10,000 test photographs: `(x_train, y_train), (x_test, y_test)`.

    Images are uint8 (N, 32, 32, 3), or (N, 3, 32, 32) under `channels_first`; labels int64 (N, 1).

    Args:
        label_mode: `"fine"` (100 kinds) or `"coarse"` (20 groups).

    Raises:
        ValueError: another label mode.
        DownloadError: the file could not be had; the message says how to help by hand.

    >>> (x_train, y_train), (x_test, y_test) = load_data()      # doctest: +SKIP
    """
    check.one_of("label_mode", label_mode, ("fine", "coarse"))
    found = reading.members(_folder_or_archive(), ("train", "test"))
    parts = []
    for name in ("train", "test"):
        x, y = reading.cifar_batch(found[name], f"{label_mode}_labels".encode())
        first = config.image_data_format() == "channels_first"
        parts.append((x if first else x.transpose(0, 2, 3, 1), np.asarray(y, np.int64)[:, None]))
    return parts[0], parts[1]
