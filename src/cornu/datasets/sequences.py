"""What imdb and reuters share: lists of word numbers, their limits and their special words."""

import numpy as np


def shuffled(rng: np.random.RandomState, *arrays: np.ndarray) -> list[np.ndarray]:
    """The arrays in one random order, the one that Keras draws for the same seed."""
    order = np.arange(len(arrays[0]))
    rng.shuffle(order)
    return [array[order] for array in arrays]


def encode(sequences, labels, num_words, skip_top, maxlen, start_char, oov_char, index_from):
    """Number the words: shift by `index_from`, put `start_char` first, keep short sequences, replace rare words."""
    lists = [[word + (index_from or 0) for word in words] for words in sequences]
    if start_char is not None:
        lists = [[start_char, *words] for words in lists]
    if maxlen:
        kept = [(words, label) for words, label in zip(lists, labels) if len(words) < maxlen]
        if not kept:
            raise ValueError(f"No sequence is shorter than maxlen={maxlen}. Pass a larger maxlen.")
        lists, labels = (list(part) for part in zip(*kept))
    limit = num_words or max(max(words) for words in lists) + 1
    if oov_char is None:
        lists = [[word for word in words if skip_top <= word < limit] for words in lists]
    else:
        lists = [[word if skip_top <= word < limit else oov_char for word in words] for words in lists]
    return lists, labels


def ragged(lists) -> np.ndarray:
    """Lists of different lengths as an object array, also where all lengths happen to agree."""
    array = np.empty(len(lists), dtype=object)
    array[:] = lists
    return array
