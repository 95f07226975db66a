"""Several arrays written by one kernel, where XLA:CPU makes one for each and passes over memory anew.

An update of Adam reads w, m, v and the gradient and writes w, m and v: seven passes over memory, for which XLA:CPU takes
ten in three kernels, since w needs the new m and v. It can join kernels that read the same arrays, none of which needs
another's result. So here each result is computed from the arguments on its own, behind barriers that keep XLA from finding
the common parts before it drops them; LLVM finds those within the kernel. In a training step of 50 million weights the update
takes 24 ms instead of 40. `options_for` has XLA join kernels in the programs for which that is good.

XLA 0.12 takes the option and joins nothing, and the barriers cost it copies: Adam's update of 4 million weights takes 108 ms
instead of 8. So an XLA that is not known to join kernels is asked, and where it does not the plain text stays.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from cornu.lowering.platform import JOINED, at_least, equations, is_known_version, island, on_cpu
from cornu.lowering.probes import ask, fusions_with_results

_ARITHMETIC = {"abs", "add", "and", "broadcast_in_dim", "clamp", "convert_element_type", "copy", "div", "eq", "ge", "gt",
               "integer_pow", "jit", "le", "lt", "max", "min", "mul", "ne", "neg", "not", "or", "select_n", "sign", "sqrt",
               "square", "sub"}


def one_kernel(fn):
    """`fn`, a function of arrays and of mere arithmetic, whose results XLA:CPU can write in one kernel.

    Another function stays as it is: a sum, a product of matrices or a power is better computed once.
    """
    def called(*args):
        if not on_cpu() or not joins_kernels():
            return fn(*args)
        return _apart(fn, *args)
    return called


def _apart(fn, *args):
    """The results of `one_kernel`'s function, each computed from the arguments on its own."""
    (traced, shapes), arrays = jax.make_jaxpr(fn, return_shape=True)(*args), jax.tree.leaves(args)
    jaxpr = traced.jaxpr
    evaluated = lambda arrays, **part: jax.core.eval_jaxpr(jaxpr.replace(**part), traced.consts, *arrays)
    if not all(equation.primitive.name in _ARITHMETIC for equation in equations(jaxpr)):
        return jax.tree.unflatten(jax.tree.structure(shapes), evaluated(arrays))
    results = []
    for result in jaxpr.outvars:
        arrays = lax.optimization_barrier(arrays) if results else arrays
        results += evaluated(arrays, eqns=_needed(jaxpr, result), outvars=[result])
    return jax.tree.unflatten(jax.tree.structure(shapes), results)


@functools.cache
def joins_kernels() -> bool:
    """Whether the installed XLA writes several arrays by one kernel where it is told to."""
    return is_known_version() or ask("joins kernels", _joins)


def _joins() -> bool:
    def rule(w, m, g):
        m = 0.9 * m + g
        return w - m / (jnp.sqrt(jnp.square(g)) + 1), m

    shape = jax.ShapeDtypeStruct((400, 400), jnp.float32)
    traced = jax.jit(lambda *args: _apart(rule, *args)).lower(shape, shape, shape)
    return fusions_with_results(traced.compile(compiler_options=JOINED), shape.shape) == [2]


def _needed(jaxpr, result) -> list:
    """The equations that a result needs."""
    needed, found = {id(result)}, []
    for equation in reversed(jaxpr.eqns):
        if needed.intersection(map(id, equation.outvars)):
            needed.update(map(id, equation.invars))
            found.insert(0, equation)
    return found


_LARGE = 1 << 20  # numbers: a gradient of fewer may still lie in a core's cache when its update begins


def in_turn(rate, gradients) -> list:
    """The `rate` for each traced gradient's update, which for a large one is known only after the gradient before it.

    Backward propagation comes from the last gradient to the first. XLA:CPU runs what is ready in the order in which it
    became so: an update, ready with its gradient, before the products that all of the rest waits for. One layer later it
    fills the time in which a core has nothing to do. A step of 50 million weights and 64 rows takes 118 ms instead of 122.
    """
    if not on_cpu() or jax.device_count() > 1:  # of a gradient in parts one number would be fetched from another device
        return [rate] * len(gradients)
    rates, before = [], None
    for gradient in gradients:
        waits = before is not None and at_least(gradient.size, _LARGE)
        rates.append(_after(rate, before) if waits else rate)
        before = gradient if gradient.ndim > 1 and gradient.size else before
    return rates


@island  # else XLA joins the updates of two variables, since both read one gradient
def _after(x, other):
    """`x`, computed from a number of `other` in a way that XLA does not see through: what is left of its bits is 0."""
    first = lax.slice(lax.stop_gradient(other), (0,) * other.ndim, (1,) * other.ndim).reshape(()).astype(jnp.float32)
    return x + (lax.bitcast_convert_type(first, jnp.uint32) >> 31 >> 1).astype(x.dtype)
