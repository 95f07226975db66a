"""Data of every kind, as batches `(x, y, sample_weight)` of nested arrays."""

from cornu.data.arrays import (Rows, aligned, as_array, class_weights_for, columns_of, from_numbers, is_empty, is_text, join, pack_x_y_sample_weight,
                               split, take, unpack_x_y_sample_weight)
from cornu.data.generators import own_states, random_states, set_own_states, set_random_states
from cornu.data.prefetch import ahead
from cornu.data.py_dataset import PyDataset
from cornu.data.sparse_rows import SparseRows, as_tensors
from cornu.data.sources import ArraySource, IndexedSource, IterableSource, closing, is_iterable_source, source_of
from cornu.data.workers import Pool

__all__ = ["ArraySource", "IndexedSource", "IterableSource", "Pool", "PyDataset", "Rows", "SparseRows", "ahead", "aligned", "as_array", "as_tensors",
           "class_weights_for", "closing", "columns_of", "from_numbers", "is_empty", "is_iterable_source", "is_text", "join", "pack_x_y_sample_weight", "own_states", "random_states", "set_own_states", "set_random_states",
           "source_of", "split", "take", "unpack_x_y_sample_weight"]
