"""Layers inside a graph of TensorFlow, as `tf.data.Dataset.map` makes one of what it is given.

There a tensor has no values yet. The layer becomes one operation of that graph, which calls it on
the host when the values come. TensorFlow itself is never imported here.
"""

import sys
import threading

import numpy as np

from cornu import tree
from cornu.symbolic import KerasTensor

_calling = threading.RLock()  # TensorFlow calls from several threads; a layer's seed is drawn one by one


def _is_symbolic(tensorflow, value) -> bool:
    return isinstance(value, tensorflow.Tensor) and tensorflow.is_symbolic_tensor(value)


def in_graph(args, kwargs) -> bool:
    """Whether there are tensors without values among the arguments."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None or not hasattr(tensorflow, "numpy_function"):
        return False
    return any(_is_symbolic(tensorflow, value) for value in tree.flatten((args, kwargs)))


def called(layer, args, kwargs):
    """The layer's outputs as tensors of the graph.

    Raises ValueError for a tensor of which not even the number of axes is known, and for sparse
    outputs, which one operation of such a graph cannot give.
    """
    tensorflow = sys.modules["tensorflow"]
    leaves = tree.flatten((args, kwargs))
    places = [i for i, value in enumerate(leaves) if _is_symbolic(tensorflow, value)]

    def call_of(values):
        held = list(leaves)
        for place, value in zip(places, values):
            held[place] = value
        return tree.pack_sequence_as((args, kwargs), held)

    symbols, named = call_of([_symbol(leaves[place]) for place in places])
    if not layer.built:
        layer._maybe_build(symbols, named)
    outputs = layer.compute_output_spec(*symbols, **named)
    told = tree.flatten(outputs)
    if any(output.sparse for output in told):
        raise ValueError(
            f"Layer {layer.name!r} gives sparse tensors, which it cannot inside tf.data. Pass "
            "sparse=False, or put the layer into the model."
        )

    def run(*values):
        given, also = call_of(values)
        with _calling:
            found = tree.flatten(layer(*given, **also))
        return [_of_dtype(value, output) for value, output in zip(found, told)]

    kinds = [tensorflow.as_dtype(output.dtype) for output in told]
    results = tensorflow.numpy_function(run, [leaves[place] for place in places], kinds)
    for result, output in zip(results, told):
        result.set_shape(output.shape)
    return tree.pack_sequence_as(outputs, list(results))


def _symbol(value) -> KerasTensor:
    if value.shape.rank is None:
        raise ValueError(
            f"The number of axes of the tensor {value.name!r} is not known. Say it before the "
            "layer is called: x.set_shape((None, None, 3)), or x = tf.ensure_shape(x, ...)."
        )
    return KerasTensor(tuple(value.shape), value.dtype.name)


def _of_dtype(value, output) -> np.ndarray:
    value = np.asarray(value)
    return value.astype(object) if output.dtype == "string" else value.astype(output.dtype)
