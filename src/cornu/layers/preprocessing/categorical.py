"""Categories: encodings of indices, and hashes of numbers and strings."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from cornu import check, dtypes, ops
from cornu import sparse as sparse_tensors
from cornu.layers.preprocessing.data_layer import DataLayer
from cornu.layers.parts import called
from cornu.layers.preprocessing.fingerprints import crossed, farm_fingerprints, sip_fingerprints
from cornu.layers.preprocessing.host import (HostLayer, check_mode, check_sparse, encode, encoded_shape,
                                             host_array, is_text, numbers_of, strings_of)


class CategoryEncoding(DataLayer):
    """Integers below `num_tokens` as one-hot rows, or as rows that say which of them a sample has, or how often.

    Args:
        num_tokens: how many categories there are.
        output_mode: "one_hot" (a row for each integer), "multi_hot" or "count" (a row for each sample, over its last
            axis).
        sparse: whether encodings are sparse tensors (`jax.experimental.sparse.BCOO`); not with "int".

    Called with `count_weights` in mode "count", each integer counts as its weight. Input shape: (batch, values).
    Output shape: (batch, num_tokens); with "one_hot" (batch, values, num_tokens), without the axis of values where it
    has size 1. Raises ValueError for integers out of range.

    >>> CategoryEncoding(4)(np.array([[1, 3], [0, 0]]))
    Array([[0., 1., 0., 1.],
           [1., 0., 0., 0.]], dtype=float32)
    """

    goes_before = True

    def __init__(self, num_tokens=None, output_mode="multi_hot", sparse=False, **kwargs):
        super().__init__(**kwargs)
        if num_tokens is None:
            raise ValueError("CategoryEncoding needs `num_tokens`. Where the number is not known beforehand, use "
                             "IntegerLookup.")
        self.num_tokens = check.positive("num_tokens", num_tokens, "CategoryEncoding")
        self.output_mode = check_mode(output_mode, ("one_hot", "multi_hot", "count"), "CategoryEncoding")
        self.sparse = check_sparse(sparse, output_mode, "CategoryEncoding")
        self.built = True

    def call(self, inputs, count_weights=None):
        if count_weights is not None and self.output_mode != "count":
            raise ValueError(f"{called(self)}: count_weights are used with output_mode='count' only; it is "
                             f"{self.output_mode!r}.")
        inputs = numbers_of(inputs, self)
        if not isinstance(inputs, jax.core.Tracer):
            self.check_tokens(inputs)
        return encode_traced(inputs.astype("int32"), self.output_mode, self.num_tokens, self.compute_dtype,
                             count_weights, self.sparse)

    def check_tokens(self, tokens) -> None:
        """Raise ValueError for integers that are no categories."""
        tokens = host_array(tokens, self)
        if tokens.dtype.kind == "f" and not (tokens == np.floor(tokens)).all():
            wrong = tokens[~(tokens == np.floor(tokens))].reshape(-1)[0]
            raise ValueError(f"{called(self)}: categories are whole numbers; the input has {wrong}.")
        low, high = (tokens.min(), tokens.max()) if tokens.size else (0, 0)
        if not (low >= 0 and high < self.num_tokens):
            raise ValueError(f"{called(self)}: the categories are 0 to {self.num_tokens - 1}; the input has values "
                             f"from {low} to {high}.\nMake num_tokens larger, or look the values up with "
                             "IntegerLookup.")


def encode_traced(ids, mode: str, depth: int, dtype: str, weights=None, sparse: bool = False):
    """`host.encode` in JAX; indices out of range leave no trace."""
    shape = encoded_shape(ids.shape, mode, depth)
    if sparse:
        return ops.reshape(_encode_sparse(ids, mode, depth, dtype, weights), shape)
    if mode == "one_hot":
        return jax.nn.one_hot(ids, depth, dtype=dtype).reshape(shape)
    last = ids.shape[-1] if ids.ndim else 1
    ids = ids.reshape(-1 if last else math.prod(ids.shape[:-1]), last)
    ids = jnp.where(ids < 0, depth, ids)
    rows = jnp.arange(ids.shape[0])[:, None]
    table = jnp.zeros((ids.shape[0], depth), dtype).at[rows, ids]
    if mode == "multi_hot":
        return table.set(1, mode="drop").reshape(shape)
    weights = 1 if weights is None else jnp.asarray(weights, dtype).reshape(ids.shape)
    return table.add(weights, mode="drop").reshape(shape)


def _encode_sparse(ids, mode: str, depth: int, dtype: str, weights):
    if mode == "one_hot":
        return sparse_tensors.one_hot(ids, depth, dtype=dtype)
    if mode == "multi_hot":
        return sparse_tensors.multi_hot(ids, depth, dtype)
    return sparse_tensors.counts(ids, depth, dtype, weights)


class _Bins(HostLayer):
    """Base of layers that give each value one of `num_bins` numbers, by a hash."""

    def _keep_bins(self, num_bins, output_mode, sparse, dtype, modes) -> None:
        owner = type(self).__name__
        self.num_bins = check.positive("num_bins", num_bins, owner)
        self.output_mode = check_mode(output_mode, modes, owner)
        self.sparse = check_sparse(sparse, output_mode, owner)
        if output_mode == "int" and dtype is not None and not dtypes.is_int(self.compute_dtype):
            raise ValueError(f"{owner}: with output_mode='int' the dtype must be an integer type. Received: "
                             f"dtype={dtype!r}")

    def _encoded(self, bins: np.ndarray) -> np.ndarray:
        if self.output_mode == "int":
            return bins.astype(jax.dtypes.canonicalize_dtype(self.compute_dtype))
        return encode(bins, self.output_mode, self.num_bins, self.compute_dtype)

    def output_of(self, *inputs):
        return encoded_shape(inputs[0].shape, self.output_mode, self.num_bins), self.compute_dtype


class Hashing(_Bins):
    """Numbers or strings as integers below `num_bins`: the same value always gives the same one.

    Args:
        num_bins: how many bins there are (that of the mask among them).
        mask_value: a value that gets bin 0 for itself alone.
        salt: one integer or two: hashes with SipHash-2-4 under this key; FarmHash's Fingerprint64 if None.
        output_mode: "int", "one_hot", or "multi_hot" or "count" over the last axis.
        sparse: whether encodings are sparse tensors (`jax.experimental.sparse.BCOO`); not with "int".

    Integers are hashed as their decimal digits, floats cut off to integers before. Raises ValueError for other values.

    >>> Hashing(1000)(["a", "b"])
    Array([939, 822], dtype=int32)
    """

    def __init__(self, num_bins, mask_value=None, salt=None, output_mode="int", sparse=False, **kwargs):
        if kwargs.get("dtype") is None:
            kwargs["dtype"] = "int64" if output_mode == "int" else None
        super().__init__(**kwargs)
        self._keep_bins(num_bins, output_mode, sparse, kwargs["dtype"], ("int", "one_hot", "multi_hot", "count"))
        self.mask_value, self.salt = mask_value, salt_of(salt, "Hashing")

    def compute(self, values):
        bins = self.num_bins - (self.mask_value is not None and self.num_bins > 1)
        found = hashed(values, bins, self, self.salt)
        if self.mask_value is not None:
            if is_text(values) != isinstance(self.mask_value, (str, bytes)):
                raise ValueError(f"{called(self)}: mask_value={self.mask_value!r} is not of the kind of its input, "
                                 f"which has {'strings' if is_text(values) else 'numbers'}.")
            masked = np.asarray(strings_of(values, self), object).reshape(values.shape) == self.mask_value \
                if is_text(values) else values == self.mask_value
            found = np.where(masked, 0, found + (self.num_bins > 1))
        return self._encoded(found)


def salt_of(salt, owner: str):
    """A salt as a list of two integers, or None."""
    values = (salt, salt) if isinstance(salt, (int, np.integer)) and not isinstance(salt, bool) else salt
    if values is None:
        return None
    if not isinstance(values, (list, tuple)) or len(values) != 2 or not all(isinstance(v, (int, np.integer))
                                                                            for v in values):
        raise ValueError(f"{owner}: argument `salt` must be an integer, or two of them. Received: {salt!r}")
    return [int(v) for v in values]


def hashed(values: np.ndarray, bins: int, owner, salt=None) -> np.ndarray:
    """A number below `bins` for each string or number."""
    if is_text(values):
        texts = [s.encode("utf-8", "surrogatepass") for s in strings_of(values, owner)]
    elif values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError(f"{called(owner)} takes finite numbers; the input has "
                         f"{values[~np.isfinite(values)].reshape(-1)[0]}.")
    elif values.dtype.kind in "iuf":
        texts = [b"%d" % v for v in values.astype("int64").ravel().tolist()]
    else:
        raise ValueError(f"{called(owner)} takes integers or strings; the input has dtype {values.dtype}.")
    found = farm_fingerprints(texts) if salt is None else sip_fingerprints(texts, salt)
    return (found % np.uint64(bins)).astype("int64").reshape(values.shape)


class HashedCrossing(_Bins):
    """Several features together as one integer below `num_bins`, by a hash of them all.

    Args:
        num_bins: how many bins there are.
        output_mode: "int" or "one_hot".
        sparse: whether encodings are sparse tensors (`jax.experimental.sparse.BCOO`); not with "int".

    Takes a list or tuple of at least two arrays of integers or strings, each of shape (), (batch,) or (batch, 1).

    >>> HashedCrossing(1000)((np.array(["a", "b"]), np.array([1, 2])))
    Array([485, 357], dtype=int32)
    """

    _not_in_config = frozenset(("trainable",))  # as in Keras's configs

    def __init__(self, num_bins, output_mode="int", sparse=False, name=None, dtype=None, **kwargs):
        if dtype is None:
            dtype = "int64" if output_mode == "int" else None
        super().__init__(name=name, dtype=dtype, **kwargs)
        self._keep_bins(num_bins, output_mode, sparse, dtype, ("int", "one_hot"))

    def _arrays(self, inputs) -> list:
        if not isinstance(inputs, (list, tuple)) or len(inputs) < 2:
            raise ValueError(f"{called(self)} takes a list or tuple of at least two inputs. Received: "
                             f"{type(inputs).__name__}"
                             + (f" of {len(inputs)}." if isinstance(inputs, (list, tuple)) else "."))
        shapes = {tuple(np.shape(x)) if not hasattr(x, "shape") else tuple(x.shape) for x in inputs}
        bad = [s for s in shapes if len(s) > 2 or len(s) == 2 and s[1] != 1]
        if len(shapes) > 1 or bad:
            raise ValueError(f"{called(self)}: all inputs must have one shape: (), (batch,) or (batch, 1). They have "
                             f"the shapes {', '.join(map(str, sorted(shapes, key=str)))}.")
        return list(inputs)

    def compute(self, *columns):
        found = []
        for column in columns:
            if is_text(column):
                texts = [s.encode("utf-8", "surrogatepass") for s in strings_of(column, self)]
                found.append(farm_fingerprints(texts).reshape(column.shape))
            elif column.dtype.kind in "iu":
                found.append(column.astype("int64").view("uint64") if column.ndim else np.uint64(int(column) % 2**64))
            else:
                raise ValueError(f"{called(self)} takes integers or strings; an input has dtype {column.dtype}. Put a "
                                 "Discretization before it.")
        mixed = crossed([np.asarray(f) for f in found])
        return self._encoded((mixed % np.uint64(self.num_bins)).astype("int64"))


