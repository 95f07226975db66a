"""The base of the layers that prepare data."""

from cornu.data import tensorflow_graphs
from cornu.layers.layer import Layer
from cornu.layers.preprocessing.engine import ENGINE


class DataLayer(Layer):
    """A layer that may stand in a model, or in front of one: in a `tf.data.Dataset.map`, say.

    >>> import jax.numpy as jnp
    >>> class Halved(DataLayer):
    ...     def call(self, x):
    ...         return x / 2
    >>> Halved()(jnp.ones(2))
    Array([0.5, 0.5], dtype=float32)
    """

    backend = ENGINE  # all operations, under the name that layers derived from Keras's use
    autograph_info__ = {}  # TensorFlow reads this name: what has it is called as it is, not rewritten

    def __call__(self, *args, **kwargs):
        if tensorflow_graphs.in_graph(args, kwargs):
            return tensorflow_graphs.called(self, args, kwargs)
        return super().__call__(*args, **kwargs)
