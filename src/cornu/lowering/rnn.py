"""Recurrences over time: of any step, and of steps whose only weights are in one product of the state.

The latter have a gradient written by hand. Each such step is `u = h @ kernel + bias` and then a function without
weights of the step's input, of `u`, and of the states: LSTM, GRU with reset_after and the plain recurrent cell are of this
kind. JAX's own gradient of the loop forms the gradient of the kernel in every step and adds it up; here the gradients of
all `u` are kept, and the kernel's is one product after the loop. Where the step sees the sum of input and `u`, one array
holds the inputs, then in their places the sums or their tanh, then their gradients: 7.9 ms against 9.5 (LSTM, 80 steps of
80 units).
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


def recurrence(step, inputs, mask, states, kernel, bias, *, gates=1, apart=False, scales=(), sequences=True):
    """Run `step` over time.

    Args:
        step: a function `step(parts, valid, states) -> (states, output)` of arrays alone; it closes over no traced array.
            `parts` is `joined(input, states[0] @ kernel, bias, apart)`, each as a list of its gates, (batch, units).
        inputs, mask: arrays with time first; the mask is bool, or None.
        states: a list of arrays; the first one is what the product sees.
        kernel, bias: of the product; bias may be None.
        gates: the number of equal blocks that the product's columns consist of.
        apart: whether the step needs its input and the product apart.
        scales: for each gate of a sum z, the s by which the step sees it as s tanh(s z) + 1 - s: 1/2 is the sigmoid, 1 tanh.
            That tanh is kept in the place of the sums, and no gradient computes it anew (an LSTM's epoch: 0.96 of the time).
        sequences: whether the outputs of all steps are wanted.

    Returns: (states, outputs with time first or None).
    """
    run = _run if in_forward_mode() else _recurrence
    return run(step, gates, apart, scales, sequences, inputs, mask, states, kernel, bias)[:2]


def joined(x, u, bias, apart):
    """What a step sees of its input `x` and of the state's product `u`: their sum, or both `apart`."""
    u = u if bias is None else u + bias
    return (x, u) if apart else (x + u,)


def _scales(scales, like):
    return jnp.asarray(np.repeat(scales, like.shape[-1] // len(scales)), like.dtype)


def _kept(parts, scales):
    """What is kept of the parts."""
    return (jnp.tanh(_scales(scales, parts[0]) * parts[0]),) if scales else parts


def _seen(kept, scales):
    """What the step sees of it."""
    if not scales:
        return kept
    s = _scales(scales, kept[0])
    return (s * kept[0] + (1 - s),)


def _blocks(part, gates):
    return part.reshape(*part.shape[:-1], gates, part.shape[-1] // gates)


def _gates(parts, gates) -> list:
    """Each part as a list of its gates.

    Told so, their gradient is one kernel over (batch, gates, units); of a split XLA:CPU makes one for each and one more
    that joins them: the loops of an LSTM are compiled in 0.9 of the time and take 0.9 of it.
    """
    return [[lax.index_in_dim(_blocks(part, gates), k, -2, False) for k in range(gates)] for part in parts]


def _of_sum(g, kept, gates, scales):
    """The gradient for the parts in blocks, of that for what the step has seen."""
    g = [_blocks(x, gates) for x in g]
    if scales:
        squares = jnp.asarray(np.reshape(np.square(scales), (-1, 1)), g[0].dtype)
        g = [g[0] * (squares * (1 - jnp.square(_blocks(kept[0], gates))))]
    return g


def _run(step, gates, apart, scales, sequences, inputs, mask, states, kernel, bias, keep=False):
    """The states and the outputs; if they are to be kept, also all states, and what is kept of the parts in the inputs' place."""
    def advance(x, valid, u, bias, states):
        kept = _kept(joined(x, u, bias, apart), scales)
        return kept[-1], step(_gates(_seen(kept, scales), gates), valid, states)

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


def _reads_first(step, *args) -> bool:
    """Whether a step reads the first state other than by its product."""
    jaxpr = jax.make_jaxpr(step)(*args).jaxpr
    first = jaxpr.invars[-len(args[-1])]
    return any(first is v for places in (jaxpr.outvars, *(e.invars for e in jaxpr.eqns)) for v in places)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2, 3, 4))
def _recurrence(*args):
    return _run(*args)[:2]


def _forward(step, gates, apart, scales, sequences, inputs, mask, states, kernel, bias):
    states, outputs, *kept = _run(step, gates, apart, scales, sequences, inputs, mask, states, kernel, bias, keep=True)
    return (states, outputs), (*kept, mask, kernel, bias)


def _backward(step, gates, apart, scales, sequences, kept, gradients):
    stacks, before, mask, kernel, bias = kept
    after, outputs = gradients
    turned, steps = kernel.T, stacks[0].shape[0]

    def pull(t, stacks, mask, before, g, outputs):
        valid, parts, states = _row(mask, t), [_row(s, t) for s in stacks], [_row(b, t) for b in before]
        seen = _seen(parts, scales)
        unread = 0 if _reads_first(step, _gates(seen, gates), valid, states) else 1

        def again(seen, *read):
            return step(_gates(seen, gates), valid, [*states[:unread], *read])

        (_, output), back = jax.vjp(again, seen, *states[unread:])
        g_seen, *g = back((g, _row(outputs, t) if sequences else jnp.zeros_like(output)))
        return _of_sum(g_seen, parts, gates, scales), [None] * unread + g

    def body(i, carry):
        g, stacks = carry
        t = steps - 1 - i
        # With the rows' slices inside, which need no memory so.
        g_blocks, (first, *g) = island(pull)(t, stacks, mask, before, g, outputs)
        g_parts = [g.reshape(s.shape[1:]) for g, s in zip(g_blocks, stacks)]
        by_product = g_parts[-1] @ turned
        first = by_product if first is None else first + by_product
        return [first, *g], [_put(s, g, t) for s, g in zip(stacks, g_parts)]

    g_states, stacks = lax.fori_loop(0, steps, body, (list(after), list(stacks)))
    flat = stacks[-1].reshape(-1, kernel.shape[1])
    g_kernel = turned_over(before[0].reshape(-1, kernel.shape[0])) @ flat
    return stacks[0], None, g_states, g_kernel, None if bias is None else sum_leading(flat, stored=True)


_recurrence.defvjp(_forward, _backward)
