"""Vocabularies: strings and integers as indices and back."""

import collections
import functools
import itertools
import os

import jax
import numpy as np

from cornu import check
from cornu.layers.parts import called
from cornu.layers.preprocessing.categorical import hashed, salt_of
from cornu.layers.preprocessing.host import (MODES, Adaptable, HostLayer, check_mode, check_sparse, encode, encoded_shape, host_array,
                                             is_text, strings_of)

_LARGEST = 256 << 20  # bytes of a vocabulary file
_IN_CONFIG = 100_000  # tokens: a given vocabulary that is larger goes into a file of its own, too


class _Vocabulary:
    """The known tokens in order, and where to find each; its insides are not searched for a layer's parts."""

    def __init__(self, tokens, first: int):
        self.tokens, self.first = tokens, first
        if isinstance(tokens, np.ndarray):  # of integers
            self.order = np.argsort(tokens, kind="stable")
            self.sorted = tokens[self.order]
        else:
            self.index = {token: i for i, token in enumerate(tokens, first)}

    def __len__(self):
        return len(self.tokens)

    def find(self, items) -> np.ndarray:
        """The index of each token, -1 for unknown ones."""
        if isinstance(items, np.ndarray):
            if not len(self.tokens):
                return np.full(items.shape, -1)
            places = np.minimum(np.searchsorted(self.sorted, items), len(self.sorted) - 1)
            return np.where(self.sorted[places] == items, self.order[places] + self.first, -1)
        return np.fromiter(map(self.index.get, items, itertools.repeat(-1)), "int64", len(items))

    @functools.cached_property
    def of_bytes(self) -> dict:
        """The index of each token in UTF-8."""
        return {t.encode("utf-8", "surrogatepass"): i for t, i in self.index.items()}


class _Tally:
    """How often each token was seen, in how many documents, of how many; not searched for a layer's parts either."""

    def __init__(self):
        self.tokens, self.documents, self.samples = collections.Counter(), collections.Counter(), 0


class Lookup(Adaptable, HostLayer):
    """Base of the layers with a vocabulary.

    The indices are, in this order: 0 for the mask token where there is one (and `output_mode` is "int"), those of
    unknown tokens, and those of the vocabulary.
    """

    vocabulary = None  # kept as `_vocabulary`; see `_config_value`

    def __init__(self, invert, max_tokens, num_oov_indices, mask_token, oov_token, output_mode, sparse,
                 pad_to_max_tokens, vocabulary, idf_weights, oov_method="floormod", salt=None, vocabulary_size=None,
                 **kwargs):
        super().__init__(**kwargs)
        owner = type(self).__name__
        self.output_mode = check_mode(output_mode, MODES, owner)
        self.sparse = check_sparse(sparse, output_mode, owner)
        self.num_oov_indices = check.positive("num_oov_indices", num_oov_indices, owner, zero=True)
        self.oov_method = check.one_of("oov_method", oov_method, ("floormod", "farmhash"), owner)
        self.invert, self.max_tokens, self.pad_to_max_tokens = invert, max_tokens, pad_to_max_tokens
        self.mask_token, self.oov_token, self.salt = mask_token, oov_token, salt_of(salt, owner)
        if max_tokens is not None and check.positive("max_tokens", max_tokens, owner) < 2:
            raise ValueError(f"{owner}: argument `max_tokens` must be greater than 1. Received: {max_tokens!r}")
        if pad_to_max_tokens and max_tokens is None:
            raise ValueError(f"{owner}: pad_to_max_tokens=True needs `max_tokens`.")
        if invert and output_mode != "int":
            raise ValueError(f"{owner}: with invert=True the output_mode must be 'int'. Received: {output_mode!r}")
        if invert and num_oov_indices > 1:
            raise ValueError(f"{owner}: with invert=True num_oov_indices is 0 or 1. Received: {num_oov_indices}")
        if idf_weights is not None and output_mode != "tf_idf":
            raise ValueError(f"{owner}: idf_weights are used with output_mode='tf_idf' only; it is {output_mode!r}.")
        if mask_token is not None and mask_token == oov_token:
            raise ValueError(f"{owner}: mask_token and oov_token are the same: {mask_token!r}.")
        self.idf_weights, self._told_size = idf_weights, vocabulary_size
        self._vocabulary = self._idf = self._frozen = None
        self._given = vocabulary is not None
        if vocabulary is not None:
            self.set_vocabulary(vocabulary, idf_weights)
        self.reset_state()

    def _config_value(self, name):
        if name == "vocabulary":  # learnt ones lie in the file beside the config
            small = self._given and len(self._plain_tokens()) <= _IN_CONFIG
            return list(self._plain_tokens()) if small or self._unwritable() else None
        if name == "vocabulary_size":
            return self._told_size if self._vocabulary is None else self.vocabulary_size()
        if name == "idf_weights" and self.idf_weights is not None:
            return np.asarray(self.idf_weights, "float64").tolist()
        return getattr(self, name)

    @classmethod
    def from_config(cls, config):
        """As written; Keras's configs may name a file, which is not opened."""
        cls.refuse_path(config, cls.__name__)
        return super().from_config(config)

    @staticmethod
    def refuse_path(config: dict, owner: str) -> None:
        """Raise ValueError where a config names a file to read: it may come from a stranger."""
        if isinstance(config.get("vocabulary"), str):
            raise ValueError(f"{owner}: the config names the file {config['vocabulary']!r} as vocabulary; files that a "
                             "config names are not opened.\nPass vocabulary=... to the constructor, or save the layer "
                             "with its words.")

    # the vocabulary --------------------------------------------------------------------------------------------------

    @property
    def _first_oov(self) -> int:
        return int(self.mask_token is not None and self.output_mode == "int")

    @property
    def _first_token(self) -> int:
        return self._first_oov + self.num_oov_indices

    def _plain_tokens(self) -> list:
        tokens = [] if self._vocabulary is None else self._vocabulary.tokens
        return tokens.tolist() if isinstance(tokens, np.ndarray) else tokens

    def get_vocabulary(self, include_special_tokens: bool = True) -> list:
        """The tokens in the order of their indices, with the mask and unknown tokens first unless told otherwise."""
        special = [self.mask_token] * self._first_oov + [self.oov_token] * self.num_oov_indices
        return (special if include_special_tokens else []) + list(self._plain_tokens())

    def vocabulary_size(self) -> int:
        """How many indices there are, those of the mask and of unknown tokens among them."""
        if self._vocabulary is None:
            return self._told_size or self._first_token
        return self._first_token + len(self._vocabulary)

    def set_vocabulary(self, vocabulary, idf_weights=None) -> None:
        """Set the tokens, from the most frequent one on.

        Args:
            vocabulary: tokens (with the mask and unknown tokens first, or without them), or the path of a text file
                with one on each line.
            idf_weights: the weight of each token, with output_mode "tf_idf".

        Raises ValueError for repeated tokens, more than `max_tokens`, a file that is missing or too large, or an
        address.
        """
        if isinstance(vocabulary, (str, os.PathLike)):
            vocabulary = self._read_file(vocabulary)
        tokens = self._standard_tokens(vocabulary)
        if not len(tokens):
            raise ValueError(f"{called(self)}: the vocabulary is empty.")
        special = [self.mask_token] * (self.mask_token is not None) + [self.oov_token] * self.num_oov_indices
        known = tokens.tolist() if isinstance(tokens, np.ndarray) else tokens
        heads = [special] if self._first_oov else [special, special[self.mask_token is not None:]]
        skipped = next((len(head) for head in heads if head and known[:len(head)] == head), 0)
        tokens, known = tokens[skipped:], known[skipped:]
        self._check_tokens(known, special)
        if self.output_mode == "tf_idf":
            if idf_weights is None:
                raise ValueError(f"{called(self)}: with output_mode='tf_idf' a vocabulary needs its idf_weights.")
            idf_weights = np.asarray(idf_weights, "float32").reshape(-1)
            if len(idf_weights) == len(known) + skipped:
                idf_weights = idf_weights[skipped:]
            if len(idf_weights) != len(known):
                raise ValueError(f"{called(self)}: there are {len(idf_weights)} idf_weights for {len(known)} tokens.")
        elif idf_weights is not None:
            raise ValueError(f"{called(self)}: idf_weights are used with output_mode='tf_idf' only; it is "
                             f"{self.output_mode!r}.")
        self._given = True
        self._set(tokens, idf_weights)

    def _check_tokens(self, known: list, special: list) -> None:
        if len(set(known)) < len(known):
            twice = [t for t, n in collections.Counter(known).most_common(3) if n > 1]
            raise ValueError(f"{called(self)}: the vocabulary has tokens more than once: "
                             f"{', '.join(map(repr, twice))}. Each "
                             "token stands for one index; remove the others.")
        if self.mask_token is not None and self.mask_token in set(known) or (
                self.oov_token is not None and self.invert and self.oov_token in set(known)):
            raise ValueError(f"{called(self)}: the vocabulary holds a token of special meaning. Leave {special} out, "
                             "or put them first, in this order.")
        size = self._first_token + len(known)
        if self.max_tokens is not None and size > self.max_tokens:
            raise ValueError(f"{called(self)}: the vocabulary has {size} tokens, the mask and unknown ones among them, "
                             f"but max_tokens is {self.max_tokens}.")

    def _set(self, tokens, idf=None, whole_idf=None) -> None:
        size = self._first_token + len(tokens)
        if self._frozen is not None and size != self._frozen:
            raise RuntimeError(f"{called(self)}: a model was built for {self._frozen} indices; {size} do not fit. "
                               "Adapt before the model is built, or pad to max_tokens.")
        self._vocabulary = _Vocabulary(tokens, self._first_token)
        if self.output_mode == "tf_idf":
            if whole_idf is None:
                oov = np.full(self.num_oov_indices, np.mean(idf) if len(idf) else 0.0)
                whole_idf = np.concatenate([oov, idf])
            self._idf = np.zeros(self._depth(), "float32")
            self._idf[:len(whole_idf)] = whole_idf[:len(self._idf)]

    def _read_file(self, path) -> list:
        shown = os.fspath(path)
        if "://" in shown:
            raise ValueError(f"{called(self)}: the vocabulary {shown!r} is an address; nothing is fetched from the "
                             "network. Download the file (cornu.utils.get_file) and pass its path.")
        if not os.path.exists(shown):
            raise ValueError(f"{called(self)}: there is no vocabulary file {shown!r}.")
        if not os.path.isfile(shown):
            raise ValueError(f"{called(self)}: the vocabulary {shown!r} is no file.")
        if os.path.getsize(shown) > _LARGEST:
            raise ValueError(f"{called(self)}: the vocabulary file {shown!r} has {os.path.getsize(shown):,} bytes; at "
                             f"most {_LARGEST:,} are read.")
        with open(shown, "rb") as file:
            return self._lines(file.read(), shown)

    def _lines(self, data: bytes, shown: str) -> list:
        try:
            lines = data.decode(getattr(self, "encoding", "utf-8")).replace("\r\n", "\n").removesuffix("\n").split("\n")
        except UnicodeDecodeError as error:
            raise ValueError(f"{called(self)}: {shown!r} is no text in its encoding: {error}.") from None
        empty = [i for i, line in enumerate(lines) if not line and not (i == 0 and self.mask_token == "")]
        if empty:
            raise ValueError(f"{called(self)}: line {empty[0] + 1} of the vocabulary file {shown!r} is empty.")
        return lines

    # files -----------------------------------------------------------------------------------------------------------

    def _unwritable(self) -> bool:
        """Whether a token holds the end of a line, so that a file with a token on each line cannot hold it."""
        return any("\n" in t or "\r" in t for t in self._plain_tokens() if isinstance(t, str))

    def save_assets(self, dir_path) -> None:
        """Write what was learnt into a folder, as `vocabulary.txt`; a vocabulary that was given is in the config."""
        if self._vocabulary is not None and self._config_value("vocabulary") is None:
            with open(os.path.join(dir_path, "vocabulary.txt"), "w", encoding="utf-8", newline="\n") as file:
                file.write("\n".join(map(str, self.get_vocabulary())))

    def load_assets(self, dir_path) -> None:
        """Read what `save_assets` (Keras's too) wrote."""
        path = os.path.join(dir_path, "vocabulary.txt")
        if self._given or not os.path.exists(path):
            return
        with open(path, "rb") as file:
            lines = file.read().decode("utf-8").split("\n")
        self._given = False
        self._set(self._standard_tokens(lines[self._first_token:]), np.zeros(len(lines) - self._first_token))

    def save_own_variables(self, store):
        if self._idf is not None:
            store["idf_weights"] = self._idf

    def load_own_variables(self, store):
        if "idf_weights" in store:
            self._idf = np.asarray(store["idf_weights"], "float32")

    def _beside_weights(self):
        """What pickles and deep copies hold beside config and weights."""
        return None if self._vocabulary is None else (self._vocabulary.tokens, self._idf, self._given)

    def _take_beside_weights(self, kept) -> None:
        if kept is not None and self._vocabulary is None:
            self._set(kept[0], whole_idf=kept[1])
            self._given = kept[2]

    # adapt -----------------------------------------------------------------------------------------------------------

    def _check_adaptable(self):
        if self._given:
            raise ValueError(f"{called(self)} has a vocabulary that was given, so it cannot be adapted. Leave "
                             "`vocabulary` out to learn it from data.")

    def reset_state(self) -> None:
        """Forget the tokens that were counted; the vocabulary stays until `finalize_state`."""
        self._tally = _Tally()

    def update_state(self, data) -> None:
        """Count the tokens of a batch; each row is a document."""
        self._check_adaptable()
        array = host_array(data, self)
        tokens = self._keys(array)
        tokens = tokens.tolist() if isinstance(tokens, np.ndarray) else tokens
        self._tally.tokens.update(tokens)
        if self.output_mode == "tf_idf":
            size = array.size // len(array) if array.ndim > 1 else 1
            for start in range(0, len(tokens), size):
                self._tally.documents.update(set(tokens[start:start + size]))
            self._tally.samples += len(tokens) // size

    def finalize_state(self) -> None:
        """Make the vocabulary of what was counted: the most frequent tokens, of equals the greatest first."""
        counts = self._tally.tokens
        if not counts and self._vocabulary is not None:
            return
        special = {self.mask_token, self.oov_token}
        ranked = sorted(zip(counts.values(), counts), reverse=True)
        tokens = [t for _, t in ranked if self._token(t) not in special]
        if self.max_tokens is not None:
            tokens = tokens[:self.max_tokens - self._first_token]
        seen = np.array([self._tally.documents[t] for t in tokens], "float64")
        idf = np.log(1 + self._tally.samples / (1 + seen)) if self.output_mode == "tf_idf" else None
        self._set(self._standard_tokens([self._token(t) for t in tokens]), idf)

    # calling ---------------------------------------------------------------------------------------------------------

    def _depth(self):
        """How many values an encoding has; None where the vocabulary is not known yet."""
        if self.pad_to_max_tokens:
            return self.max_tokens
        return self._told_size if self._vocabulary is None else self.vocabulary_size()

    def output_of(self, inputs):
        depth = self._depth()
        if self.output_mode != "int" and depth is not None and not self.pad_to_max_tokens:
            self._frozen = depth
        return encoded_shape(inputs.shape, self.output_mode, depth), self._output_dtype()

    def _output_dtype(self):
        return "int64" if self.output_mode == "int" else self.compute_dtype

    def compute(self, values):
        self.check_ready()
        if self.invert:
            return self._inverted(self._standard_indices(values))
        keys = self._keys(values)
        return self.encoded(self._with_special(self._vocabulary.find(keys), keys).reshape(values.shape))

    def _with_special(self, ids, keys) -> np.ndarray:
        """The indices with those of mask and unknown tokens in place of -1; in encodings the mask is -2."""
        missing = np.flatnonzero(ids == -1)
        if not len(missing):
            return ids
        tokens = keys[missing] if isinstance(keys, np.ndarray) else np.fromiter((keys[i] for i in missing), object,
                                                                                len(missing))
        if self.mask_token is not None:
            masked = tokens == self.mask_token
            ids[missing[masked]] = 0 if self.output_mode == "int" else -2
            missing, tokens = missing[~masked], tokens[~masked]
        if not len(missing):
            return ids
        if not self.num_oov_indices:
            raise ValueError(f"{called(self)}: {tokens[0]!r} is not in the vocabulary, and with num_oov_indices=0 "
                             "there is no index for unknown tokens.")
        ids[missing] = self._first_oov + (0 if self.num_oov_indices == 1 else self._bins(tokens))
        return ids

    def _bins(self, tokens):
        return hashed(tokens, self.num_oov_indices, self, self.salt)

    def encoded(self, ids: np.ndarray) -> np.ndarray:
        """Indices in the layer's output mode."""
        if self.output_mode == "int":
            return ids.astype(jax.dtypes.canonicalize_dtype("int64"))
        return encode(ids, self.output_mode, self._depth(), self.compute_dtype, self._idf)

    def _standard_indices(self, values):
        if is_text(values) or values.dtype.kind not in "iu":
            raise ValueError(f"{called(self)}: with invert=True it takes integers; the input has dtype {values.dtype}.")
        return values

    def _inverted(self, ids: np.ndarray) -> np.ndarray:
        tokens = np.asarray([*self.get_vocabulary(), self.oov_token], object if self._text else "int64")
        return tokens[np.where((ids < 0) | (ids >= len(tokens) - 1), len(tokens) - 1, ids)]

    def check_ready(self) -> None:
        """Raise ValueError while there is no vocabulary."""
        if self._vocabulary is None:
            raise ValueError(f"{called(self)} has no vocabulary yet. Call adapt(data) first, or pass `vocabulary`.")


class StringLookup(Lookup):
    """Strings as indices into a vocabulary, or as encodings of these.

    Args:
        max_tokens: the most indices there may be, those of mask and unknown tokens among them.
        num_oov_indices: how many indices unknown strings share, by their hash; with 0 they are an error.
        mask_token: a string that gets index 0, and leaves no trace in encodings.
        oov_token: what `get_vocabulary` and inverted lookups show for unknown strings.
        vocabulary: the strings, or the path of a file with one on each line; `adapt` learns them if None.
        idf_weights: the weights of the strings, for "tf_idf" with a given vocabulary.
        invert: take indices and give strings (a NumPy array of objects).
        output_mode: "int", "one_hot", or over the last axis "multi_hot", "count" or "tf_idf".
        pad_to_max_tokens: whether encodings have `max_tokens` values even where the vocabulary is smaller.
        sparse: whether encodings are sparse tensors (`jax.experimental.sparse.BCOO`); not with "int".
        encoding: of strings given as bytes, and of the vocabulary's file.
        salt: one integer or two, for the hash of unknown strings.

    Raises ValueError for repeated strings, when it has no vocabulary, and for what is no string.

    >>> StringLookup(vocabulary=["a", "b"])([["b", "z"]])
    Array([[2, 0]], dtype=int32)
    """

    _text = True

    def __init__(self, max_tokens=None, num_oov_indices=1, mask_token=None, oov_token="[UNK]", vocabulary=None,
                 idf_weights=None, invert=False, output_mode="int", pad_to_max_tokens=False, sparse=False,
                 encoding="utf-8", name=None, salt=None, **kwargs):
        try:
            "".encode(encoding)
        except (LookupError, TypeError):
            raise ValueError(f"{type(self).__name__}: there is no encoding {encoding!r}.") from None
        self.__dict__["encoding"] = encoding
        super().__init__(invert, max_tokens, num_oov_indices, mask_token, oov_token, output_mode, sparse,
                         pad_to_max_tokens, vocabulary, idf_weights, name=name, salt=salt, **kwargs)

    def _standard_tokens(self, tokens) -> list:
        array = host_array(list(tokens) if isinstance(tokens, (tuple, set)) else tokens, self)
        if array.size and not is_text(array):
            raise ValueError(f"{called(self)}: a vocabulary is made of strings; it was given {array.reshape(-1)[0]!r}.")
        return strings_of(array, self, self.encoding) if array.size else []

    def _keys(self, values) -> list:
        if not values.size:
            return []
        if not is_text(values):
            raise ValueError(f"{called(self)} takes strings; the input has dtype {values.dtype}. For integers there is "
                             "IntegerLookup.")
        return strings_of(values, self, self.encoding)

    def _token(self, key):
        return key.decode("utf-8", "surrogatepass") if isinstance(key, bytes) else key

    def output_of(self, inputs):
        shape, dtype = super().output_of(inputs)
        return shape, "string" if self.invert else dtype


class IntegerLookup(Lookup):
    """Integers as indices into a vocabulary, or as encodings of these.

    Args:
        max_tokens, num_oov_indices, mask_token, oov_token, idf_weights, invert, output_mode, sparse, pad_to_max_tokens:
            as for StringLookup; `oov_token` is what inverted lookups give for unknown ones.
        vocabulary: the integers, or the path of a file with one on each line; `adapt` learns them if None.
        vocabulary_dtype: must be "int64".
        oov_method: how unknown integers share several indices: "floormod" (their remainder) or "farmhash".
        salt: one integer or two, for "farmhash".

    On the host all 64 bits count. Raises ValueError for repeated integers, when it has no vocabulary, and for values
    that are no integers.

    >>> IntegerLookup(vocabulary=[12, 2**40])([2**40, 7])
    Array([2, 0], dtype=int32)
    """

    _text, takes_text = False, False

    def __init__(self, max_tokens=None, num_oov_indices=1, mask_token=None, oov_token=-1, vocabulary=None,
                 vocabulary_dtype="int64", idf_weights=None, invert=False, output_mode="int", sparse=False,
                 pad_to_max_tokens=False, oov_method="floormod", salt=None, name=None, **kwargs):
        if vocabulary_dtype != "int64":
            raise ValueError(f"IntegerLookup: argument `vocabulary_dtype` must be 'int64'. Received: "
                             f"{vocabulary_dtype!r}")
        for told, token in (("mask_token", mask_token), ("oov_token", oov_token)):
            if token is not None and not isinstance(token, (int, np.integer)):
                raise ValueError(f"IntegerLookup: argument `{told}` must be an integer. Received: {token!r}")
        if salt is not None and oov_method != "farmhash":
            raise ValueError(f"IntegerLookup: a `salt` is for oov_method='farmhash'; it is {oov_method!r}.")
        self.__dict__["vocabulary_dtype"] = vocabulary_dtype
        super().__init__(invert, max_tokens, num_oov_indices, mask_token, oov_token, output_mode, sparse,
                         pad_to_max_tokens, vocabulary, idf_weights, oov_method=oov_method, salt=salt, name=name,
                         **kwargs)

    def _standard_tokens(self, tokens) -> np.ndarray:
        array = host_array(list(tokens) if isinstance(tokens, (tuple, set)) else tokens, self)
        return self._keys(array)

    def _keys(self, values) -> np.ndarray:
        wrong = None
        if is_text(values):  # numbers that a file holds as text
            try:
                values = values.astype(str).astype("int64") if values.size else values.astype("int64")
            except ValueError as error:
                wrong = str(error)
        elif values.dtype.kind == "f":
            bad = values[~(np.isfinite(values) & (values == np.floor(values)))]
            wrong = f"{bad.reshape(-1)[0]} is none" if bad.size else None
        elif values.dtype.kind not in "iub":
            wrong = f"the dtype is {values.dtype}"
        if wrong:
            raise ValueError(f"{called(self)} takes integers: {wrong}. For strings there is StringLookup.")
        return values.astype("int64").reshape(-1)

    def _token(self, key):
        return key

    def _bins(self, tokens):
        return super()._bins(tokens) if self.oov_method == "farmhash" else tokens % self.num_oov_indices
