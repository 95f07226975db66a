"""Text as older programs prepare it: words, hashes, and the Tokenizer.

New programs use `layers.TextVectorization`, which goes into the model.
"""

import collections
import hashlib
import json
from collections.abc import Callable, Iterable

import numpy as np

FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'


def text_to_word_sequence(input_text: str, filters: str = FILTERS, lower: bool = True,
                          split: str = " ") -> list[str]:
    """The words of a text.

    Args:
        input_text: the text.
        filters: characters that part words as `split` does.
        lower: whether letters are made small.
        split: what stands between words.

    >>> text_to_word_sequence("Well, why not?")
    ['well', 'why', 'not']
    """
    text = input_text.lower() if lower else input_text
    text = text.translate(str.maketrans({c: split for c in filters}))
    return [word for word in text.split(split) if word]


def one_hot(input_text: str, n: int, filters: str = FILTERS, lower: bool = True, split: str = " ",
            analyzer: Callable | None = None) -> list[int]:
    """The words of a text as numbers from 1 to n - 1, by Python's `hash`: other ones in each run.

    The arguments are those of `hashing_trick`.
    """
    return hashing_trick(input_text, n, hash, filters, lower, split, analyzer)


def hashing_trick(text: str, n: int, hash_function: Callable | str | None = None,
                  filters: str = FILTERS, lower: bool = True, split: str = " ",
                  analyzer: Callable | None = None) -> list[int]:
    """The words of a text as numbers from 1 to n - 1, by a hash; several words may share one.

    Args:
        text: the text.
        n: how many numbers there are, 0 included, which is no word's.
        hash_function: a function of a word, "md5", or None for Python's `hash`.
        filters, lower, split: as in `text_to_word_sequence`.
        analyzer: a function that gives the words instead.

    >>> hashing_trick("a b a", 10, "md5")
    [2, 5, 2]
    """
    if hash_function is None:
        hash_function = hash
    elif hash_function == "md5":

        def hash_function(word):
            return int(hashlib.md5(word.encode()).hexdigest(), 16)

    if analyzer is None:
        words = text_to_word_sequence(text, filters, lower, split)
    else:
        words = analyzer(text)
    return [hash_function(word) % (n - 1) + 1 for word in words]


class Tokenizer:
    """Numbers for words: from 1 on, the most frequent word first.

    Args:
        num_words: numbers from `num_words` on are left out of what is made; None for no bound.
        filters, lower, split: as in `text_to_word_sequence`.
        char_level: whether the characters are the words.
        oov_token: a word, which becomes number 1, that stands for those unknown or left out.
        analyzer: a function that gives the words of a text instead.

    Texts may also be lists of words. After `fit_on_texts`: `word_counts`, `word_docs`,
    `word_index`, `index_word`, `document_count`.

    Raises TypeError for unknown arguments.

    >>> tokenizer = Tokenizer(oov_token="?")
    >>> tokenizer.fit_on_texts(["a b b"])
    >>> tokenizer.texts_to_sequences(["b a c"])
    [[2, 3, 1]]
    """

    def __init__(self, num_words: int | None = None, filters: str = FILTERS, lower: bool = True,
                 split: str = " ", char_level: bool = False, oov_token: str | None = None,
                 analyzer: Callable | None = None, **kwargs):
        num_words = kwargs.pop("nb_words", num_words)  # its name in Keras 1
        document_count = kwargs.pop("document_count", 0)
        if kwargs:
            raise TypeError(f"Tokenizer: unknown arguments {sorted(kwargs)}.")
        self.num_words, self.filters, self.lower, self.split = num_words, filters, lower, split
        self.char_level, self.oov_token, self.analyzer = char_level, oov_token, analyzer
        self.document_count = document_count
        self.word_counts: dict = collections.OrderedDict()
        self.word_docs: dict = collections.defaultdict(int)
        self.index_docs: dict = collections.defaultdict(int)
        self.word_index: dict = {}
        self.index_word: dict = {}

    def _words(self, text):
        if self.char_level or isinstance(text, list):
            if self.lower:
                text = [w.lower() for w in text] if isinstance(text, list) else text.lower()
            return text
        if self.analyzer is not None:
            return self.analyzer(text)
        return text_to_word_sequence(text, self.filters, self.lower, self.split)

    def fit_on_texts(self, texts: Iterable) -> None:
        """Count the words of more texts, and number all anew."""
        for text in texts:
            self.document_count += 1
            words = self._words(text)
            for word in words:
                self.word_counts[word] = self.word_counts.get(word, 0) + 1
            for word in set(words):
                self.word_docs[word] += 1
        ordered = sorted(self.word_counts, key=self.word_counts.get, reverse=True)
        if self.oov_token is not None:
            ordered.insert(0, self.oov_token)
        self.word_index = {word: i for i, word in enumerate(ordered, 1)}
        self.index_word = {i: word for word, i in self.word_index.items()}
        for word, count in self.word_docs.items():
            self.index_docs[self.word_index[word]] = count

    def fit_on_sequences(self, sequences: Iterable) -> None:
        """Count in how many more sequences each number stands, for the modes "tfidf"."""
        for sequence in sequences:
            self.document_count += 1
            for i in set(sequence):
                self.index_docs[i] += 1

    def texts_to_sequences(self, texts: Iterable) -> list[list[int]]:
        """Each text as the numbers of its words."""
        return list(self.texts_to_sequences_generator(texts))

    def texts_to_sequences_generator(self, texts: Iterable):
        """As `texts_to_sequences`, one after the other."""
        unknown = self.word_index.get(self.oov_token)
        for text in texts:
            numbers = (self.word_index.get(word) for word in self._words(text))
            numbers = (unknown if self._left_out(i) else i for i in numbers)
            yield [i for i in numbers if i is not None]

    def sequences_to_texts(self, sequences: Iterable) -> list[str]:
        """Each sequence of numbers as a text."""
        return list(self.sequences_to_texts_generator(sequences))

    def sequences_to_texts_generator(self, sequences: Iterable):
        """As `sequences_to_texts`, one after the other."""
        for sequence in sequences:
            known = (None if self._left_out(i) else self.index_word.get(i) for i in sequence)
            words = (self.oov_token if word is None else word for word in known)
            yield " ".join(word for word in words if word is not None)

    def _left_out(self, i):
        return i is None or (self.num_words is not None and i >= self.num_words)

    def texts_to_matrix(self, texts: Iterable, mode: str = "binary") -> np.ndarray:
        """A row for each text, a column for each word; modes are those of `sequences_to_matrix`."""
        return self.sequences_to_matrix(self.texts_to_sequences(texts), mode)

    def sequences_to_matrix(self, sequences: Iterable, mode: str = "binary") -> np.ndarray:
        """A row for each sequence, a column for each number.

        Args:
            sequences: lists of numbers.
            mode: "binary" (whether it is there), "count", "freq" (count over the length) or
                "tfidf" ((1 + log count) log(1 + documents / (1 + those that have it))).

        Raises ValueError for another mode, or before anything was fitted.
        """
        if mode not in ("binary", "count", "freq", "tfidf"):
            raise ValueError(f"mode is 'binary', 'count', 'freq' or 'tfidf'. Received: {mode!r}")
        if not self.num_words and not self.word_index:
            raise ValueError("Say `num_words`, or call fit_on_texts first.")
        if mode == "tfidf" and not self.document_count:
            raise ValueError("Call fit_on_texts or fit_on_sequences before mode='tfidf'.")
        sequences = list(sequences)
        rows = np.zeros((len(sequences), self.num_words or len(self.word_index) + 1))
        for row, sequence in zip(rows, sequences, strict=True):
            counts = collections.Counter(i for i in sequence if i < rows.shape[1])
            for i, count in counts.items():
                row[i] = self._entry(mode, i, count, len(sequence))
        return rows

    def _entry(self, mode, i, count, length):
        if mode == "count":
            return count
        if mode == "freq":
            return count / length
        if mode == "binary":
            return 1
        documents = self.document_count / (1 + self.index_docs.get(i, 0))
        return (1 + np.log(count)) * np.log(1 + documents)

    def get_config(self) -> dict:  # counts are written as JSON texts, as in Keras's files
        """What the tokenizer knows."""
        counts = ("word_counts", "word_docs", "index_docs", "index_word", "word_index")
        told = ("num_words", "filters", "lower", "split", "char_level", "oov_token",
                "document_count")
        return {name: getattr(self, name) for name in told} | {
            name: json.dumps(getattr(self, name)) for name in counts
        }

    def to_json(self, **kwargs) -> str:
        """The tokenizer as JSON; `tokenizer_from_json` reads it. Arguments go to `json.dumps`."""
        told = {"class_name": type(self).__name__, "config": self.get_config()}
        return json.dumps(told, **kwargs)


def tokenizer_from_json(json_string: str) -> Tokenizer:
    """The tokenizer that `to_json` wrote."""
    config = dict(json.loads(json_string)["config"])
    names = ("word_counts", "word_docs", "index_docs", "index_word", "word_index")
    counts = {name: json.loads(config.pop(name)) for name in names}
    tokenizer = Tokenizer(**config)
    for name in ("index_docs", "index_word"):  # JSON's keys are texts
        counts[name] = {int(i): value for i, value in counts[name].items()}
    for name, value in counts.items():
        setattr(tokenizer, name, value)
    return tokenizer


__all__ = ["Tokenizer", "hashing_trick", "one_hot", "text_to_word_sequence", "tokenizer_from_json"]
