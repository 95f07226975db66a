"""Recurrences over time: of any step, and of steps whose only weights are in one product of the state.

The latter have a gradient written by hand. Each such step is `u = h @ kernel + bias` and then a function without
weights of `u`, the step's input and the states: LSTM, GRU with reset_after and the plain recurrent cell are of this
kind. JAX's own gradient of the loop forms the gradient of the kernel in every step and adds it up; here the gradients
of all `u` are kept, and the kernel's is one product after the loop.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from cornu.lowering.platform import in_forward_mode, island
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


def recurrence(step, inputs, states, kernel, bias):
    """Run `step` over time.

    Args:
        step: a function `step(x, u, states) -> (states, output)` of arrays alone; it closes over no traced array.
            `u = states[0] @ kernel + bias`.
        inputs: arrays with time first, each step's x (one array or a tree; boolean ones have no gradient).
        states: a list of arrays; the first one is what the product sees.
        kernel, bias: of the product; bias may be None.

    Returns: (states, outputs with time first).
    """
    if in_forward_mode():
        return _run(step, inputs, states, kernel, bias, keep=False)[:2]
    return _recurrence(step, inputs, states, kernel, bias)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _recurrence(step, inputs, states, kernel, bias):
    return _run(step, inputs, states, kernel, bias, keep=False)[:2]


def _product(h, kernel, bias):
    u = h @ kernel
    return u if bias is None else u + bias


def _run(step, inputs, states, kernel, bias, keep):
    def body(states, x):
        u = _product(states[0], kernel, bias)
        # An island, else XLA:CPU reads this step's row of the inputs within each gate's loop, and those loops are not
        # vectorized for it: 6.9 ms against 4.7 (batch 32, 80 steps, 80 units).
        new, output = island(step)(x, u, states)
        return new, (output, (states, u) if keep else None)
    states, (outputs, kept) = lax.scan(body, states, inputs)
    return states, outputs, kept


def _keep(step, inputs, states, kernel, bias):
    states, outputs, kept = _run(step, inputs, states, kernel, bias, keep=True)
    return (states, outputs), (inputs, kept, kernel, bias)


def _backward(step, kept, gradients):
    inputs, (before, products), kernel, bias = kept
    after, outputs = gradients

    def body(g, now):
        x, u, states, g_output = now
        g_x, g_u, g_states = island(functools.partial(_pull, step))(x, u, states, (g, g_output))
        g_states = [g_states[0] + g_u @ turned, *g_states[1:]]
        return g_states, (g_x, g_u)

    turned = kernel.T
    g_states, (g_inputs, g_u) = lax.scan(body, list(after), (inputs, products, before, outputs), reverse=True)
    flat = g_u.reshape(-1, g_u.shape[-1])
    g_kernel = before[0].reshape(-1, kernel.shape[0]).T @ flat
    return g_inputs, g_states, g_kernel, None if bias is None else sum_leading(flat)


def _pull(step, x, u, states, gradients):
    return jax.vjp(step, x, u, states)[1](gradients)


_recurrence.defvjp(_keep, _backward)
