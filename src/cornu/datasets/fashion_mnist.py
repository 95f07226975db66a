"""Fashion-MNIST: pictures of clothes in MNIST's format (Xiao, Rasul and Vollgraf, 2017, arXiv:1708.07747)."""

import gzip
import pathlib

import numpy as np

from cornu.datasets import fetching, reading
from cornu.datasets.mnist import IDX_FILES, NAMES
from cornu.utils import downloads

_FILES = tuple(name + ".gz" for name in IDX_FILES)
_MD5 = ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310")


def _read(path):
    found = reading.members(path, _FILES)
    return {name: reading.idx(gzip.decompress(found[file])) for name, file in zip(NAMES, _FILES)}


def _fetch_all(work: pathlib.Path) -> pathlib.Path:
    for file, digest in zip(_FILES, _MD5):
        downloads.download(fetching.GOOGLE + file, work / file, digest, "md5")
    return work


DATASET = fetching.Dataset(
    "fashion_mnist",
    {
        "x_train": ((60000, 28, 28), "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012"),
        "y_train": ((60000,), "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7"),
        "x_test": ((10000, 28, 28), "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a"),
        "y_test": ((10000,), "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9"),
    },
    (
        fetching.user_file("fashion-mnist", read=_read),
        fetching.Source(lambda: fetching.GOOGLE + _FILES[0], _fetch_all, _read),
        *fetching.debian_packages(
            "dataset-fashion-mnist", "d/dataset-fashion-mnist/dataset-fashion-mnist_0.0~git20200523.55506a9-1_all.deb",
            "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0", _read),
    ),
    (f"{fetching.GOOGLE}{{{','.join(_FILES)}}}", "fashion-mnist/"),
)


def load_data() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """60,000 training and 10,000 test pictures of ten kinds of clothes: `(x_train, y_train), (x_test, y_test)`.

    Images are uint8 (N, 28, 28), labels uint8 (N,): 0 T-shirt, 1 trouser, 2 pullover, 3 dress, 4 coat, 5 sandal,
    6 shirt, 7 sneaker, 8 bag, 9 ankle boot. The content is verified whichever source gave it.

    Raises:
        DownloadError: no source could be reached; the message lists them and says how to help by hand.

    >>> (x_train, y_train), (x_test, y_test) = load_data()      # doctest: +SKIP
    """
    found = DATASET.load()
    return (found["x_train"], found["y_train"]), (found["x_test"], found["y_test"])
