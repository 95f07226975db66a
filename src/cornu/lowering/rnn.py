"""Recurrences over time: of any step, and of steps whose only weights are in one product of the state.

The latter have a gradient written by hand. Each such step is `u = h @ kernel + bias` and then a function without
weights of the step's input, of `u`, and of the states: LSTM, GRU with reset_after and the plain recurrent cell are of this
kind. JAX's own gradient of the loop forms the gradient of the kernel in every step and adds it up; here the gradients of
all `u` are kept, and the kernel's is one product after the loop. Where the step sees the sum of input and `u`, one array
holds the inputs, then in their places the sums or gates, then their gradients: 7.9 ms against 9.5 (LSTM, 80 steps, 80 units).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cornu.lowering.platform import in_forward_mode, island
from cornu.lowering.product import turned_over
from cornu.lowering.reduction import sum_leading
from cornu.variable import Scope


def where_valid(valid, new, old):
    """`new` where the sample's step counts, else `old`."""
    return jnp.where(valid.reshape(valid.shape + (1,) * (new.ndim - 1)), new, old)


def masked_scan(step, inputs, mask, states, shown, written=(), *, zeros=False, keep=True, unroll=False):
    """Run `step(x, states) -> (output, states)` over time; a masked step keeps the states and the output before it.

    Args:
        inputs, mask: with time first; the mask is bool, or None.
        shown: the output of a first step that is masked.
        written: the Variables that a step assigns, which are carried along.
        zeros: whether masked steps give zeros instead.
        keep: whether the outputs of all steps are wanted.
        unroll: whether the steps are written out instead of a loop.

    Returns: (the last output, the outputs with time first or None, the last states).
    """
    owners = []

    def body(carry, now):
        (states, shown, values), (x, valid) = carry, now
        with Scope(written, values) as scope:
            output, new = step(x, states)
            values = [scope.values[id(v)] for v in written]
            owners[:] = [owner for owner, _ in scope.added]
            losses = [loss for _, loss in scope.added]
        if valid is not None:
            new = jax.tree.map(lambda n, o: where_valid(valid, n, o), new, states)
            output = where_valid(valid, output, jnp.zeros_like(output) if zeros else shown)
        return (new, output, values), (output if keep else None, losses)

    carry = (states, shown, [v.raw for v in written])
    if unroll:
        found = []
        for t in range(inputs.shape[0]):
            carry, kept = body(carry, (inputs[t], None if mask is None else mask[t]))
            found.append(kept)
        outputs, losses = jax.tree.map(lambda *v: jnp.stack(v), *found)
    else:
        carry, (outputs, losses) = lax.scan(body, carry, (inputs, mask))
    states, last, values = carry
    for variable, value in zip(written, values):
        variable.assign(value)
    for owner, loss in zip(owners, losses):
        owner.add_loss(jnp.sum(loss, 0))
    return last, outputs, states


def recurrence(step, inputs, mask, states, kernel, bias, *, apart=False, gates=(), sequences=True):
    """Run `step` over time.

    Args:
        step: a function `step(parts, valid, states) -> (states, output)` of arrays alone; it closes over no traced array.
            `parts` is `joined(input, states[0] @ kernel, bias, apart)`.
        inputs, mask: arrays with time first; the mask is bool, or None.
        states: a list of arrays; the first one is what the product sees.
        kernel, bias: of the product; bias may be None.
        apart: whether the step needs its input and the product apart.
        gates: for each gate of a sum z, the s by which the step sees it as s tanh(s z) + 1 - s: 1/2 is the sigmoid, 1 tanh.
            They are kept in the place of the sums, and no gradient computes them anew (an LSTM's epoch: 0.96 of the time).
        sequences: whether the outputs of all steps are wanted.

    Returns: (states, outputs with time first or None).
    """
    run = _run if in_forward_mode() else _recurrence
    return run(step, apart, gates, sequences, inputs, mask, states, kernel, bias)[:2]


def joined(x, u, bias, apart):
    """What a step sees of its input `x` and of the state's product `u`: their sum, or both `apart`."""
    u = u if bias is None else u + bias
    return (x, u) if apart else (x + u,)


def _scales(gates, like):
    return jnp.asarray(np.repeat(gates, like.shape[-1] // len(gates)), like.dtype)


def _seen(parts, gates):
    """What the step sees of its parts."""
    if not gates:
        return parts
    s = _scales(gates, parts[0])
    return (s * jnp.tanh(s * parts[0]) + (1 - s),)


def _of_sum(g, seen, gates):
    """The gradient for the parts, of that for what the step has seen."""
    if not gates:
        return g
    s = _scales(gates, seen[0])
    return (g[0] * (s * s - jnp.square(seen[0] - (1 - s))),)


def _run(step, apart, gates, sequences, inputs, mask, states, kernel, bias, keep=False):
    """The states and the outputs; if they are to be kept, also all seen (a sum in its input's place) and states."""
    def advance(x, valid, u, bias, states):
        parts = _seen(joined(x, u, bias, apart), gates)
        return parts[-1], step(parts, valid, states)

    def body(t, carry):
        states, outputs, stacks, before = carry
        # An island, else XLA:CPU reads this step's row of the inputs within each gate's loop, and those loops are not
        # vectorized for it: 6.9 ms against 4.7 (batch 32, 80 steps, 80 units).
        last, (new, output) = island(advance)(_row(stacks[0], t), _row(mask, t), states[0] @ kernel, bias, states)
        if keep:
            stacks, before = (*stacks[:-1], _put(stacks[-1], last, t)), [_put(b, s, t) for b, s in zip(before, states)]
        return new, _put(outputs, output, t) if sequences else None, stacks, before

    def stack(like, value=0):
        return jnp.full((inputs.shape[0], *like.shape), value, like.dtype)

    stacks = (inputs, stack(inputs[0])) if apart and keep else (inputs,)
    # The values are written over. Each array has its own, else XLA makes one of them and copies it.
    before = [stack(s, i) for i, s in enumerate(states, 1)] if keep else None
    carry = states, stack(states[0], -1) if sequences else None, stacks, before
    return lax.fori_loop(0, inputs.shape[0], body, carry)


def _row(stack, t):
    return None if stack is None else lax.dynamic_index_in_dim(stack, t, 0, False, allow_negative_indices=False)


def _put(stack, value, t):
    return lax.dynamic_update_index_in_dim(stack, value, t, 0, allow_negative_indices=False)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2, 3))
def _recurrence(*args):
    return _run(*args)[:2]


def _forward(step, apart, gates, sequences, inputs, mask, states, kernel, bias):
    states, outputs, *kept = _run(step, apart, gates, sequences, inputs, mask, states, kernel, bias, keep=True)
    return (states, outputs), (*kept, mask, kernel, bias)


def _backward(step, apart, gates, sequences, kept, gradients):
    stacks, before, mask, kernel, bias = kept
    after, outputs = gradients
    turned, steps = kernel.T, stacks[0].shape[0]

    def pull(t, stacks, mask, before, g, outputs):
        valid, parts, states = _row(mask, t), [_row(s, t) for s in stacks], [_row(b, t) for b in before]
        (_, output), back = jax.vjp(lambda parts, states: step(parts, valid, states), parts, states)
        g_parts, g = back((g, _row(outputs, t) if sequences else jnp.zeros_like(output)))
        return _of_sum(g_parts, parts, gates), g

    def body(i, carry):
        g, stacks = carry
        t = steps - 1 - i
        # With the rows' slices inside, which need no memory so.
        g_parts, g = island(pull)(t, stacks, mask, before, g, outputs)
        return [g[0] + g_parts[-1] @ turned, *g[1:]], [_put(s, g, t) for s, g in zip(stacks, g_parts)]

    g_states, stacks = lax.fori_loop(0, steps, body, (list(after), list(stacks)))
    flat = stacks[-1].reshape(-1, kernel.shape[1])
    g_kernel = turned_over(before[0].reshape(-1, kernel.shape[0])) @ flat
    return stacks[0], None, g_states, g_kernel, None if bias is None else sum_leading(flat, stored=True)


_recurrence.defvjp(_forward, _backward)
