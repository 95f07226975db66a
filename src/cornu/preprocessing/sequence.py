"""Sequences as older programs prepare them: windows of series, and pairs of words."""

import json
import random

import numpy as np

from cornu.data import PyDataset
from cornu.utils.arrays import pad_sequences


class TimeseriesGenerator(PyDataset):
    """Batches of windows of a series, each with the target that comes after it.

    Args:
        data, targets: of one length; the first axis is time.
        length: how long the windows are, in time steps.
        sampling_rate: every how many-th step of a window is kept.
        stride: how far apart windows begin.
        start_index, end_index: what of the series is used, both ends included.
        shuffle: whether windows are drawn at random.
        reverse: whether each window's last step comes first.
        batch_size: how many windows are in a batch; the last one may have fewer.
        workers, use_multiprocessing, max_queue_size: as in `PyDataset`.

    Raises ValueError for data and targets of other lengths, and for a series that is too short.

    >>> x, y = TimeseriesGenerator(np.arange(6), np.arange(6), length=3, batch_size=2)[0]
    >>> x, y
    (array([[0, 1, 2],
           [1, 2, 3]]), array([3, 4]))
    """

    def __init__(self, data, targets, length, sampling_rate=1, stride=1, start_index=0,
                 end_index=None, shuffle=False, reverse=False, batch_size=128, **kwargs):
        super().__init__(**kwargs)
        if len(data) != len(targets):
            raise ValueError(
                f"TimeseriesGenerator: data has {len(data)} time steps, but targets {len(targets)}."
            )
        self.data, self.targets, self.length = data, targets, length
        self.sampling_rate, self.stride, self.batch_size = sampling_rate, stride, batch_size
        self.start_index = start_index + length
        self.end_index = len(data) - 1 if end_index is None else end_index
        self.shuffle, self.reverse = shuffle, reverse
        if self.start_index > self.end_index:
            raise ValueError(
                f"TimeseriesGenerator: no window of {length} steps lies between start_index="
                f"{start_index} and the end, {self.end_index}."
            )

    def __len__(self):
        return -(-(self.end_index - self.start_index + 1) // (self.batch_size * self.stride))

    def __getitem__(self, index):
        if self.shuffle:
            ends = np.random.randint(self.start_index, self.end_index + 1, size=self.batch_size)
        else:
            first = self.start_index + self.batch_size * self.stride * index
            last = min(first + self.batch_size * self.stride, self.end_index + 1)
            ends = np.arange(first, last, self.stride)
        windows = [self.data[i - self.length : i : self.sampling_rate] for i in ends]
        samples, targets = np.array(windows), np.array([self.targets[i] for i in ends])
        return (samples[:, ::-1, ...] if self.reverse else samples), targets

    def get_config(self) -> dict:  # data are written as JSON texts, as in Keras's files
        """The arguments and the data, as JSON can hold them."""
        names = ("length", "sampling_rate", "stride", "start_index", "end_index", "shuffle",
                 "reverse", "batch_size")
        lists = {name: json.dumps(np.asarray(getattr(self, name)).tolist())
                 for name in ("data", "targets")}
        return lists | {name: getattr(self, name) for name in names}

    def to_json(self, **kwargs) -> str:
        """The generator as JSON. Arguments go to `json.dumps`."""
        told = {"class_name": type(self).__name__, "config": self.get_config()}
        return json.dumps(told, **kwargs)


def make_sampling_table(size: int, sampling_factor: float = 1e-5) -> np.ndarray:
    """How likely the word of each rank is kept, so that frequent words do not crowd out the others.

    A word of rank r (by Zipf's law of frequency f) is kept with min(1, sqrt(s / f)) for word2vec's
    sampling factor s.

    Args:
        size: how many words there are.
        sampling_factor: word2vec's.
    """
    rank = np.arange(size)
    rank[0] = 1
    inverse = rank * (np.log(rank) + 0.577) + 0.5 - 1.0 / (12.0 * rank)  # Euler's constant
    share = sampling_factor * inverse
    return np.minimum(1.0, share / np.sqrt(share))


def skipgrams(sequence, vocabulary_size, window_size=4, negative_samples=1.0, shuffle=True,
              categorical=False, sampling_table=None, seed=None):
    """Pairs of words: those near each other (label 1), and as many at random (label 0).

    Args:
        sequence: numbers of words; 0 is no word.
        vocabulary_size: numbers of random words are below it.
        window_size: how far apart words of a pair are at most.
        negative_samples: how many random pairs there are for each true one.
        shuffle: whether the pairs are mixed.
        categorical: whether labels are [0, 1] and [1, 0].
        sampling_table: how likely each word is kept, from `make_sampling_table`.
        seed: fixes what is random.

    Returns: the pairs and their labels.
    """
    couples = []
    for i, word in enumerate(sequence):
        if not word or (sampling_table is not None and sampling_table[word] < random.random()):
            continue
        first, last = max(0, i - window_size), min(len(sequence), i + window_size + 1)
        near = [sequence[j] for j in range(first, last) if j != i and sequence[j]]
        couples += [[word, other] for other in near]
    true, false = ([0, 1], [1, 0]) if categorical else (1, 0)
    labels = [true] * len(couples)
    if negative_samples > 0:
        count = int(len(labels) * negative_samples)
        words = [couple[0] for couple in couples]
        random.shuffle(words)
        couples += [[words[i % len(words)], random.randint(1, vocabulary_size - 1)]
                    for i in range(count)]
        labels += [false] * count
    if shuffle:
        seed = random.randint(0, int(10e6)) if seed is None else seed
        for values in (couples, labels):
            random.seed(seed)
            random.shuffle(values)
    return couples, labels


__all__ = ["TimeseriesGenerator", "make_sampling_table", "pad_sequences", "skipgrams"]
