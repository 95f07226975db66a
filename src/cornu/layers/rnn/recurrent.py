"""SimpleRNN, LSTM and GRU: `RNN` over one built-in cell."""

import inspect

from cornu import check
from cornu.input_spec import InputSpec
from cornu.layers.parts import told
from cornu.layers.rnn.base import RNN
from cornu.layers.rnn.cells import GRUCell, LSTMCell, SimpleRNNCell


class _OverCell(RNN):
    """An RNN that makes its cell itself; the cell's arguments are shown as the layer's own attributes."""

    rank = 1
    cell_class: type
    cell_name: str
    _not_in_config = frozenset(("cell", "use_cudnn"))  # the cell's arguments are the layer's own

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        for name in _arguments(cls.cell_class) if "cell_class" in cls.__dict__ else ():
            setattr(cls, name, property(lambda self, name=name: getattr(self.cell, name)))

    def __init__(self, use_cudnn=None, **kwargs):
        names = ("implementation", *_arguments(self.cell_class))
        of_cell = {name: kwargs.pop(name) for name in names if name in kwargs}
        shared = {name: kwargs[name] for name in ("dtype", "trainable") if name in kwargs}
        super().__init__(self._make_cell(name=self.cell_name, **shared, **of_cell), **kwargs)
        if use_cudnn is not None:
            self.use_cudnn = check.one_of("use_cudnn", use_cudnn, ("auto", True, False), type(self).__name__)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def _make_cell(self, **arguments):
        return self.cell_class(**arguments)


def _arguments(cell_class) -> list:
    """The names of a cell's arguments, those of the class that it extends included."""
    names = [n for c in (cell_class, *cell_class.__bases__) for n in inspect.signature(c.__init__).parameters]
    return [n for n in dict.fromkeys(names) if n not in ("self", "kwargs", "rank")]


class SimpleRNN(_OverCell):
    """A fully connected recurrence: `h = activation(x @ kernel + h @ recurrent_kernel + bias)` at every step.

    Args:
        units: the size of the state and the output.
        activation: a name or function.
        use_bias: whether a bias is added.
        kernel_initializer, recurrent_initializer, bias_initializer: where the weights start.
        kernel_regularizer, recurrent_regularizer, bias_regularizer, activity_regularizer: penalties added to the loss.
        kernel_constraint, recurrent_constraint, bias_constraint: applied to the weights after every update.
        dropout, recurrent_dropout: the shares of the input's and the state's values that are dropped in training, the
            same ones at every step.
        return_sequences, return_state, go_backwards, stateful, unroll: as in `RNN`.
        seed: for dropout.

    Input shape: (batch, steps, dim). Output shape: (batch, units), or (batch, steps, units) with return_sequences.
    Masks, initial states and errors are as in `RNN`.

    >>> import jax.numpy as jnp
    >>> SimpleRNN(4)(jnp.ones((2, 5, 3))).shape
    (2, 4)
    """

    cell_class, cell_name = SimpleRNNCell, "simple_rnn_cell"

    def __init__(self, units, activation="tanh", use_bias=True, kernel_initializer="glorot_uniform",
                 recurrent_initializer="orthogonal", bias_initializer="zeros", kernel_regularizer=None,
                 recurrent_regularizer=None, bias_regularizer=None, activity_regularizer=None, kernel_constraint=None,
                 recurrent_constraint=None, bias_constraint=None, dropout=0.0, recurrent_dropout=0.0,
                 return_sequences=False, return_state=False, go_backwards=False, stateful=False, unroll=False,
                 seed=None, **kwargs):
        super().__init__(**told(locals()))


class LSTM(_OverCell):
    """Long short-term memory: at every step `c = f * c + i * activation(g)` and `h = o * activation(c)`.

    The gates i, f, o are `recurrent_activation` and g is without one, each of `x @ kernel + h @ recurrent_kernel +
    bias`.

    Args:
        units: the size of the states and the output.
        activation: of g and of the carry c.
        recurrent_activation: of the gates.
        use_bias: whether a bias is added.
        kernel_initializer, recurrent_initializer, bias_initializer: where the weights start.
        unit_forget_bias: whether the bias of f starts at 1.
        kernel_regularizer, recurrent_regularizer, bias_regularizer, activity_regularizer: penalties added to the loss.
        kernel_constraint, recurrent_constraint, bias_constraint: applied to the weights after every update.
        dropout, recurrent_dropout: the shares of the input's and the state's values that are dropped in training, the
            same ones at every step.
        seed: for dropout.
        return_sequences, return_state, go_backwards, stateful, unroll: as in `RNN`; the states are h and c.
        use_cudnn: "auto", True or False: whether the platform's fused recurrence is used.

    Input shape: (batch, steps, dim). Output shape: (batch, units), or (batch, steps, units) with return_sequences.
    Masks, initial states and errors are as in `RNN`. Source: Hochreiter and Schmidhuber (1997).

    >>> import jax.numpy as jnp
    >>> output, h, c = LSTM(4, return_sequences=True, return_state=True)(jnp.ones((2, 5, 3)))
    >>> output.shape, c.shape
    ((2, 5, 4), (2, 4))
    """

    cell_class, cell_name = LSTMCell, "lstm_cell"

    def __init__(self, units, activation="tanh", recurrent_activation="sigmoid", use_bias=True,
                 kernel_initializer="glorot_uniform", recurrent_initializer="orthogonal", bias_initializer="zeros",
                 unit_forget_bias=True, kernel_regularizer=None, recurrent_regularizer=None, bias_regularizer=None,
                 activity_regularizer=None, kernel_constraint=None, recurrent_constraint=None, bias_constraint=None,
                 dropout=0.0, recurrent_dropout=0.0, seed=None, return_sequences=False, return_state=False,
                 go_backwards=False, stateful=False, unroll=False, use_cudnn="auto", **kwargs):
        super().__init__(**told(locals()))


class GRU(_OverCell):
    """Gated recurrent unit: at every step `h = z * h + (1 - z) * activation(candidate)`.

    The gates z and r are `recurrent_activation(x @ kernel + h @ recurrent_kernel + bias)`; the candidate sees the state
    through r, after the product with the recurrent kernel (reset_after, as in cuDNN) or before it.

    Args:
        units: the size of the state and the output.
        activation: of the candidate.
        recurrent_activation: of the gates.
        use_bias, the initializers, regularizers and constraints, dropout, recurrent_dropout, seed: as in `LSTM`.
        return_sequences, return_state, go_backwards, stateful, unroll: as in `RNN`.
        reset_after: whether the reset gate comes after the product.
        use_cudnn: "auto", True or False: whether the platform's fused recurrence is used.

    Input shape: (batch, steps, dim). Output shape: (batch, units), or (batch, steps, units) with return_sequences.
    Masks, initial states and errors are as in `RNN`. Source: Cho et al. (2014).

    >>> import jax.numpy as jnp
    >>> GRU(4, return_sequences=True)(jnp.ones((2, 5, 3))).shape
    (2, 5, 4)
    """

    cell_class, cell_name = GRUCell, "gru_cell"

    def __init__(self, units, activation="tanh", recurrent_activation="sigmoid", use_bias=True,
                 kernel_initializer="glorot_uniform", recurrent_initializer="orthogonal", bias_initializer="zeros",
                 kernel_regularizer=None, recurrent_regularizer=None, bias_regularizer=None, activity_regularizer=None,
                 kernel_constraint=None, recurrent_constraint=None, bias_constraint=None, dropout=0.0,
                 recurrent_dropout=0.0, seed=None, return_sequences=False, return_state=False, go_backwards=False,
                 stateful=False, unroll=False, reset_after=True, use_cudnn="auto", **kwargs):
        super().__init__(**told(locals()))
