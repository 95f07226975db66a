"""NaN and infinity in training: steps that are not taken, and where the values come from."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from cornu import tree


def guarded(guard: str, logs, values: list, before: list) -> tuple:
    """The logs with whether the step was good, and the state: the new one, or the one before where it was not.

    Args:
        guard: "loss" for a step whose loss has to be finite; "all" where what it makes of finite values has to be, too.
        logs: what the step returned; all of its numbers count where none is called "loss".
        values: the new state.
        before: the old one.
    """
    watched = [logs["loss"]] if "loss" in logs else list(logs.values())
    good = functools.reduce(jnp.logical_and, map(_finite, watched), jnp.array(True))
    if guard == "all":
        for new, old in zip(values, before):
            good &= _finite(new) | ~_finite(old)
    return (logs, good), [jnp.where(good, new, old) for new, old in zip(values, before)]


def _finite(value):
    value = jnp.asarray(value)
    return jnp.isfinite(value).all() if jnp.issubdtype(value.dtype, jnp.inexact) else jnp.array(True)


def first_place(model, step) -> tuple:
    """Where a guarded Step met NaN or infinity first in its last batch: what is not finite, and the row or None.

    The step is run once more with a probe at every layer's inputs and outputs, which sees values and gradients.
    """
    size = next((a.shape[0] for a in jax.tree.leaves(step.batch) if np.ndim(a)), 0)
    bad = [row for a in jax.tree.leaves(step.batch) if (row := int(_bad_row(a, size))) >= 0]
    if bad:
        return "the data is not finite", bad[0]
    probes, layers = _Probes(size), model._flatten_layers(include_self=False)
    variables = [*step.written, *step.draws.seeds]
    values = [v._value for v in [*variables, *step.fixed]]
    for layer in layers:
        object.__setattr__(layer, "call", probes.round(layer, layer.call))
    try:
        logs, new = jax.block_until_ready(jax.jit(lambda values, data: step.pure(values, data))(values, step.batch))
        jax.effects_barrier()
    finally:
        for layer in layers:
            del layer.__dict__["call"]
    changed = [v.path for v, value in zip(variables, new) if not bool(_finite(value))]
    return probes.verdict(bool(_finite(logs.get("loss", 0.0))), changed)


class _Probes:
    """What went into and came out of layers, in order: rows that are not finite, of the values and of the gradients."""

    def __init__(self, size: int):
        self.size, self.places, self.rows, self.gradients = size, [], {}, {}

    def round(self, layer, call):
        """`call` with probes before and behind it."""
        def probed(*args, **kwargs):
            return self._see(layer, "output", call(*self._see(layer, "input", args), **kwargs))

        return probed

    def _see(self, layer, part: str, values):
        def see(x):
            if not isinstance(x, jax.Array) or not jnp.issubdtype(x.dtype, jnp.inexact):
                return x
            self.places.append((layer, part))
            return _seen(self, len(self.places) - 1, x)

        return tree.map_structure(see, values)

    def verdict(self, finite_loss: bool, changed: list) -> tuple:
        """What is not finite first, in the order of computation: outputs, the loss, gradients, new values."""
        for number, (layer, part) in enumerate(self.places):
            if (row := self.rows.get(number, -1)) >= 0:
                told = f"layer {_named(layer)} is the first whose output is not finite" if part == "output" else \
                    f"what is given to layer {_named(layer)} is not finite"
                weights = [v.path for v in layer._own_variables() if not bool(_finite(v._value))]
                return told + (f", since its weight {weights[0]!r} is not" if weights else ""), self._row(row)
        bad = [(*self.places[n], self._row(row)) for n, row in sorted(self.gradients.items()) if row >= 0]
        behind = [b for b in bad if b[1] == "output"]
        if not finite_loss:
            return "every layer's output is finite, and the loss computed of them is not", behind[-1][2] if behind else None
        for layer, part, row in bad:
            if part == "input" and all(layer is not b[0] for b in behind):
                return f"layer {_named(layer)} is the first whose gradient is not finite", row
        if behind:
            return f"the gradient of what follows layer {_named(behind[-1][0])} is the first that is not finite", behind[-1][2]
        return f"the new value of {changed[0]!r} is the first that is not finite" if changed else "it did not recur", None

    def _row(self, row: int):
        return row if row < self.size else None


def _named(layer) -> str:
    return f"{layer.name!r} ({type(layer).__name__})"


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _seen(probes, number: int, x):
    """`x`; on the way, its first row that is not finite is noted, and that of its gradient."""
    return _note(probes.rows, number, x, probes.size)


def _note(found: dict, number: int, x, size: int):
    def note(row):
        found[number] = max(found.get(number, -1), int(row))

    jax.debug.callback(note, _bad_row(x, size))
    return x


_seen.defvjp(lambda probes, number, x: (_seen(probes, number, x), None),
             lambda probes, number, _, g: (_note(probes.gradients, number, g, probes.size),))


def _bad_row(x, size: int):
    """The first row that is not finite; -1 where all are; `size` where rows are not samples."""
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        return jnp.array(-1)
    bad = ~jnp.isfinite(x)
    if x.ndim == 0 or x.shape[0] != size:
        return jnp.where(bad.any(), size, -1)
    rows = bad.reshape(size, -1).any(1)
    return jnp.where(rows.any(), jnp.argmax(rows), -1)
