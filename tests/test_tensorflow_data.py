"""Preprocessing in `tf.data`: what layers give there is what they give elsewhere."""

import numpy as np
import pytest

import cornu
from cornu import layers

tf = pytest.importorskip("tensorflow")

IMAGES = np.random.default_rng(0).random((4, 8, 8, 3)).astype("float32")
ROWS = IMAGES[:, 0, 0]
WORDS = np.array(["a b", "b", "c a", "a"])


def normalization():
    layer = layers.Normalization()
    layer.adapt(ROWS)
    return layer


@pytest.mark.parametrize("layer, x", [
    (layers.Resizing(4, 6), IMAGES), (layers.CenterCrop(4, 4), IMAGES),
    (layers.Rescaling(2.0, offset=1.0), IMAGES), (normalization(), ROWS),
    (layers.Discretization(bin_boundaries=[0.2, 0.5]), ROWS),
    (layers.CategoryEncoding(3, output_mode="multi_hot"), np.array([[0, 1], [1, 2], [0, 0], [2, 2]])),
    (layers.StringLookup(vocabulary=["a", "b"]), WORDS), (layers.Hashing(5), WORDS),
    (layers.StringLookup(vocabulary=["a", "b"], invert=True), np.array([1, 2, 0, 1])),
    (layers.IntegerLookup(vocabulary=[4, 2]), np.array([1, 2, 3, 4])),
    (layers.TextVectorization(output_sequence_length=3, vocabulary=["a", "b"]), WORDS),
    (cornu.Sequential([cornu.Input((8, 8, 3)), layers.Resizing(4, 4)]), IMAGES),
    (cornu.Sequential([layers.Resizing(4, 4), layers.Rescaling(2.0)]), IMAGES),
    (layers.Pipeline([layers.Resizing(4, 4), layers.Rescaling(2.0)]), IMAGES),
])
def test_layers_are_mapped_over_data(layer, x):
    data = tf.data.Dataset.from_tensor_slices(x).batch(2).map(layer, num_parallel_calls=2)
    found = np.concatenate([np.asarray(batch) for batch in data])
    want = np.asarray(layer(x))
    assert found.shape == want.shape
    assert (found.astype("U") == want.astype("U")).all() if want.dtype.kind == "O" else (
        np.allclose(found, want, atol=1e-6))
    assert data.element_spec.shape[1:] == want.shape[1:]


def test_augmentation_draws_anew_and_hands_labels_on():
    flip = layers.RandomFlip("horizontal", seed=1)
    data = tf.data.Dataset.from_tensors(IMAGES[:1]).repeat(16).map(
        lambda x: flip({"images": x, "labels": tf.ones((1, 2))}))
    flipped = [not np.array_equal(batch["images"], IMAGES[:1]) for batch in data]
    assert 2 < sum(flipped) < 14
    assert np.array_equal(next(iter(data))["labels"], np.ones((1, 2)))


def test_models_train_on_what_was_mapped():
    data = tf.data.Dataset.from_tensor_slices((IMAGES, np.ones((4, 1))))
    data = data.map(lambda x, y: (layers.Resizing(4, 4)(x), y)).batch(2)
    model = cornu.Sequential([cornu.Input((4, 4, 3)), layers.Flatten(), layers.Dense(1)])
    model.compile("sgd", "mse")
    assert np.isfinite(model.fit(data, epochs=2, verbose=0).history["loss"]).all()


def test_what_cannot_be_done_in_a_graph_is_said():
    sparse = layers.CategoryEncoding(3, sparse=True)
    data = tf.data.Dataset.from_tensor_slices(np.array([[0, 1]]))
    with pytest.raises(ValueError, match="gives sparse tensors, which it cannot inside tf.data"):
        data.batch(1).map(sparse)
    unknown = data.map(lambda x: tf.py_function(lambda a: a, [x], tf.int64))
    with pytest.raises(ValueError, match="number of axes of the tensor .* is not known"):
        unknown.map(layers.Rescaling(2.0))


def test_the_seed_of_everything_is_tensorflows_too():
    drawn = []
    for _ in range(2):
        cornu.utils.set_random_seed(3)
        drawn.append(tf.random.uniform((3,)).numpy())
    assert np.array_equal(*drawn)
