"""Parts that are built before their owner keeps them are no fault; weights made anew at every call are."""

import numpy as np
import pytest

import cornu
from cornu import layers as L

X = np.random.default_rng(0).normal(size=(4, 5, 8)).astype("float32")


class Block(L.Layer):
    def __init__(self, part):
        super().__init__()
        self.part = part

    def call(self, x):
        return self.part(x, x) if "Attention" in type(self.part).__name__ else self.part(x)


class Late(L.Layer):
    """Builds a part, then keeps it."""

    def build(self, input_shape):
        dense = L.Dense(8)
        dense.build(input_shape)
        self.dense = dense

    def call(self, x):
        return self.dense(x)


class LateList(L.Layer):
    def build(self, input_shape):
        parts = [L.Dense(8), L.MultiHeadAttention(2, 4)]
        parts[0].build(input_shape)
        parts[1].build(input_shape, input_shape)
        self.parts = parts

    def call(self, x):
        return self.parts[1](self.parts[0](x), x)


class LateCall(L.Layer):
    def build(self, input_shape):
        stack = cornu.Sequential([Late(), L.Dense(8)])
        stack(cornu.Input(input_shape[1:]))
        self.stack = stack

    def call(self, x):
        return self.stack(x)


PARTS = {"attention": (lambda: L.MultiHeadAttention(2, 4), 8), "grouped attention": (lambda: L.GroupQueryAttention(4, 4, 2), 8),
         "late": (Late, 2), "late list": (LateList, 10), "late call": (LateCall, 4), "nested": (lambda: Block(Block(LateList())), 10),
         "bidirectional": (lambda: L.Bidirectional(L.LSTM(4, return_sequences=True)), 6),
         "time distributed": (lambda: L.TimeDistributed(Late()), 2), "functional": (lambda: graph(), 2)}


def graph():
    x = cornu.Input((None, 8))
    return cornu.Model(x, Late()(x))


@pytest.mark.parametrize("case", PARTS)
@pytest.mark.parametrize("way", ["eager", "symbolic", "fit"])
def test_parts_that_are_kept_later(case, way):
    make, count = PARTS[case]
    block = Block(make())
    if way == "fit":
        model = cornu.Sequential([block, L.Dense(1)])
        model.compile("adam", "mse")
        history = model.fit(X, np.zeros((4, 5, 1)), epochs=2, verbose=0)
        assert np.isfinite(history.history["loss"]).all()
    else:
        block(X if way == "eager" else cornu.Input((None, 8)))
        assert block(X).shape == (4, 5, 8)
    assert len(block.trainable_variables) == count


class Frozen(L.Layer):
    """Uses a layer of constant weights as a function."""

    def call(self, x):
        return L.Dense(3, kernel_initializer="ones", trainable=False)(x)


class Lost(L.Layer):
    def call(self, x):
        return L.Dense(3)(x)


class LostStack(L.Layer):
    def call(self, x):
        return cornu.Sequential([L.Dense(3)])(x)


def test_a_frozen_layer_may_be_used_as_a_function():
    layer = Frozen()
    for _ in range(3):
        np.testing.assert_allclose(layer(X), X.sum(-1, keepdims=True).repeat(3, -1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [Lost, LostStack, lambda: L.Lambda(lambda x: L.Dense(3)(x), output_shape=(3,)),
                                  lambda: Block(Lost())])
def test_weights_made_anew_at_every_call_are_refused(make):
    layer = make()
    layer(X)
    with pytest.raises(RuntimeError, match="(?s)made inside the `call` of.*in __init__ or build"):
        layer(X)
