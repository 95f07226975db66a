"""Cells: what a recurrent layer does in one step of time.

The built-in cells compute in two parts: `project`, what a step takes from its input, which a layer may compute for all
steps at once, and `advance`, what it takes from the states before it.
"""

import inspect

import jax
import jax.numpy as jnp

from cornu import activations, check, context, registry
from cornu.layers.layer import Layer
from cornu.layers.parts import Parted, called, told
from cornu.lowering import bias_add, product
from cornu.lowering.rnn import joined
from cornu.random import SeedGenerator, dropout
from cornu.symbolic import dry
from cornu.variable import get_opaque_trace_state


_CARRY = ("_compute_carry_and_output", "_compute_carry_and_output_fused")
_STEP = ("call", "__call__", "get_dropout_mask", "get_recurrent_dropout_mask")  # what a step of a cell goes through


class _Masks:
    """The dropout masks of a cell."""

    def __init__(self):
        self.kept = {}  # those that it was asked for, until they are reset
        self.held = None  # those that a layer holds over a sequence
        self.seen = {}  # for which shapes and dtypes it was asked for them


class _Cell(Parted):
    """A built-in cell: an input kernel, a recurrent kernel and a bias, with the gates side by side on the last axis."""

    _own_carry = False  # whether a subclass computes the carry of an LSTM itself
    _in_parts = True  # whether `project` and `advance` are all of a step: not where a subclass writes its own
    gates, _channel_axis = 1, -1
    apart = False  # whether `combine` needs the input's part and the state's apart

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if not registry.is_builtin(cls):
            cls._in_parts = cls._in_parts and not any(name in cls.__dict__ for name in _STEP)
            cls._own_carry = cls._own_carry or any(name in cls.__dict__ for name in _CARRY)

    def __init__(self, *, units, activation, use_bias, dropout, recurrent_dropout, seed, **kwargs):
        arguments = self._keep(kwargs, "kernel", "recurrent", "bias")
        implementation = arguments.pop("implementation", 2) if self.gates > 1 else 2
        self.implementation = check.one_of("implementation", implementation, (0, 1, 2), type(self).__name__)
        super().__init__(**arguments)
        owner = type(self).__name__
        self.units = self.state_size = self.output_size = check.positive("units", units, owner)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.dropout = check.between("dropout", dropout, 0, 1, owner)
        self.recurrent_dropout = check.between("recurrent_dropout", recurrent_dropout, 0, 1, owner)
        self.seed = seed
        self.seed_generator = SeedGenerator(seed)
        self._masks = _Masks()

    def build(self, input_shape):
        if input_shape[-1] is None:
            raise ValueError(f"{called(self)} needs a known last size of its input. Received "
                             f"shape: {tuple(input_shape)}")
        width = self.units * self.gates
        self.kernel = self._weight((input_shape[-1], width), "kernel", "kernel")
        self.recurrent_kernel = self._weight((self.units, width), "recurrent_kernel", "recurrent")
        self._build_bias(width)

    def _build_bias(self, width):
        self.bias = self._weight((width,), "bias", "bias") if self.use_bias else None

    def get_initial_state(self, batch_size=None):
        """States of zeros, as a list."""
        sizes = self.state_size if isinstance(self.state_size, list) else [self.state_size]
        return [jnp.zeros((batch_size, size), self.compute_dtype) for size in sizes]

    # dropout: one mask for a whole sequence; one for every gate under implementation 1 or with recurrent dropout

    def draw_masks(self, x, state, training):
        """The dropout masks of the input and of the state, or None where nothing is dropped."""
        each = self._masks_of_a_kind
        return tuple(self._draw(like, rate, each) if training and rate > 0 else None
                     for like, rate in ((x, self.dropout), (state, self.recurrent_dropout)))

    def get_dropout_mask(self, step_input):
        """The mask of inputs like `step_input`, the same one until it is reset, or None where `dropout` is 0.

        It is a list, one mask for every gate, under implementation 1 and with recurrent dropout. `call` multiplies its
        input by it in training; so may the `call` of a subclass. A recurrent layer holds one mask over a sequence.

        >>> LSTMCell(4, dropout=0.5).get_dropout_mask(jnp.ones((2, 3))).shape
        (2, 3)
        """
        return self._mask("dropout", step_input)

    def get_recurrent_dropout_mask(self, step_input):
        """The mask of states like `step_input`, as `get_dropout_mask` for `recurrent_dropout`."""
        return self._mask("recurrent_dropout", step_input)

    def reset_dropout_mask(self) -> None:
        """Forget the mask of the inputs: the next one is drawn anew."""
        self._mask_store().pop((id(self), "dropout"), None)

    def reset_recurrent_dropout_mask(self) -> None:
        """Forget the mask of the states: the next one is drawn anew."""
        self._mask_store().pop((id(self), "recurrent_dropout"), None)

    def _mask_store(self) -> dict:
        """Where masks are kept: in the call that runs around this cell, else in the cell itself."""
        call = context.current()
        return self._masks.kept if call is None or not call.path or call.path[0] is self else call.masks

    def _mask(self, kind, like):
        rate = getattr(self, kind)
        if not rate:
            return None
        self._masks.seen[kind] = jax.ShapeDtypeStruct(like.shape, like.dtype)
        if self._masks.held and kind in self._masks.held:
            return self._masks.held[kind]
        store, trace = self._mask_store(), get_opaque_trace_state(convention="nnx")
        _, kept_in, shape, mask = store.get((id(self), kind), (None,) * 4)
        if kept_in != trace or shape != like.shape:
            mask = self._draw(like, rate, self._masks_of_a_kind)
            if store is not self._masks.kept or not isinstance(jax.tree.leaves(mask)[0], jax.core.Tracer):
                store[id(self), kind] = self, trace, like.shape, mask
        return mask

    @property
    def _masks_of_a_kind(self):
        return self.gates if self.implementation == 1 or self.recurrent_dropout > 0 else 1

    def _draw(self, like, rate, each):
        ones = jnp.ones(like.shape, like.dtype)
        masks = [dropout(ones, rate, seed=self.seed_generator) for _ in range(each)]
        return masks[0] if each == 1 else masks

    def _product(self, x, kernel):
        return product(x, kernel)

    def _gated(self, product, x, kernel, masks):
        """The product under dropout: of the masked values, gate by gate where every gate has its own mask."""
        if not isinstance(masks, list):
            return product(x if masks is None else x * masks, kernel)
        kernels = jnp.split(kernel, self.gates, axis=-1)
        return jnp.concatenate([product(x * m, k) for m, k in zip(masks, kernels)], self._channel_axis)

    def project(self, x, masks=None):
        """What the input gives to every gate, without the bias; the input may have leading axes, such as time."""
        return self._gated(self._product, x, self.kernel.value, masks)

    def _from_state(self, h, masks):
        return self._gated(self._product, h, self.recurrent_kernel.value, masks)

    def _bias_of(self, row):
        return None if self.bias is None else self.bias.value

    def advance(self, z, states, masks=None):
        """One step from the input's part and the states: the output and the new states."""
        parts = joined(z, self._from_state(states[0], masks), self._bias_of(1), self.apart)
        parts = [jnp.split(part, self.gates, self._channel_axis) for part in parts]
        new = self.combine(parts, states, self.activation, self.recurrent_activation)
        return new[0], new

    recurrent_activation, scales = None, ()  # scales: those of `lowering.rnn.recurrence` for tanh and sigmoid

    @staticmethod
    def combine(parts, states, activation, recurrent_activation):
        """The new states from the old and from the gates of all parts, as one sum or `apart`; the first one is the output."""
        raise NotImplementedError

    def fused(self):
        """What `lowering.rnn.recurrence` needs of the cell, (combine, recurrent kernel, bias), or None."""
        return None if self._own_carry else (self.combine, self.recurrent_kernel.value, self._bias_of(1))

    def call(self, inputs, states, training=False):
        states = list(states) if isinstance(states, (list, tuple)) else [states]
        masks = (self.get_dropout_mask(inputs), self.get_recurrent_dropout_mask(states[0])) if training else (None, None)
        return self.advance(self.project(inputs, masks[0]), states, masks[1])


class SimpleRNNCell(_Cell):
    """One step of `SimpleRNN`: `h = activation(x @ kernel + h @ recurrent_kernel + bias)`.

    Args: those of `SimpleRNN` that are not of the sequence. Called as `cell(inputs, states)`, with inputs of shape
    (batch, dim); gives the output and the list of new states.

    >>> output, states = SimpleRNNCell(4)(jnp.ones((2, 3)), [jnp.zeros((2, 4))])
    >>> output.shape
    (2, 4)
    """

    def __init__(self, units, activation="tanh", use_bias=True, kernel_initializer="glorot_uniform",
                 recurrent_initializer="orthogonal", bias_initializer="zeros", kernel_regularizer=None,
                 recurrent_regularizer=None, bias_regularizer=None, kernel_constraint=None, recurrent_constraint=None,
                 bias_constraint=None, dropout=0.0, recurrent_dropout=0.0, seed=None, **kwargs):
        super().__init__(**told(locals()))

    def call(self, sequence, states, training=False):
        return super().call(sequence, states, training)

    @staticmethod
    def combine(parts, states, activation, recurrent_activation):
        (z,), = parts
        return [activation(z)]


class LSTMCell(_Cell):
    """One step of `LSTM`: `c = f * c + i * activation(g)`, `h = o * activation(c)`.

    The gates i, f, o are `recurrent_activation` and g is without one, each of `x @ kernel + h @ recurrent_kernel +
    bias`; their order in the weights is i, f, g, o.

    Args: those of `LSTM` that are not of the sequence. Source: Hochreiter and Schmidhuber (1997).

    >>> output, [h, c] = LSTMCell(4)(jnp.ones((2, 3)), [jnp.zeros((2, 4)), jnp.zeros((2, 4))])
    >>> c.shape
    (2, 4)
    """

    gates, scales = 4, (0.5, 0.5, 1.0, 0.5)

    def __init__(self, units, activation="tanh", recurrent_activation="sigmoid", use_bias=True,
                 kernel_initializer="glorot_uniform", recurrent_initializer="orthogonal", bias_initializer="zeros",
                 unit_forget_bias=True, kernel_regularizer=None, recurrent_regularizer=None, bias_regularizer=None,
                 kernel_constraint=None, recurrent_constraint=None, bias_constraint=None, dropout=0.0,
                 recurrent_dropout=0.0, seed=None, **kwargs):
        super().__init__(**told(locals(), "recurrent_activation", "unit_forget_bias"))
        self.state_size = [units, units]
        self.recurrent_activation = activations.get(recurrent_activation)
        self.unit_forget_bias = unit_forget_bias

    def _build_bias(self, width):
        def start(shape, dtype=None):  # in the parts in which Keras draws it
            own, u = self.bias_initializer, width // 4
            return jnp.concatenate([own((u,), dtype=dtype), jnp.ones((u,), dtype), own((2 * u,), dtype=dtype)])

        self.bias = self._weight((width,), "bias", "bias", start if self.unit_forget_bias else None) \
            if self.use_bias else None

    def advance(self, z, states, masks=None):
        if not self._own_carry:
            return super().advance(z, states, masks)
        if self._masks_of_a_kind == 1:
            z, = joined(z, self._from_state(states[0], masks), self._bias_of(1), self.apart)
            c, o = self._compute_carry_and_output_fused(tuple(jnp.split(z, 4, self._channel_axis)), states[1])
        else:
            x = z if self.bias is None else bias_add(z, self.bias.value)
            h = [states[0] * mask for mask in masks or [1] * 4]
            c, o = self._compute_carry_and_output(tuple(jnp.split(x, 4, axis=-1)), h, states[1])
        h = o * self.activation(c)
        return h, [h, c]

    def _compute_carry_and_output(self, x, h_tm1, c_tm1):
        """The new carry and the output gate, from the input's part of each gate and the state for it (implementation 1)."""
        kernels = jnp.split(self.recurrent_kernel.value, 4, axis=-1)
        return self._compute_carry_and_output_fused([a + product(h, k) for a, h, k in zip(x, h_tm1, kernels)], c_tm1)

    def _compute_carry_and_output_fused(self, z, c_tm1):
        """The new carry and the output gate, from the sums of the gates i, f, g, o before their activations."""
        i, f, g, o = z
        c = self.recurrent_activation(f) * c_tm1 + self.recurrent_activation(i) * self.activation(g)
        return c, self.recurrent_activation(o)

    @staticmethod
    def combine(parts, states, activation, recurrent_activation):
        (i, f, g, o), = parts
        if recurrent_activation:  # else the gates are made already
            i, f, g, o = recurrent_activation(i), recurrent_activation(f), activation(g), recurrent_activation(o)
        c = f * states[1] + i * g
        return [o * activation(c), c]


class GRUCell(_Cell):
    """One step of `GRU`: `h = z * h + (1 - z) * activation(candidate)`.

    The gates z and r are `recurrent_activation(x @ kernel + h @ recurrent_kernel + bias)`. With reset_after the
    candidate is `x @ kernel + r * (h @ recurrent_kernel + recurrent_bias)`, and the bias has two rows, the input's and
    the recurrent one; without, it is `x @ kernel + (r * h) @ recurrent_kernel`. The order in the weights is z, r,
    candidate.

    Args: those of `GRU` that are not of the sequence. Source: Cho et al., Learning Phrase Representations (2014).

    >>> output, states = GRUCell(4)(jnp.ones((2, 3)), [jnp.zeros((2, 4))])
    >>> output.shape
    (2, 4)
    """

    gates = 3
    apart = True

    def __init__(self, units, activation="tanh", recurrent_activation="sigmoid", use_bias=True,
                 kernel_initializer="glorot_uniform", recurrent_initializer="orthogonal", bias_initializer="zeros",
                 kernel_regularizer=None, recurrent_regularizer=None, bias_regularizer=None, kernel_constraint=None,
                 recurrent_constraint=None, bias_constraint=None, dropout=0.0, recurrent_dropout=0.0, reset_after=True,
                 seed=None, **kwargs):
        super().__init__(**told(locals(), "recurrent_activation", "reset_after"))
        self.recurrent_activation = activations.get(recurrent_activation)
        self.reset_after = reset_after

    def _build_bias(self, width):
        shape = (2, width) if self.reset_after else (width,)
        self.bias = self._weight(shape, "bias", "bias") if self.use_bias else None

    def project(self, x, masks=None):
        z, bias = super().project(x, masks), self._bias_of(0)
        return z if bias is None else bias_add(z, bias)

    def _bias_of(self, row):
        """The input's bias (0), and with reset_after the recurrent one (1)."""
        return None if self.bias is None else self.bias.value[row] if self.reset_after else self.bias.value

    def advance(self, z, states, masks=None):
        if self.reset_after:
            return super().advance(z, states, masks)
        h, kernels = states[0], jnp.split(self.recurrent_kernel.value, 3, axis=-1)
        masked = [h if m is None else h * m for m in masks or [None] * 3]
        of_z, of_r, of_candidate = jnp.split(z, 3, axis=-1)
        z = self.recurrent_activation(of_z + masked[0] @ kernels[0])
        r = self.recurrent_activation(of_r + masked[1] @ kernels[1])
        h = z * h + (1 - z) * self.activation(of_candidate + (r * masked[2]) @ kernels[2])
        return h, [h]

    @staticmethod
    def combine(parts, states, activation, recurrent_activation):
        (x_gate, x_r, x_candidate), (u_gate, u_r, u_candidate) = parts
        gate, r = recurrent_activation(x_gate + u_gate), recurrent_activation(x_r + u_r)
        return [gate * states[0] + (1 - gate) * activation(x_candidate + r * u_candidate)]

    def fused(self):
        return (self.combine, self.recurrent_kernel.value, self._bias_of(1)) if self.reset_after else None


class StackedRNNCells(Layer):
    """Several cells as one: the output of each is the input of the next.

    Args:
        cells: a list of cells.

    The state is the list of the cells' states. Raises ValueError for a cell without `call` or `state_size`.

    >>> from cornu.layers.rnn import RNN
    >>> RNN(StackedRNNCells([LSTMCell(4), GRUCell(3)]))(jnp.ones((2, 5, 8))).shape
    (2, 3)
    """

    def __init__(self, cells, **kwargs):
        super().__init__(**kwargs)
        self.cells = [check_cell(cell, f"{type(self).__name__} {self.name!r}") for cell in cells]
        if not self.cells:
            raise ValueError(f"{type(self).__name__} {self.name!r} needs at least one cell. Received: cells={cells!r}")

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None):
        """A stack whose cells are read from their configs; `custom_objects` names the caller's own classes."""
        with registry.custom_object_scope(custom_objects or {}):
            return super().from_config(config)

    @property
    def state_size(self):
        return [cell.state_size for cell in self.cells]

    @property
    def output_size(self):
        last = self.cells[-1]
        size = last.state_size if getattr(last, "output_size", None) is None else last.output_size
        return size[0] if isinstance(size, (list, tuple)) else size

    def get_initial_state(self, batch_size=None):
        """The list of the cells' initial states."""
        states = [initial_state(cell, batch_size, self.compute_dtype) for cell in self.cells]
        return [state[0] if _has_one_state(cell) else state for cell, state in zip(self.cells, states)]

    def build(self, input_shape):
        x = jax.ShapeDtypeStruct((input_shape[0] or 1, *input_shape[1:]), self.compute_dtype)
        for cell in self.cells:
            x = build_cell(cell, x)

    def call(self, inputs, states, training=False):
        new_states = []
        for cell, state in zip(self.cells, states):
            alone = not isinstance(state, (list, tuple))
            inputs, state = call_cell(cell, inputs, [state] if alone else state, training)
            new_states.append(state[0] if alone else state)
        return inputs, new_states


def check_cell(cell, owner: str):
    """The cell (of which a config will do), or ValueError where it cannot be one."""
    cell = registry.deserialize(cell, printable_name="cell") if isinstance(cell, dict) else cell
    if not callable(getattr(cell, "call", None)):
        raise ValueError(f"{owner}: a cell must have a method `call(inputs, states)`. Received: {cell!r:.200}")
    if getattr(cell, "state_size", None) is None:
        raise ValueError(f"{owner}: a cell must have a `state_size`, an integer or a list of them, one for each state. "
                         f"Received: {cell!r:.200}")
    return cell


def _has_one_state(cell) -> bool:
    """Whether a stack holds the cell's state as it is, not as a list of one: as Keras does for cells that users wrote."""
    return not hasattr(cell, "get_initial_state") and not isinstance(cell.state_size, (list, tuple))


def initial_state(cell, batch_size, dtype) -> list:
    """A cell's first states: its own `get_initial_state`, else zeros of its `state_size`."""
    if hasattr(cell, "get_initial_state"):
        states = cell.get_initial_state(batch_size=batch_size)
    else:
        sizes = cell.state_size if isinstance(cell.state_size, (list, tuple)) else [cell.state_size]
        states = [jnp.zeros((batch_size, *(size if isinstance(size, (list, tuple)) else (size,))),
                            getattr(cell, "compute_dtype", dtype)) for size in sizes]
    return list(states) if isinstance(states, (list, tuple)) else [states]


def call_cell(cell, x, states, training):
    """One step: the output, and the new states in the structure and dtypes of the old."""
    told = {"training": training} if "training" in inspect.signature(cell.call).parameters else {}
    output, new = (cell if callable(cell) else cell.call)(x, states, **told)
    old, structure = jax.tree.flatten(states)
    new = jax.tree.leaves(new)
    if [v.shape for v in new] != [v.shape for v in old]:
        raise ValueError(f"{type(cell).__name__}: `call` must return new states of the shapes of the old, "
                         f"{[tuple(v.shape) for v in old]}. It returned {[tuple(v.shape) for v in new]}.")
    return output, structure.unflatten([n.astype(o.dtype) for n, o in zip(new, old)])


def in_parts(cell) -> bool:
    """Whether a layer may compute a cell's steps by `project` and `advance`: it is a built-in cell whose step is its own."""
    return isinstance(cell, _Cell) and cell._in_parts and "call" not in cell.__dict__


def build_cell(cell, x):
    """Build a cell for inputs like `x`; returns what one step gives for them, in shape and dtype."""
    if isinstance(cell, Layer) and not cell.built and type(cell).build is not Layer.build:
        cell.build(x.shape if isinstance(cell, StackedRNNCells) else (None, *x.shape[1:]))
    return dry(lambda x: call_cell(cell, x, initial_state(cell, x.shape[0], x.dtype), False)[0], x)[0]
