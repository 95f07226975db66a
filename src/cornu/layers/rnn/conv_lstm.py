"""ConvLSTM over one to three axes: an LSTM whose products are convolutions."""

import jax
import jax.numpy as jnp

from cornu import check, config
from cornu.input_spec import InputSpec
from cornu.layers.parts import called, told
from cornu.layers.rnn.cells import LSTMCell
from cornu.layers.rnn.recurrent import _OverCell
from cornu.layers.spatial import Ranked, check_window
from cornu.lowering.convolution import conv


class ConvLSTMCell(LSTMCell):
    """One step of `ConvLSTM2D` and its kin; `rank` is the number of axes that the window moves over."""

    def __init__(self, rank, filters, kernel_size, strides=1, padding="valid", data_format=None, dilation_rate=1,
                 **kwargs):
        super().__init__(filters, **{**kwargs, "implementation": 1})
        owner = f"ConvLSTM{rank}D"
        self.rank, self.filters = rank, check.positive("filters", filters, owner)
        self.kernel_size = check.int_tuple("kernel_size", kernel_size, rank, owner)
        self.strides = check.int_tuple("strides", strides, rank, owner)
        self.padding = check.one_of("padding", str(padding).lower(), ("valid", "same"), owner)
        self.data_format = config.standardize_data_format(data_format)
        self.dilation_rate = check.int_tuple("dilation_rate", dilation_rate, rank, owner)
        self.state_size, self.output_size = [filters, filters], filters
        self.state_shape = None

    @property
    def _channel_axis(self):
        return -1 if self.data_format == "channels_last" else -1 - self.rank

    def build(self, input_shape):
        channels = input_shape[self._channel_axis]
        if channels is None:
            raise ValueError(f"{called(self)} needs a known number of channels. Received shape: "
                             f"{tuple(input_shape)}")
        width = 4 * self.filters
        self.kernel = self._weight((*self.kernel_size, channels, width), "kernel", "kernel")
        self.recurrent_kernel = self._weight((*self.kernel_size, self.filters, width), "recurrent_kernel", "recurrent")
        self._build_bias(width)
        if None not in input_shape[1:]:
            step = jax.ShapeDtypeStruct((1, *input_shape[1:]), self.compute_dtype)
            self.state_shape = jax.eval_shape(self.states_for, step)[0].shape[1:]

    def get_initial_state(self, batch_size=None):
        """Both states, of zeros; known once the cell was built with known sizes."""
        if self.state_shape is None:
            raise ValueError(f"{called(self)}: the size of the states is not known before the "
                             "layer is built with known sizes.")
        return [jnp.zeros((batch_size, *self.state_shape), self.compute_dtype)] * 2

    def _product(self, x, kernel):
        folded = x.reshape((-1, *x.shape[-1 - self.rank:]))  # time and batch are one axis for a convolution
        y = conv(folded, kernel, self.strides, self.padding, self.dilation_rate, data_format=self.data_format)
        return y.reshape((*x.shape[:-1 - self.rank], *y.shape[1:]))

    def _bias_of(self, row):
        return None if self.bias is None else self.bias.value.reshape((-1,) + (1,) * (-1 - self._channel_axis))

    def _from_state(self, h, masks):
        def product(h, kernel):
            return conv(h, kernel, padding="same", data_format=self.data_format)

        return self._gated(product, h, self.recurrent_kernel.value, masks)

    def fused(self):
        return None

    def states_for(self, step):
        """States of zeros for inputs like those of one step."""
        shape = list(jax.eval_shape(lambda x: self._product(x, jnp.zeros(self.kernel.shape, x.dtype)), step).shape)
        shape[self._channel_axis] = self.filters
        return [jnp.zeros(shape, self.compute_dtype)] * 2


class _ConvLSTM(Ranked, _OverCell):
    cell_class, cell_name = ConvLSTMCell, "conv_lstm_cell"

    def __init__(self, filters, kernel_size, strides=1, padding="valid", data_format=None, dilation_rate=1,
                 activation="tanh", recurrent_activation="sigmoid", use_bias=True, kernel_initializer="glorot_uniform",
                 recurrent_initializer="orthogonal", bias_initializer="zeros", unit_forget_bias=True,
                 kernel_regularizer=None, recurrent_regularizer=None, bias_regularizer=None, activity_regularizer=None,
                 kernel_constraint=None, recurrent_constraint=None, bias_constraint=None, dropout=0.0,
                 recurrent_dropout=0.0, seed=None, return_sequences=False, return_state=False, go_backwards=False,
                 stateful=False, **kwargs):
        super().__init__(**told(locals()))
        self.input_spec = InputSpec(ndim=self.rank + 3)

    def _make_cell(self, **arguments):
        return ConvLSTMCell(self.rank, **arguments)

    def _zeros_like(self, sequences):
        return self.cell.states_for(sequences[:, 0])

    def call(self, sequences, initial_state=None, mask=None, training=False):
        if self.padding == "valid":
            check_window(self, sequences[:, 0], self.kernel_size, self.dilation_rate)
        return super().call(sequences, initial_state, mask, training)


class ConvLSTM1D(_ConvLSTM):
    """A convolutional LSTM over one axis; arguments as in `ConvLSTM2D`, with one number where it has two.

    >>> ConvLSTM1D(4, 3)(jnp.ones((2, 5, 8, 1))).shape
    (2, 6, 4)
    """


class ConvLSTM2D(_ConvLSTM):
    """An LSTM over images: its products with the input and the state are convolutions.

    Args:
        filters: the number of channels of the output and the states.
        kernel_size: height and width of the window; an integer means both.
        strides, padding, data_format, dilation_rate: of the convolution of the input, as in `Conv2D`; that of the state
            keeps its size.
        activation, recurrent_activation: as in `LSTM`.
        use_bias: whether a bias is added.
        kernel_initializer, recurrent_initializer, bias_initializer: where the weights start.
        unit_forget_bias: whether the bias of the forget gate starts at 1.
        kernel_regularizer, recurrent_regularizer, bias_regularizer, activity_regularizer: penalties added to the loss.
        kernel_constraint, recurrent_constraint, bias_constraint: applied to the weights after every update.
        dropout, recurrent_dropout: the shares of the input's and the state's values that are dropped in training.
        seed: for dropout.
        return_sequences, return_state, go_backwards, stateful: as in `RNN`.

    Input shape: (batch, steps, height, width, channels) or, channels_first, (batch, steps, channels, height, width).
    Source: Shi et al., Convolutional LSTM Network (2015).

    >>> ConvLSTM2D(4, 3, padding="same", return_sequences=True)(jnp.ones((2, 5, 8, 8, 1))).shape
    (2, 5, 8, 8, 4)
    """


class ConvLSTM3D(_ConvLSTM):
    """A convolutional LSTM over three axes; arguments as in `ConvLSTM2D`, with three numbers where it has two.

    >>> ConvLSTM3D(2, 2)(jnp.ones((1, 3, 4, 4, 4, 1))).shape
    (1, 3, 3, 3, 2)
    """
