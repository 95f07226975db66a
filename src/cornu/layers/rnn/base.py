"""RNN: a layer that runs a cell over the steps of a sequence."""

import contextlib
import dataclasses
import types
from typing import Callable

import jax
import jax.numpy as jnp

from cornu import activations, check, registry, tree
from cornu.input_spec import InputSpec
from cornu.layers.layer import Layer
from cornu.layers.parts import called
from cornu.layers.rnn.cells import StackedRNNCells, _Cell, build_cell, call_cell, check_cell, in_parts, initial_state
from cornu.lowering.rnn import masked_scan, recurrence, where_valid
from cornu.symbolic import dry, shape_of
from cornu.variable import Variable, room_for

_TIMES = 4  # a state is kept once; what `room_for` counts is, while it is made, there several times


class RNN(Layer):
    """A cell over the steps of a sequence: `output, states = cell(inputs[:, t], states)` for every t.

    Args:
        cell: a cell or a list of cells: layers (or objects) with `call(inputs, states) -> (output, new_states)` and
            `state_size`, an integer or a list of them; optionally `output_size` and `get_initial_state(batch_size)`.
        return_sequences: whether to give the outputs of all steps, or the last one.
        return_state: whether to give the last states as well, as `(output, *states)`.
        go_backwards: whether to go from the last step to the first; outputs then come in that order.
        stateful: whether the next batch starts with this one's last states; `reset_state()` forgets them.
        unroll: whether to write the steps out in the program instead of a loop: faster for a few steps.
        zero_output_for_mask: whether masked steps give zeros instead of the output of the step before.

    Called as `layer(sequences, initial_state=None, mask=None, training=False)`, sequences of shape (batch, steps, ...)
    and a mask of shape (batch, steps). A masked step keeps the states, and its output is that of the step before (of
    the initial state, if there is none). Raises ValueError for cells without a state_size, for no steps, for initial
    states of other shapes than the cell's, and where stateful, for an unknown or changed batch size.

    >>> from cornu.layers.rnn import LSTMCell
    >>> RNN([LSTMCell(4), LSTMCell(2)], return_sequences=True)(jnp.ones((2, 5, 8))).shape
    (2, 5, 2)
    """

    supports_masking = True

    def __init__(self, cell, return_sequences=False, return_state=False, go_backwards=False, stateful=False,
                 unroll=False, zero_output_for_mask=False, **kwargs):
        super().__init__(**kwargs)
        cell = StackedRNNCells(cell) if isinstance(cell, (list, tuple)) else cell
        self.cell = check_cell(cell, f"{type(self).__name__} {self.name!r}")
        self.return_sequences, self.return_state, self.go_backwards = return_sequences, return_state, go_backwards
        self.stateful, self.unroll, self.zero_output_for_mask = stateful, unroll, zero_output_for_mask
        self.input_spec = InputSpec(min_ndim=3)
        self.states = None

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None):
        """A layer whose cell is read from its config; `custom_objects` names the caller's own classes."""
        with registry.custom_object_scope(custom_objects or {}):
            return super().from_config(config)

    @property
    def state_size(self) -> list:
        size = self.cell.state_size
        return list(size) if isinstance(size, (list, tuple)) else [size]

    # The states are no weights: a file does not have them, but training has to carry them along.
    def _own_variables(self):
        states = {id(v) for v in tree.flatten(self.states)}
        return [v for v in super()._own_variables() if id(v) not in states]

    def _other_state(self):
        return [*super()._other_state(), *(v for v in tree.flatten(self.states) if v is not None)]

    def build(self, sequences_shape, initial_state_shape=None):
        step = (None, *sequences_shape[2:])
        if not in_parts(self.cell) and None not in step[1:]:
            # a cell may hold arrays of as many samples, such as what it attends to
            build_cell(self.cell, jax.ShapeDtypeStruct((sequences_shape[0] or 1, *step[1:]), self.compute_dtype))
        elif hasattr(self.cell, "build") and not getattr(self.cell, "built", False):
            self.cell.build(step)  # which says so if it needs to know more
        if self.stateful:
            if sequences_shape[0] is None:
                raise ValueError(f"{called(self)}: stateful=True needs a fixed batch size. Give "
                                 f"it, as in Input(batch_shape=(32, 10, 8)). Received shape: {tuple(sequences_shape)}")
            with jax.core.eval_context():  # what a variable starts from is an array, inside a trace too
                for state in jax.tree.leaves(jax.eval_shape(lambda: self.get_initial_state(sequences_shape[0]))):
                    room_for(f"The state of {self.name}", state.size // _TIMES)
                first = self.get_initial_state(sequences_shape[0])
            self.states = jax.tree.map(
                lambda state: Variable(state, dtype=self.variable_dtype, trainable=False, name="rnn_state"), first)

    def get_initial_state(self, batch_size):
        """The cell's first states for a batch, as a list."""
        return initial_state(self.cell, batch_size, self.compute_dtype)

    def _zeros_like(self, sequences):
        return self.get_initial_state(sequences.shape[0])

    def reset_state(self) -> None:
        """Set the states of a stateful layer back to the cell's first ones."""
        if self.states is None:
            return
        first = self.get_initial_state(tree.flatten(self.states)[0].shape[0])
        for variable, value in zip(tree.flatten(self.states), jax.tree.leaves(first)):
            variable.assign(value)

    reset_states = reset_state

    def compute_mask(self, _, mask):
        mask = tree.flatten(mask)[0]
        output = mask if self.return_sequences else None
        return [output] + [None] * len(self.state_size) if self.return_state else output

    def call(self, sequences, initial_state=None, mask=None, training=False):
        states = self._first_states(sequences, initial_state)
        mask = None if mask is None else tree.flatten(mask)[0]
        if mask is not None and mask.ndim == 3:
            mask = mask[..., 0]
        check.mask(mask, sequences.shape[:2], called(self))
        last, outputs, states = self.inner_loop(sequences, states, mask, training=bool(training))
        if self.stateful:
            for variable, value in zip(tree.flatten(self.states), jax.tree.leaves(states)):
                variable.assign(value)
        output = outputs if self.return_sequences else last
        return (output, *states) if self.return_state else output

    def _first_states(self, sequences, initial):
        """The states to start from, checked against what the cell expects."""
        batch, steps = sequences.shape[:2]
        if steps == 0:
            raise ValueError(f"{called(self)} needs sequences of one step or more. Received shape: {tuple(sequences.shape)}")
        if self.stateful and batch != tree.flatten(self.states)[0].shape[0]:
            raise ValueError(
                f"{called(self)} is stateful and was built for batches of "
                f"{tree.flatten(self.states)[0].shape[0]}. Received a batch of {batch}: its states would belong to "
                "other sequences.\nFeed batches of one size, or use stateful=False.")
        if initial is None:
            return jax.tree.map(lambda v: v.value, self.states, is_leaf=lambda v: isinstance(v, Variable)) \
                if self.stateful else self._zeros_like(sequences)
        expected = jax.eval_shape(self._zeros_like, sequences)
        given = jax.tree.leaves(initial)
        wanted, structure = jax.tree.flatten(expected)
        if len(given) != len(wanted) or not all(map(_fits, given, wanted)):
            raise ValueError(
                f"{called(self)}: initial_state must be {len(wanted)} array(s) of shape "
                f"{', '.join(str(shape_of(w)) for w in wanted)}. Received: "
                f"{', '.join(str(shape_of(g)) for g in given)}")
        return structure.unflatten(given)

    # the loop --------------------------------------------------------------------------------------------------

    def inner_loop(self, sequences, initial_state, mask, training=False):
        """Run the cell over all steps: (last output, all outputs or None, last states)."""
        steps = self._in_order(sequences)
        mask = None if mask is None else self._in_order(mask.astype(bool))
        if in_parts(self.cell):  # the input's part of all steps is one product
            in_masks, state_masks = self.cell.draw_masks(steps[0], initial_state[0], training)
            steps = self.cell.project(steps, in_masks)
            if self._may_fuse(state_masks):
                return self._fused(steps, initial_state, mask)
            return self._loop(lambda z, states: self.cell.advance(z, states, state_masks), steps, initial_state, mask,
                              initial_state[0], [])

        def step(x, states):
            return call_cell(self.cell, x, states, training)

        first = jax.eval_shape(lambda x: x[0], steps)
        with _held_masks(self.cell, step, first, initial_state, training):
            (output, _), written = dry(step, first, initial_state)
            shown = tree.flatten(initial_state[-1])[0]  # a cell's first state is its output, where it looks like it
            if shown.shape != output.shape:
                shown = jnp.zeros(output.shape, output.dtype)
            return self._loop(step, steps, initial_state, mask, shown.astype(output.dtype), written)

    def _may_fuse(self, state_masks) -> bool:
        """Whether the recurrence with a gradient by hand fits: its step must be a function of arrays alone."""
        cell = self.cell
        plain = all(f is None or isinstance(f, types.FunctionType) and f.__module__.startswith("cornu.")
                    for f in (cell.activation, cell.recurrent_activation))
        use_cudnn = getattr(self, "use_cudnn", "auto")  # LSTM's and GRU's alone
        fits = plain and state_masks is None and not self.unroll and cell.fused() is not None
        if use_cudnn is True and not fits:
            raise ValueError(f"{called(self)}: use_cudnn=True needs built-in activations, no "
                             "recurrent dropout, unroll=False and (GRU) reset_after=True. Use use_cudnn='auto'.")
        return fits and use_cudnn is not False

    def _fused(self, steps, states, mask):
        cell, (combine, kernel, bias) = self.cell, self.cell.fused()
        usual = cell.activation is activations.tanh and cell.recurrent_activation is activations.sigmoid
        scales = cell.scales if usual and steps.dtype.itemsize > 2 else ()  # from tanh, 16 bits get no small sigmoid right
        step = _Step(combine, cell.activation, None if scales else cell.recurrent_activation,
                     mask is not None and self.zero_output_for_mask)
        states, outputs = recurrence(step, steps, mask, list(states), kernel, bias, gates=cell.gates, apart=cell.apart,
                                     scales=scales, sequences=self.return_sequences or step.zeros)
        last = outputs[-1] if step.zeros else states[0]
        return last, jnp.moveaxis(outputs, 0, 1) if self.return_sequences else None, states

    def _in_order(self, x):
        """Time first, and in the order in which the steps are taken."""
        x = jnp.moveaxis(x, 1, 0)
        return jnp.flip(x, 0) if self.go_backwards else x

    def _loop(self, step, steps, states, mask, shown, written):
        last, outputs, states = masked_scan(step, steps, mask, states, shown, written, zeros=self.zero_output_for_mask,
                                            keep=self.return_sequences, unroll=self.unroll)
        return last, None if outputs is None else jnp.moveaxis(outputs, 0, 1), states


def _fits(given, wanted) -> bool:
    """Whether a state has the wanted shape, as far as sizes are known."""
    one, other = shape_of(given), shape_of(wanted)
    return len(one) == len(other) and all(a == b or a is None or b is None for a, b in zip(one, other))


@dataclasses.dataclass(frozen=True)
class _Step:
    """A step of `recurrence`, equal for equal work; a masked step keeps the states, and so the output."""

    combine: Callable
    activation: Callable
    recurrent_activation: Callable | None
    zeros: bool

    def __call__(self, parts, valid, states):
        new = self.combine(parts, states, self.activation, self.recurrent_activation)
        if valid is None:
            return new, new[0]
        new = [where_valid(valid, n, o) for n, o in zip(new, states)]
        return new, where_valid(valid, new[0], jnp.zeros_like(new[0])) if self.zeros else new[0]


@contextlib.contextmanager
def _held_masks(cell, step, x, states, training):
    """Within it, every built-in cell inside a cell drops the same values in all steps."""
    cells = [c for c in (cell._flatten_layers() if isinstance(cell, Layer) else [])
             if isinstance(c, _Cell) and (c.dropout > 0 or c.recurrent_dropout > 0)] if training else []
    if cells:
        dry(step, x, states)  # to see for which shapes
    try:
        for inner in cells:
            inner._masks.held = {kind: inner._draw(like, getattr(inner, kind), inner._masks_of_a_kind)
                                 for kind, like in sorted(inner._masks.seen.items())}
        yield
    finally:
        for inner in cells:
            inner._masks.held = None
