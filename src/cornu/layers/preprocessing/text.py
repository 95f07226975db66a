"""Texts as sequences of word indices, or as bags of words.

A whole batch is handled as one byte string, its texts joined by a byte that UTF-8 never uses: lower case, punctuation
and words are each one pass over it, at C's speed.
"""

import itertools
import string

import numpy as np

from cornu import check, frames, registry
from cornu.data import aligned
from cornu.layers.parts import called
from cornu.layers.preprocessing.host import (MODES, Adaptable, HostLayer, check_mode, check_sparse, encode, fill_rows, host_array,
                                             is_text, strings_of)
from cornu.layers.preprocessing.lookup import StringLookup

_END, _AT_END = b"\xff", -9  # what stands between texts, and its index
_LOWER = bytes.maketrans(string.ascii_uppercase.encode(), string.ascii_lowercase.encode())
_SAME = bytes(range(256))
_PUNCTUATION = string.punctuation.encode()
_STANDARDIZE = {"lower_and_strip_punctuation": (_LOWER, _PUNCTUATION), "lower": (_LOWER, b""),
                "strip_punctuation": (_SAME, _PUNCTUATION)}


class TextVectorization(Adaptable, HostLayer):
    """Texts as indices of their words, or as encodings of these.

    Args:
        max_tokens: the most indices there may be, those of padding and unknown words among them.
        standardize: "lower_and_strip_punctuation" (of ASCII, as Keras does), "lower", "strip_punctuation", None, or a
            function from an array of strings to another.
        split: "whitespace", "character", None (a text is one word), or a function from an array of strings to lists of
            them.
        ngrams: an integer n for runs of 1 to n words, or a tuple of the lengths of runs; joined by spaces.
        output_mode: "int" (padded with 0), "multi_hot", "count" or "tf_idf" (one row for each text), or "one_hot".
        output_sequence_length: to how many words texts are cut or padded; the longest of the batch if None.
        pad_to_max_tokens: whether encodings have `max_tokens` values even where the vocabulary is smaller.
        vocabulary: the words, or the path of a file with one on each line; `adapt` learns them if None.
        idf_weights: the weights of the words, for "tf_idf" with a given vocabulary.
        sparse: whether encodings are sparse tensors (`jax.experimental.sparse.BCOO`); not with "int".
        ragged: must be False: there are no ragged tensors under JAX.
        encoding: of texts given as bytes, and of the vocabulary's file.

    Input shape: (batch,) or (batch, 1). Output shape: (batch, words), or (batch, indices) for encodings. Raises
    ValueError where it has no vocabulary, and for what is no text.

    >>> layer = TextVectorization()
    >>> layer.adapt(["The cat.", "the dog"])
    >>> layer(["the cat", "a dog ran"])
    Array([[2, 4, 0],
           [1, 3, 1]], dtype=int32)
    """

    def __init__(self, max_tokens=None, standardize="lower_and_strip_punctuation", split="whitespace", ngrams=None,
                 output_mode="int", output_sequence_length=None, pad_to_max_tokens=False, vocabulary=None,
                 idf_weights=None, sparse=False, ragged=False, encoding="utf-8", name=None, vocabulary_size=None,
                 **kwargs):
        super().__init__(name=name, **kwargs)
        owner = "TextVectorization"
        standardize, split = (registry.deserialize(f) if isinstance(f, dict) else f for f in (standardize, split))
        for told, value, names in (("standardize", standardize, tuple(_STANDARDIZE)),
                                   ("split", split, ("whitespace", "character"))):
            if value is not None and not callable(value):
                check.one_of(told, value, (*names, None), owner)
        self.output_mode = check_mode(output_mode, MODES, owner)
        self.sparse = check_sparse(sparse, output_mode, owner)
        if ragged:
            raise ValueError(f"{owner}: ragged=True is not supported: tensors are dense here. Leave it out; texts are "
                             "padded with 0, and an Embedding with mask_zero=True skips that.")
        if output_sequence_length is not None:
            check.positive("output_sequence_length", output_sequence_length, owner)
            if output_mode != "int":
                raise ValueError(f"{owner}: output_sequence_length is used with output_mode='int' only; it is "
                                 f"{output_mode!r}.")
        self.standardize, self.split, self.ragged = standardize, split, False
        self.ngrams = _runs(ngrams)
        self.output_sequence_length, self.encoding = output_sequence_length, encoding
        self._lookup_layer = StringLookup(  # its name is part of Keras's files
            max_tokens=max_tokens, vocabulary=vocabulary, idf_weights=idf_weights, mask_token="",
            output_mode=output_mode, pad_to_max_tokens=pad_to_max_tokens, encoding=encoding,
            vocabulary_size=vocabulary_size, dtype=self.dtype_policy)
        self.max_tokens, self.pad_to_max_tokens, self.idf_weights = max_tokens, pad_to_max_tokens, idf_weights

    vocabulary = None  # kept by the lookup; see `_config_value`

    def _config_value(self, name):
        if name in ("vocabulary", "vocabulary_size", "idf_weights"):
            return self._lookup_layer._config_value(name)
        return getattr(self, name)

    @classmethod
    def from_config(cls, config):
        """As written; a file that is named as vocabulary is not opened."""
        StringLookup.refuse_path(config, cls.__name__)
        return super().from_config(config)

    # the vocabulary --------------------------------------------------------------------------------------------------

    def get_vocabulary(self, include_special_tokens: bool = True) -> list:
        """The words in the order of their indices, with padding and unknown words first unless told otherwise."""
        return self._lookup_layer.get_vocabulary(include_special_tokens)

    def vocabulary_size(self) -> int:
        """How many indices there are, those of padding and unknown words among them."""
        return self._lookup_layer.vocabulary_size()

    def set_vocabulary(self, vocabulary, idf_weights=None) -> None:
        """Set the words; see StringLookup."""
        self._lookup_layer.set_vocabulary(vocabulary, idf_weights)

    @frames.filtered
    def adapt(self, data, batch_size: int | None = None, steps: int | None = None) -> None:
        """Learn the vocabulary from texts; what was learnt before is forgotten.

        Args:
            data: arrays or lists of texts, or anything that gives batches of them.
            batch_size: how many texts of an array are handled at a time; all if None.
            steps: how many batches are taken; all if None.
        """
        self._adapt(data, steps, batch_size)

    def _check_adaptable(self):
        self._lookup_layer._check_adaptable()

    def reset_state(self) -> None:
        """Forget the words that were counted; the vocabulary stays until `finalize_state`."""
        self._lookup_layer.reset_state()

    def update_state(self, data) -> None:
        """Count the words of a batch of texts."""
        self._check_adaptable()
        texts = self._flat(host_array(data, self))
        words = self._words(texts)
        tally = self._lookup_layer._tally
        tally.tokens.update(words)
        del tally.tokens[_END]
        if self.output_mode == "tf_idf":
            number = itertools.count()
            for _, document in itertools.groupby(words, lambda word: next(number) if word == _END else -1):
                tally.documents.update(set(document) - {_END})
            tally.samples += len(texts)

    def finalize_state(self) -> None:
        """Make the vocabulary of the words that were counted."""
        self._lookup_layer.finalize_state()

    def save_assets(self, dir_path) -> None:
        """Write the vocabulary into a folder, as Keras does here and for the lookup inside."""
        self._lookup_layer.save_assets(dir_path)

    def load_assets(self, dir_path) -> None:
        """Read what `save_assets` (Keras's too) wrote."""
        self._lookup_layer.load_assets(dir_path)

    def save_own_variables(self, store):
        self._lookup_layer.save_own_variables(store)

    def load_own_variables(self, store):
        self._lookup_layer.load_own_variables(store)

    def check_ready(self) -> None:
        """Raise ValueError while there is no vocabulary."""
        if self._lookup_layer._vocabulary is None:
            raise ValueError(f"{called(self)} has no vocabulary yet. Call adapt(data) first, or pass `vocabulary`.")

    # calling ---------------------------------------------------------------------------------------------------------

    def output_of(self, inputs):
        shape = tuple(inputs.shape)
        if self.split is not None:
            shape = (*self._batch_shape(shape), self.output_sequence_length)
        elif self.output_sequence_length is not None and len(shape) > 1:
            shape = (*shape[:-1], self.output_sequence_length)
        if self.output_mode == "int":
            return shape, "int64"
        return self._lookup_layer.output_of(_Shape(shape))

    def _batch_shape(self, shape) -> tuple:
        """The shape without the last axis of size 1; ValueError for several texts in one place."""
        if len(shape) < 2:
            return tuple(shape)
        if shape[-1] != 1:
            raise ValueError(f"{called(self)}: texts are given one by one, as (batch,) or (batch, 1); the input has "
                             f"shape {tuple(shape)}. Join them, or use split=None.")
        return tuple(shape[:-1])

    def _flat(self, texts: np.ndarray) -> list:
        if texts.size and not is_text(texts):
            raise ValueError(f"{called(self)} takes strings; the input has dtype {texts.dtype}.")
        return strings_of(texts, self, self.encoding) if texts.size else []

    def compute(self, texts):
        self.check_ready()
        lookup, texts = self._lookup_layer, texts if texts.size else texts.astype(object)
        shape = texts.shape if self.split is None else self._batch_shape(texts.shape)
        flat = self._flat(texts)
        words = self._words(flat)
        index = lookup._vocabulary.of_bytes
        index[_END] = _AT_END
        ids = np.fromiter(map(index.get, words, itertools.repeat(lookup._first_oov)), "int64", len(words))
        inside = ids != _AT_END
        rows, ids = np.cumsum(~inside)[inside], ids[inside]
        if self.split is None:
            return self._unsplit(ids, [w for w in words if w != _END], shape)
        lengths = np.bincount(rows, minlength=len(flat))
        if self.output_mode in ("int", "one_hot"):
            table = self._padded(ids, rows, lengths, 0 if self.output_mode == "int" else -2).reshape(*shape, -1) \
                if len(lengths) else np.zeros((*shape, self.output_sequence_length or 0), "int64")
            return lookup.encoded(table)
        depth = lookup._depth()
        table = aligned((len(lengths), depth), self.compute_dtype, np.zeros)
        return fill_rows(table, rows, ids, self.output_mode, lookup._idf).reshape(*shape, depth)

    def _padded(self, ids, rows, lengths, padding: int) -> np.ndarray:
        """One row for each text, cut off or padded."""
        width = self.output_sequence_length or int(lengths.max(initial=0))
        columns = np.arange(len(ids)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        inside = columns < width
        table = np.full((len(lengths), width), padding, "int64")
        table[rows[inside], columns[inside]] = ids[inside]
        return table

    def _unsplit(self, ids, words, shape):
        """Whole texts, looked up as they are; the last axis is cut off or padded."""
        masked = np.fromiter((not w for w in words), bool, len(words))
        lookup = self._lookup_layer
        ids[masked] = 0 if self.output_mode == "int" else -2
        ids, width = ids.reshape(shape), self.output_sequence_length
        if width is not None and ids.ndim > 1:
            ids = np.pad(ids[..., :width], [(0, 0)] * (ids.ndim - 1) + [(0, max(0, width - ids.shape[-1]))])
        return lookup.encoded(ids) if self.output_mode == "int" else encode(
            ids, self.output_mode, lookup._depth(), self.compute_dtype, lookup._idf)

    # words -----------------------------------------------------------------------------------------------------------

    def _words(self, texts: list) -> list:
        """All words of the texts in UTF-8, one after another, with _END between texts."""
        if callable(self.standardize):
            texts = self._returned("standardize", texts, self._applied(self.standardize, texts))
        joined = _END.join([t.encode("utf-8", "surrogatepass") for t in texts])
        if isinstance(self.standardize, str):
            joined = joined.translate(*_STANDARDIZE[self.standardize])
        if not texts:
            return []
        if self.split == "whitespace" and self.ngrams is None:
            return joined.replace(_END, b" " + _END + b" ").split()
        words: list = []
        for row in self._rows(joined):
            words += row if self.ngrams is None else _grams(row, self._sizes)
            words.append(_END)
        return words[:-1]

    def _rows(self, joined: bytes) -> list:
        """The words of each text."""
        texts = joined.split(_END)
        if self.split is None:
            return [[t] for t in texts]
        if self.split == "whitespace":
            return [t.split() for t in texts]
        texts = [t.decode("utf-8", "surrogatepass") for t in texts]
        if self.split == "character":
            return [[c.encode("utf-8", "surrogatepass") for c in t] for t in texts]
        rows = self._returned("split", texts, self._applied(self.split, texts))
        return [[_text(w).encode("utf-8", "surrogatepass") for w in (row if not isinstance(row, str) else [row])]
                for row in rows]

    def _applied(self, function, texts: list):
        result = function(np.array(texts, dtype=str))
        for name in ("to_list", "numpy"):  # TensorFlow's tensors, ragged ones too
            if hasattr(result, name):
                return getattr(result, name)()
        return result

    def _returned(self, told: str, texts: list, result) -> list:
        """What a user's function gave, one part for each text."""
        parts = list(result) if np.ndim(result) or isinstance(result, (list, tuple)) else [result]
        if len(parts) != len(texts):
            raise ValueError(f"{called(self)}: the `{told}` function was given {len(texts)} texts and returned "
                             f"{len(parts)} parts. It takes an array of strings, and returns one part for each.")
        return [_text(p) for p in parts] if told == "standardize" else parts

    @property
    def _sizes(self) -> tuple:
        return tuple(range(1, self.ngrams + 1)) if isinstance(self.ngrams, int) else tuple(self.ngrams)


class _Shape:
    """Something with a shape."""

    def __init__(self, shape):
        self.shape = shape


def _runs(ngrams):
    """The argument `ngrams`, checked."""
    sizes = ngrams if isinstance(ngrams, (list, tuple)) else () if ngrams is None else (ngrams,)
    if (ngrams is not None and not sizes) or not all(isinstance(n, int) and not isinstance(n, bool) and n > 0
                                                     for n in sizes):
        raise ValueError("TextVectorization: argument `ngrams` must be None, an integer > 0, or a tuple of them. "
                         f"Received: {ngrams!r}")
    return tuple(ngrams) if isinstance(ngrams, list) else ngrams


def _grams(row: list, sizes: tuple) -> list:
    return [gram for n in sizes for gram in (row if n == 1 else map(b" ".join, zip(*(row[i:] for i in range(n)))))]


def _text(value) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
