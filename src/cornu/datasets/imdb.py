"""IMDB: 50,000 film reviews, positive or negative (Maas et al., 2011, ACL)."""

import json

import numpy as np

from cornu.datasets import fetching, reading, sequences


def load_data(path: str = "imdb.npz", num_words: int | None = None, skip_top: int = 0, maxlen: int | None = None,
              seed: int = 113, start_char: int | None = 1, oov_char: int | None = 2,
              index_from: int | None = 3) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Reviews as lists of word numbers (1 is the most frequent word): `(x_train, y_train), (x_test, y_test)`.

    Args:
        path: the name of the copy in cornu's home or Keras's cache.
        num_words: word numbers from here on become `oov_char`.
        skip_top: word numbers below become `oov_char`.
        maxlen: only reviews shorter than this are kept.
        seed: of the order.
        start_char: put in front of every review, or None.
        oov_char: stands for left-out words; None drops them.
        index_from: added to every word number.

    Raises:
        ValueError: no review is shorter than `maxlen`.
        DownloadError: the file could not be had; the message says how to help by hand.

    >>> (x_train, y_train), (x_test, y_test) = load_data(num_words=10_000)      # doctest: +SKIP
    """
    file = fetching.known_file(path, fetching.GOOGLE + "imdb.npz",
                               "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f", "imdb")
    found, rng = reading.object_npz(file), np.random.RandomState(seed)
    pairs = [sequences.shuffled(rng, found[f"x_{part}"], found[f"y_{part}"]) for part in ("train", "test")]
    (x, y), (x_test, y_test) = (sequences.shift(*pair, maxlen, start_char, index_from) for pair in pairs)
    num_words = num_words or sequences.largest(x, x_test)
    x, x_test = (sequences.limit(part, num_words, skip_top, oov_char) for part in (x, x_test))
    return (x, y), (x_test, y_test)


def get_word_index(path: str = "imdb_word_index.json") -> dict[str, int]:
    """Each word's number, without the shift by `index_from`.

    >>> get_word_index()["the"]      # doctest: +SKIP
    1
    """
    file = fetching.known_file(path, fetching.GOOGLE + "imdb_word_index.json", "bfafd718b763782e994055a2d397834f",
                               "imdb's word index")
    return json.loads(file.read_text())
