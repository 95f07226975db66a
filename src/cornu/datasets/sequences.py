"""What imdb and reuters share: lists of word numbers, their limits and their special words."""

import numpy as np


def shuffled(rng: np.random.RandomState, *arrays: np.ndarray) -> list[np.ndarray]:
    """The arrays in one random order, the one that Keras draws for the same seed."""
    order = np.arange(len(arrays[0]))
    rng.shuffle(order)
    return [array[order] for array in arrays]


def shift(sequences, labels, maxlen, start_char, index_from):
    """Add `index_from` to the word numbers, put `start_char` first, keep the sequences shorter than `maxlen`."""
    lists = [[word + (index_from or 0) for word in words] for words in sequences]
    if start_char is not None:
        lists = [[start_char, *words] for words in lists]
    kept = [(words, label) for words, label in zip(lists, labels) if not maxlen or len(words) < maxlen]
    if not kept:
        raise ValueError(f"No sequence is shorter than maxlen={maxlen}. Pass a larger maxlen.")
    lists, labels = zip(*kept)
    return lists, np.asarray(labels)


def limit(lists, num_words, skip_top, oov_char) -> np.ndarray:
    """Replace (or drop, where `oov_char` is None) the words outside `skip_top` to `num_words`; an object array."""
    if oov_char is None:
        lists = [[word for word in words if skip_top <= word < num_words] for words in lists]
    else:
        lists = [[word if skip_top <= word < num_words else oov_char for word in words] for words in lists]
    return ragged(lists)


def largest(*parts) -> int:
    """The largest word number, Keras's limit where none is given (so the very last word is left out, as there)."""
    return max(max(words, default=0) for lists in parts for words in lists)


def ragged(lists) -> np.ndarray:
    """Lists of different lengths as an object array, also where all lengths happen to agree."""
    array = np.empty(len(lists), dtype=object)
    array[:] = lists
    return array
