"""Reuters: 11,228 newswires over 46 topics (Lewis, 1987)."""

import json

import numpy as np

from cornu.datasets import fetching, reading, sequences

_TOPICS = """cocoa grain veg-oil earn acq wheat copper housing money-supply coffee sugar trade reserves ship cotton
carcass crude nat-gas cpi money-fx interest gnp meal-feed alum oilseed gold tin strategic-metal livestock retail ipi iron-steel
rubber heat jobs lei bop zinc orange pet-chem dlr gas silver wpi hog lead"""


def load_data(path: str = "reuters.npz", num_words: int | None = None, skip_top: int = 0, maxlen: int | None = None,
              test_split: float = 0.2, seed: int = 113, start_char: int | None = 1, oov_char: int | None = 2,
              index_from: int | None = 3) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Newswires as lists of word numbers, and their topics: `(x_train, y_train), (x_test, y_test)`.

    Args:
        path: the name of the copy in cornu's home or Keras's cache.
        num_words, skip_top, maxlen, seed, start_char, oov_char, index_from: as for `imdb.load_data`.
        test_split: the share of the data that is for testing.

    Raises:
        ValueError: no newswire is shorter than `maxlen`.
        DownloadError: the file could not be had; the message says how to help by hand.

    >>> (x_train, y_train), (x_test, y_test) = load_data(num_words=10_000)      # doctest: +SKIP
    """
    file = fetching.known_file(path, fetching.GOOGLE + "reuters.npz",
                               "d6586e694ee56d7a4e65172e12b3e987c03096cb01eab99753921ef915959916", "reuters")
    found = reading.object_npz(file)
    x, y = sequences.shuffled(np.random.RandomState(seed), found["x"], found["y"])
    x, y = sequences.shift(x, y, maxlen, start_char, index_from)
    x = sequences.limit(x, num_words or sequences.largest(x), skip_top, oov_char)
    cut = int(len(x) * (1 - test_split))
    return (x[:cut], y[:cut]), (x[cut:], y[cut:])


def get_word_index(path: str = "reuters_word_index.json") -> dict[str, int]:
    """Each word's number, without the shift by `index_from`.

    >>> get_word_index()["the"]      # doctest: +SKIP
    1
    """
    file = fetching.known_file(path, fetching.GOOGLE + "reuters_word_index.json", "4d44cc38712099c9e383dc6e5f11a921",
                               "reuters's word index")
    return json.loads(file.read_text())


def get_label_names() -> tuple[str, ...]:
    """The names of the 46 topics, by label.

    >>> get_label_names()[:3]
    ('cocoa', 'grain', 'veg-oil')
    """
    return tuple(_TOPICS.split())
