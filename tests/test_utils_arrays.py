"""Labels, norms and padding: equal to the real Keras, or a clear error."""

import random

import numpy as np
import pytest

import cornu
from cornu.utils import normalize, pad_sequences, set_random_seed, to_categorical

X = np.array([[3.0, 4.0, 0.0], [1.0, 0.0, 0.0]])


def assert_same(ours, theirs):
    assert type(ours) is type(theirs) and ours.dtype == theirs.dtype and ours.shape == theirs.shape
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("args", [([0, 2, 1],), ([[0], [2]], 4), ([[0, 1], [2, 0]],), ([1.7, 0.2],), (2, 4),
                                  ([[[1]], [[0]]], 2), (cornu.ops.array([0, 1]), 3)], ids=str)
def test_to_categorical(args):
    import keras

    assert_same(to_categorical(*args), keras.utils.to_categorical(*args))


@pytest.mark.parametrize("args, message", [(([0, 5], 4), "position 1 is 5"), (([-1, 2], 4), "position 0 is -1"),
                                           (([],), "Pass it"), (([1], 0), "num_classes")])
def test_to_categorical_refuses(args, message):
    with pytest.raises(ValueError, match=message):
        to_categorical(*args)


@pytest.mark.parametrize("order", [1, 2, 3, np.inf])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_normalize_is_its_formula(axis, order):
    length = (abs(X) ** order).sum(axis, keepdims=True) ** (1 / order) if order < np.inf else X.max(axis, keepdims=True)
    np.testing.assert_allclose(normalize(X, axis, order) * length, X)


def test_normalize_gives_the_kind_that_keras_gives():
    import keras

    for x in (X, [3.0, 4.0], X.astype("float32"), cornu.ops.array([[3.0, 4.0]])):
        ours, theirs = normalize(x), keras.utils.normalize(x)
        assert type(ours) is type(theirs) and ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize("sequences, options", [
    ([[1, 2], [3]], {}), ([[1, 2, 3], [4]], {"maxlen": 2}), ([[1, 2, 3], [4]], {"maxlen": 2, "truncating": "post"}),
    ([[1, 2, 3], [4]], {"maxlen": 5, "padding": "post", "dtype": "float32", "value": 9}), ([[], []], {}),
    ([[[1, 2]], [[3, 4], [5, 6]]], {}), ([["a"], ["b", "c"]], {"dtype": object, "value": ""}),
    ([["a"], ["b", "c"]], {"dtype": str, "value": "z"}), ([[1.9], [], [2, 3]], {}),
], ids=str)
def test_pad_sequences(sequences, options):
    import keras

    assert_same(pad_sequences(sequences, **options), keras.utils.pad_sequences(sequences, **options))


@pytest.mark.parametrize("args, message", [(([1, 2],), "Element 0 is 1"), (([[[1, 2]], [[3]]],), "have shape"),
                                           (([[1]], 2, "int32", "left"), "left"),
                                           (([[1]], 2, "int32", "pre", "x"), "'x'")])
def test_pad_sequences_refuses(args, message):
    with pytest.raises(ValueError, match=message):
        pad_sequences(*args)


def test_no_sequences_to_pad():
    assert pad_sequences([]).shape == (0, 0) and pad_sequences([[1]], maxlen=0).shape == (1, 0)


def test_the_seed_fixes_all_as_in_keras():
    import keras

    def draw(library):
        library.utils.set_random_seed(3)
        return [random.random(), np.random.rand(), *np.asarray(library.random.normal((3,)))]

    assert draw(cornu) == draw(cornu)
    np.testing.assert_allclose(draw(cornu), draw(keras), rtol=1e-6)


@pytest.mark.parametrize("seed", ["a", -1, 2**32, 1.5, True])
def test_bad_seeds(seed):
    with pytest.raises(ValueError, match="from 0 to"):
        set_random_seed(seed)
