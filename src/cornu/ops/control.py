"""Loops and branches. Their bodies may read and assign Variables, so layers with state work in them.

Which variables a body assigns is found by tracing it once in the abstract; they are then carried through the loop, and
assigned at its end. See `functional` in variable.py.
"""

import inspect

import jax
import jax.numpy as jnp

from cornu import check, tree
from cornu.ops.kit import public, tensor
from cornu.ops.numpy_elementwise import where
from cornu.symbolic import any_symbolic, op
from cornu.variable import Scope, Variable, functional


def _arrays(structure):
    """The structure with arrays in place of numbers and Variables."""
    return tree.map_structure(lambda x: x if x is None else tensor(x), structure)


def _read(structure):
    return tree.map_structure(lambda x: x.value if isinstance(x, Variable) else x, structure)


def _written(*calls) -> list:
    """The Variables that the calls, each `(function, *arguments)`, assign."""
    found = {}

    def run(fn, *args):
        with Scope(collects=True) as scope:
            fn(*args)
            if scope.added:
                raise RuntimeError("A layer adds a loss inside the body of a loop or branch, where it would be lost. "
                                   "Return the value from the body, and add it outside.")
            found.update(scope.written)

    for fn, *args in calls:
        jax.eval_shape(lambda *args, fn=fn: run(fn, *args), *args)
    return list(found.values())


def _finish(variables, values):
    for variable, value in zip(variables, values):
        variable.assign(value)


def _checked(name, **functions):
    for argument, function in functions.items():
        if not callable(function):
            raise TypeError(f"{name}: argument `{argument}` must be callable. Received: {function!r}")


# Loops -------------------------------------------------------------------------------------------------------------


@op
def scan(f, init, xs=None, length=None, reverse=False, unroll=1):
    """Run `carry, y = f(carry, x)` over the first axis of xs.

    Args:
        f: the step, from the carry and a slice of xs to the new carry and an output.
        init: the first carry, any structure of tensors.
        xs: what to go through, any structure of tensors; None for `length` steps without input.
        length: the number of steps, if xs is None.
        reverse: go from the last slice to the first.
        unroll: how many steps are written out in each iteration, or True for all.

    Returns:
        The last carry, and the outputs stacked.

    >>> scan(lambda total, x: (total + x, total + x), 0, jnp.array([1, 2, 3]))[1]
    Array([1, 3, 6], dtype=int32)
    """
    _checked("scan", f=f)
    if not isinstance(unroll, bool):
        check.positive("unroll", unroll, "scan")
    if xs is None and length is None:
        raise ValueError("scan: pass `xs` to go through, or `length`, the number of steps.")
    init, xs = _arrays(init), _arrays(xs)
    sizes = {x.shape[0] if x.ndim else None for x in jax.tree.leaves(xs)}
    if len(sizes) > 1 or None in sizes or (length is not None and sizes and sizes != {length}):
        shapes = [x.shape for x in jax.tree.leaves(xs)]
        raise ValueError(f"scan: every tensor in `xs` must have the same first size (`length`, where it is given: "
                         f"{length}). Received shapes: {shapes}")
    first = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), xs)
    variables = _written((f, init, first))
    pure = functional(f, variables)

    def step(carry, x):
        (carry, y), values = pure(carry[1], carry[0], x)
        return (carry, values), y

    (carry, values), ys = jax.lax.scan(step, (init, [v.raw for v in variables]), xs, length, reverse, unroll)
    _finish(variables, values)
    return carry, ys


@op
def map(f, xs):
    """Apply a function to every slice along the first axis, one after the other, and stack the results.

    Args:
        f: the function of one slice.
        xs: any structure of tensors.
    """
    return scan.__wrapped__(lambda carry, x: (carry, f(x)), (), xs)[1]


@op
def while_loop(cond, body, loop_vars, maximum_iterations=None):
    """Run `loop_vars = body(*loop_vars)` as long as `cond(*loop_vars)` holds.

    Args:
        cond: a function from the loop variables to a truth value.
        body: a function from the loop variables to new ones of the same shapes and dtypes.
        loop_vars: a tuple or list, or a single value.
        maximum_iterations: the largest number of iterations, or None.

    >>> while_loop(lambda i: i < 10, lambda i: i + 3, 0).item()
    12
    """
    _checked("while_loop", cond=cond, body=body)
    several = isinstance(loop_vars, (tuple, list))
    state = tuple(_arrays(x) for x in loop_vars) if several else (_arrays(loop_vars),)
    variables = _written((cond, *state), (body, *state))
    pure_cond, pure_body = functional(cond, variables), functional(body, variables)

    def holds(carry):
        count, state, values = carry
        found = jnp.asarray(pure_cond(values, *state)[0]).reshape(())
        return found if maximum_iterations is None else jnp.logical_and(found, count < maximum_iterations)

    def step(carry):
        count, state, values = carry
        new, values = pure_body(values, *state)
        new = tuple(new) if several and isinstance(new, (tuple, list)) else (new,)
        return count + 1, _like(new, state, "while_loop"), values

    _, state, values = jax.lax.while_loop(holds, step, (jnp.zeros((), "int32"), state, [v.raw for v in variables]))
    _finish(variables, values)
    return state if several else state[0]


def _like(new, old, name):
    """The new loop variables; ValueError where their structure or shapes are not those of the old ones."""
    new = tree.map_structure(lambda x: x if x is None else tensor(x), new)
    shapes = [jax.tree.map(jnp.shape, t) for t in (new, old)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"{name}: the body must return loop variables of the shapes that it is given.\n"
                         f"Given: {shapes[1]}\nReturned: {shapes[0]}")
    return new


@op
def fori_loop(lower, upper, body_fun, init_val):
    """Run `value = body_fun(i, value)` for i from lower up to but without upper.

    Args:
        lower, upper: integers.
        body_fun: the function.
        init_val: the first value, any structure of tensors.
    """
    _checked("fori_loop", body_fun=body_fun)
    value = _arrays(init_val)
    variables = _written((body_fun, jnp.zeros((), "int32"), value))
    pure = functional(body_fun, variables)
    value, values = jax.lax.fori_loop(lower, upper, lambda i, carry: pure(carry[1], i, carry[0]),
                                      (value, [v.raw for v in variables]))
    _finish(variables, values)
    return value


@op
def vectorized_map(function, elements):
    """Apply a function to every slice along the first axis at once, and stack the results.

    Args:
        function: of one argument; it may read Variables, not assign them.
        elements: any structure of tensors.
    """
    _checked("vectorized_map", function=function)
    return jax.vmap(lambda x: _read(function(x)))(_arrays(elements))


@op
def associative_scan(f, elems, reverse=False, axis=0):
    """All the partial results of an associative operation, in logarithmically many steps.

    Args:
        f: the operation, from two slices (or structures of them) to one.
        elems: any structure of tensors.
        reverse: start from the end.
        axis: along which.

    >>> associative_scan(lambda a, b: a + b, jnp.array([1, 2, 3]))
    Array([1, 3, 6], dtype=int32)
    """
    _checked("associative_scan", f=f)
    return jax.lax.associative_scan(f, _arrays(elems), reverse=reverse, axis=axis)


# Branches ----------------------------------------------------------------------------------------------------------


def _branches(name, index, functions, operands):
    operands = tuple(_arrays(x) for x in operands)
    variables = _written(*((f, *operands) for f in functions))
    pure = [functional(f, variables) for f in functions]
    outputs = [jax.eval_shape(lambda *a, f=f: f([v.raw for v in variables], *a)[0], *operands) for f in pure]
    if any(jax.tree.map(jnp.shape, o) != jax.tree.map(jnp.shape, outputs[0]) for o in outputs):
        raise ValueError(f"{name}: the branches must return the same structure of the same shapes. They return: "
                         + "; ".join(str(o) for o in outputs))
    run = [lambda values, *args, f=f: (lambda out, new: (_common(out, outputs), new))(*f(values, *args)) for f in pure]
    output, values = jax.lax.switch(index, run, [v.raw for v in variables], *operands)
    _finish(variables, values)
    return output


def _common(output, outputs):
    """The output in the dtypes that all branches can be given in."""
    return jax.tree.map(lambda x, *all: jnp.asarray(x, jnp.result_type(*all)), output, *outputs)


def cond(pred, true_fn, false_fn):
    """What `true_fn()` returns if the predicate holds, and else what `false_fn()` does; only that one runs.

    Args:
        pred: a truth value.
        true_fn, false_fn: functions without arguments, whose results have one structure and the same shapes. Where
            they use symbolic tensors from outside, both run and one result is chosen.

    >>> cond(True, lambda: 1.0, lambda: 2.0).item()
    1.0
    """
    _checked("cond", true_fn=true_fn, false_fn=false_fn)
    if any(_captures_symbolic(f) for f in (true_fn, false_fn)):
        if not any_symbolic((pred,)):
            return true_fn() if bool(pred) else false_fn()
        return tree.map_structure(lambda a, b: where(pred, a, b), true_fn(), false_fn())
    return _cond(pred, true_fn, false_fn)


def _captures_symbolic(fn) -> bool:
    """Whether a function refers to symbolic tensors around it."""
    names = inspect.getclosurevars(fn) if inspect.isfunction(fn) else None
    around = (*names.nonlocals.values(), *names.globals.values()) if names else ()
    return any_symbolic((*around, *getattr(fn, "args", ()), *(getattr(fn, "__defaults__", None) or ())))


@op
def _cond(pred, true_fn, false_fn):
    index = tensor(pred).reshape(()).astype(bool).astype("int32")
    return _branches("cond", index, (false_fn, true_fn), ())


_cond.graph_name = "cond"  # the node's name in a graph


@op
def switch(index, branches, *operands):
    """What the branch of the given number returns.

    Args:
        index: an integer; one out of range means the first or the last branch.
        branches: functions of the operands, whose results have one structure and the same shapes.
        *operands: any structures of tensors.
    """
    branches = list(branches)
    if not branches:
        raise ValueError("switch: pass one branch or more.")
    _checked("switch", **{f"branches[{i}]": f for i, f in enumerate(branches)})
    index = jnp.clip(tensor(index).reshape(()).astype("int32"), 0, len(branches) - 1)
    return _branches("switch", index, branches, operands)


__all__ = public(globals())
