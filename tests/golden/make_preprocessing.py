"""Writes preprocessing.keras, tf_idf.keras, feature_space.keras and preprocessing.json anew, with the real Keras.

`python tests/golden/make_preprocessing.py` needs Keras 3 and TensorFlow: on JAX, Keras cannot call models of strings.
"""

import json
import os
import pathlib
import sys

os.environ["KERAS_BACKEND"] = "tensorflow"
import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras import layers  # noqa: E402

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
WORDS = np.array(["The cat sat, É", "the dog ran far", "a cat", "far é"])
ROWS = {"s": np.array([["a"], ["x"], ["y"]]), "j": np.array([[1], [2], [7]]), "k": np.arange(9.0).reshape(3, 3) / 5}


def adapted(layer, data):
    layer.adapt(np.asarray(data))
    return layer


def of_every_layer():
    """A functional model with every layer for numbers, categories and words."""
    rng = np.random.default_rng(0)
    kinds = (("s", "string", 1), ("j", "int64", 1), ("k", "float32", 3))
    s, j, k = (keras.Input((size,), dtype=dtype, name=name) for name, dtype, size in kinds)
    lookup = layers.StringLookup
    parts = [
        lookup(vocabulary=["a", "b"], output_mode="multi_hot")(s),
        adapted(layers.IntegerLookup(output_mode="one_hot"), [1, 2, 2, 5])(j),
        adapted(layers.Normalization(), rng.random((5, 3)))(k),
        adapted(layers.Discretization(num_bins=4, output_mode="multi_hot"), rng.random((50, 3)))(k),
        layers.Discretization(bin_boundaries=[0.0, 1.0], output_mode="count")(k),
        adapted(lookup(output_mode="count"), ["x", "y", "y"])(s),
        adapted(lookup(output_mode="tf_idf", num_oov_indices=2), [["x", "y"], ["y", "z"]])(s),
        adapted(lookup(mask_token="", output_mode="one_hot", max_tokens=9, pad_to_max_tokens=True),
                ["x", "y", "", "y"])(s),
        layers.Hashing(7, output_mode="one_hot")(s), layers.Hashing(7, salt=3, mask_value="x", output_mode="count")(s),
        layers.HashedCrossing(9, output_mode="one_hot")([s, j]), layers.CategoryEncoding(10)(j),
        layers.Rescaling([1.0, 2.0, 0.5])(k), layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[2.0] * 3)(k)]
    return keras.Model([s, j, k], layers.Dense(3)(layers.Concatenate()(parts)))


if __name__ == "__main__":
    from text_models_data import space, table

    keras.utils.set_random_seed(0)
    every, words = of_every_layer(), adapted(layers.TextVectorization(output_mode="tf_idf"), WORDS)
    weighed = keras.Sequential([keras.Input((), dtype="string"), words, layers.Dense(2)])
    made, data = space(keras.utils.FeatureSpace), table()
    made.adapt(tf.data.Dataset.from_tensor_slices(data))
    found = {"preprocessing": every(ROWS), "tf_idf": weighed(tf.constant(WORDS)),
             "feature_space": made({k: v[:5] for k, v in data.items()})}
    for name, model in zip(found, (every, weighed, made)):
        model.save(HERE / f"{name}.keras")
    (HERE / "preprocessing.json").write_text(json.dumps({k: np.asarray(v).tolist() for k, v in found.items()}))
