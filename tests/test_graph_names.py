"""Operations stand in configs under Keras's names, with Keras's settings."""

import os

import jax
import numpy as np
import pytest
from ops_table import ROWS, find

from cornu.ops import graph_names

os.environ["KERAS_BACKEND"] = "jax"
# Keras makes no object for these, or one that cannot be written into a config.
WITHOUT_CONFIG = {"while_loop", "fori_loop", "cond", "vectorize", "custom_gradient", "shape", "dtype", "is_tensor",
                  "convert_to_numpy", "zeros", "ones", "empty", "full", "eye", "tri", "identity", "arange", "bartlett",
                  "blackman", "hamming", "hanning", "kaiser"}


def keras_operation(name):
    """The object that Keras records for the first case of an operation."""
    import keras

    case = ROWS[name][name in ("linspace", "logspace", "geomspace")]
    symbols = jax.tree.map(lambda x: keras.KerasTensor(x.shape, x.dtype.name) if hasattr(x, "shape") else x,
                           (case.args, case.kwargs))
    output = find(name, keras.ops)(*symbols[0], **symbols[1])
    tensors = jax.tree.leaves(output, is_leaf=lambda x: isinstance(x, keras.KerasTensor))
    return tensors[0]._keras_history.operation


def test_every_operation_is_named():
    assert {n.split(".")[-1] for n in set(ROWS) - WITHOUT_CONFIG} == set(graph_names.TABLE)


@pytest.mark.parametrize("name", sorted(set(ROWS) - WITHOUT_CONFIG))
def test_class_and_settings_are_those_of_keras(name):
    operation = keras_operation(name)
    module, class_name, settings = graph_names.TABLE[name.split(".")[-1]]
    assert (type(operation).__module__, type(operation).__name__) == (module, class_name)
    try:
        config = set(operation.get_config())
    except NotImplementedError:  # an array among the settings
        return
    assert config - {"name", "trainable"} == set(settings) | ({"rms_scaling"} if class_name == "LayerNorm" else set())


def test_a_graph_of_operations_round_trips_through_json():
    import cornu

    x = cornu.Input((4,))
    y = cornu.ops.reshape(cornu.ops.where(x > 0, -x[:, ::-1], 2.0 ** x), (-1, 2, 2))
    model = cornu.Model(x, cornu.ops.einsum("bij,bkj->bik", y, cornu.ops.softmax(y, axis=1)))
    again, data = cornu.Model.from_config(model.get_config()), np.linspace(-1, 1, 8).reshape(2, 4)
    np.testing.assert_allclose(model(data), again(data))


def test_keras_reads_the_graph():
    import keras

    import cornu

    x = cornu.Input((4,))
    y = cornu.ops.layer_normalization(cornu.ops.concatenate([x, cornu.ops.mean(x, axis=1, keepdims=True)], axis=-1))
    model = cornu.Model(x, cornu.activations.relu(y))
    theirs, data = keras.Model.from_config(model.get_config()), np.linspace(-1, 1, 8).reshape(2, 4)
    np.testing.assert_allclose(model(data), theirs(data), rtol=1e-5)
