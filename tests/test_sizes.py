"""Unknown sizes: they adopt the sizes they meet, layers are built for none of a trial's, and errors show the user's own."""

import numpy as np
import pytest

import cornu
from cornu import KerasTensor as T
from cornu import layers, ops

MET = {  # what is computed, and its shape (that of real Keras where it infers one)
    "add": (lambda: T((None, 3)) + T((2, None)), (2, 3)),
    "positions": (lambda: T((None, None, 8)) + np.ones((1, 10, 8), "float32"), (None, 10, 8)),
    "positions beside another length": (lambda: ops.add(T((None, None, 8)), T((1, 10, 8))), (None, 10, 8)),
    "batch of an array": (lambda: T((None, 2)) + np.ones((3, 2), "float32"), (3, 2)),
    "matmul": (lambda: ops.matmul(T((2, None)), T((3, 4))), (2, 4)),
    "matmul of batches": (lambda: ops.matmul(T((None, None, None)), T((7, 5, 4))), (7, None, 4)),
    "dot": (lambda: ops.dot(T((2, None)), T((None, 4))), (2, 4)),
    "inner": (lambda: ops.inner(T((None,)), T((3,))), ()),
    "tensordot": (lambda: ops.tensordot(T((None, None)), T((5, 4)), 1), (None, 4)),
    "einsum": (lambda: ops.einsum("ij,jk->ik", T((2, None)), T((3, 4))), (2, 4)),
    "where": (lambda: ops.where(T((None, 1), "bool"), T((None, None)), T((4, 5))), (4, 5)),
    "concatenate": (lambda: ops.concatenate([T((None, 2, None)), T((7, None, 5))], 1), (7, None, 5)),
    "stack": (lambda: ops.stack([T((None, None)), T((None, 5))]), (2, None, 5)),
    "broadcast_to": (lambda: ops.broadcast_to(T((None, 1)), (3, 5)), (3, 5)),
    "reshape": (lambda: ops.reshape(T((None, None, 6)), (-1, 5)), (None, 5)),
    "split": (lambda: ops.split(T((None, None)), 3, axis=1)[2], (None, None)),
    "slice of an unknown length": (lambda: T((None, None, 6))[:, :10], (None, None, 6)),
    "conv": (lambda: ops.conv(T((None, None, None)), T((3, 4, 5))), (None, None, 5)),
    "another axis": (lambda: T((None, None, 3)) + T((None, 3)), (None, None, 3)),
    "RNN's state": (lambda: layers.LSTM(4)(T((None, None, 3)), initial_state=[T((5, 4)), T((5, 4))]), (5, 4)),
}


@pytest.mark.parametrize("case", MET)
def test_unknown_sizes_adopt_what_they_meet(case):
    fn, shape = MET[case]
    assert fn().shape == shape


class Asks(layers.Layer):
    """Asks for its input's length as a number, then builds parts."""

    def __init__(self):
        super().__init__()
        self.dense, self.inner = layers.Dense(3), cornu.Sequential([layers.Dense(4), layers.LSTM(2, return_sequences=True)])
        self.seen = []

    def call(self, x):
        self.seen.append(x.shape[1])
        return self.inner(self.dense(x) + len(range(x.shape[1])))


def test_layers_that_trial_sizes_build_are_built_for_none_of_them():
    layer = Asks()
    assert layer(cornu.Input((None, 5))).shape == (None, None, 2)
    assert layer.inner.input_shape == (None, None, 3) and len(layer.seen) <= 4
    assert layer(np.ones((2, 7, 5))).shape == (2, 7, 2)
    assert len(layer.trainable_weights) == 7 and len({v.path for v in layer.weights}) == 7


class Compares(layers.Layer):
    def call(self, x):
        return x * 2 if x.shape[1] > 3 else x


def test_a_comparison_needs_no_trial():
    assert Compares()(cornu.Input((None, 5))).shape == (None, None, 5)


class Says(layers.Layer):
    def call(self, x, other=None):
        int(x.shape[1])
        raise ValueError(f"no {x.shape} and {x.shape[1] * 2 + 1}")


class Refuses(layers.Layer):
    def call(self, x):
        return x + np.ones((3, 4), "float32")


@pytest.mark.parametrize("fn", [
    lambda: Says()(cornu.Input((None, 5))), lambda: Refuses()(cornu.Input((None, 5))),
    lambda: ops.matmul(T((None, None, 6)), T((7, 5, 4))), lambda: ops.add(T((None, None, 6)), T((7, 5, 4))),
    lambda: ops.concatenate([T((None, None, 6)), T((7, None, 4))], 1), lambda: layers.Dense(3)(T((None, None))),
    lambda: layers.Conv2D(3, 3)(T((None, None, None, None)))])
def test_errors_show_none_for_unknown_sizes(fn):
    with pytest.raises(ValueError, match="None") as caught:
        fn()
    text = "\n".join([str(caught.value), *getattr(caught.value, "__notes__", ())])
    assert not any(word in text for word in ("dim0", "dim1", "192", "384", "12,", "batch,"))


def test_lengths_of_two_inputs_do_not_become_one():
    class Two(layers.Layer):
        def call(self, x, y):
            return x, y + np.ones((1, 10, 8), "float32")

    left, right = Two()(T((None, None, 8)), T((None, None, 8)))
    assert left.shape == (None, None, 8) and right.shape == (None, 10, 8)
