"""Several arrays written by one kernel, where XLA:CPU makes one for each and passes over memory anew.

An update of Adam reads w, m, v and the gradient and writes w, m and v: seven passes over memory, for which XLA:CPU takes
ten in three kernels. `together` is a fusion of nothing but its operands, as XLA itself would write it; XLA then fuses
into it what computes them. 12 matrices of 1024 x 1024 take 10.4 ms instead of 16.7, an epoch of a small LSTM a tenth
less. XLA holds quotients and roots for too expensive to join it, so those are told in cheap operations (as fast).

XLA:CPU stops the process where all of such a fusion's results but one are left over. So this is done only where the caller
vouches that the program uses what it computes (`results_kept`) and then asks whether that is so (`all_used`).
"""

import contextlib
import contextvars
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cornu.lowering.platform import inner_jaxprs, on_cpu

_LARGE = 1 << 17  # numbers: smaller arrays lie in the cache, where roots and quotients told cheaply bring nothing
_kept: contextvars.ContextVar = contextvars.ContextVar("cornu_results_kept", default=False)


@contextlib.contextmanager
def results_kept(yes: bool = True):
    """Whether what is traced now belongs to a program that uses all results of every `one_kernel`."""
    token = _kept.set(yes)
    try:
        yield
    finally:
        _kept.reset(token)


def one_kernel(fn):
    """`fn`, a function of arrays with different results, which XLA:CPU computes in one kernel as far as it can.

    Results that have the shape of the first argument go together: of large arrays, and of one number, those made of
    arithmetic, comparisons, quotients and square roots; of others those that need neither of the last two. What is left
    is computed after them.
    """
    def called(*args):
        if not _kept.get() or not on_cpu() or _together() is None:
            return fn(*args)
        (traced, shapes), arrays = jax.make_jaxpr(fn, return_shape=True)(*args), jax.tree.leaves(args)
        values = _evaluated(traced.jaxpr, [*traced.consts, *arrays], arrays[0].shape)
        return jax.tree.unflatten(jax.tree.structure(shapes), values)
    return called


def _evaluated(jaxpr, args, shape) -> list:
    values, cheap = dict(zip([*jaxpr.constvars, *jaxpr.invars], args)), {*jaxpr.constvars, *jaxpr.invars}
    for equation in jaxpr.eqns:
        if cheap.issuperset(_variables(equation.invars)) and _is_cheap(equation):
            cheap.update(equation.outvars)
    first = dict.fromkeys(v for v in _variables(jaxpr.outvars)
                          if v in cheap and v.aval.shape == shape != () and v.aval.size and v.aval.dtype == jnp.float32)
    if len(first) > 1:
        needed, before = set(first), []
        for equation in reversed(jaxpr.eqns):
            if needed.intersection(equation.outvars):
                needed.update(_variables(equation.invars))
                before.insert(0, equation)
        for equation in before:
            _evaluate(equation, values, _TOLD_CHEAPLY.get(equation.primitive.name) if equation.outvars[0].aval.ndim else None)
        values.update(zip(first, _together().bind(*map(values.get, first))))
    for equation in jaxpr.eqns:
        if equation.outvars[0] not in values:
            _evaluate(equation, values)
    return [_read(v, values) for v in jaxpr.outvars]


def _is_cheap(equation) -> bool:
    """Whether XLA lets an operation join a kernel that writes several arrays; all of scalars may, since they come before it."""
    result, name = equation.outvars[0].aval, equation.primitive.name
    told = result.dtype == jnp.float32 and (result.size >= _LARGE or result.size == 1)
    return result.ndim == 0 or name in _CHEAP or told and name in _TOLD_CHEAPLY


def _variables(places) -> list:
    return [v for v in places if not hasattr(v, "val")]  # which literals have


def _read(place, values):
    return place.val if hasattr(place, "val") else values[place]


def _evaluate(equation, values, fn=None) -> None:
    fn = fn or functools.partial(equation.primitive.bind, **equation.params)
    results = fn(*[_read(v, values) for v in equation.invars])
    values.update(zip(equation.outvars, results if equation.primitive.multiple_results else [results]))


def all_used(jaxpr) -> bool:
    """Whether a traced program uses all results of every `one_kernel` in it."""
    if not on_cpu() or _together() is None:
        return True
    from jax.interpreters.partial_eval import dce_jaxpr

    @functools.cache
    def whole(jaxpr, pruned=False):
        if not pruned:
            jaxpr, _ = dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))  # goes into what is called as well, but not into loops
        used = {v for places in (jaxpr.outvars, *(e.invars for e in jaxpr.eqns)) for v in _variables(places)}
        return all(used.issuperset(e.outvars) if e.primitive is _together() else
                   all(whole(inner, e.primitive.name == "jit") for inner in inner_jaxprs(e)) for e in jaxpr.eqns)

    return whole(jaxpr)


@functools.cache
def _together():
    """The identity of several arrays, a primitive of JAX; None where this jaxlib lacks XLA's own dialect of MLIR."""
    try:
        from jax._src.core import Primitive  # the public way imports all of jax.extend with it, 22 ms
        from jax.interpreters import ad, batching, mlir
        from jax.interpreters.partial_eval import dce_jaxpr as _  # what `all_used` needs
        from jaxlib.mlir import ir
        from jaxlib.mlir.dialects import mhlo
    except ImportError:
        return None

    def lowered(ctx, *arrays):
        module, types = ctx.module_context, [array.type for array in arrays]
        alone = getattr(module.axis_context, "num_devices", None) == 1  # XLA's partitioner does not look into fusions
        if not alone or module.lowering_parameters.for_export or len(set(types)) > 1:
            return arrays
        mhlo.register_mhlo_dialect(ir.Context.current)
        fusion = mhlo.FusionOp(types, arrays, fusion_kind=ir.Attribute.parse("#mhlo<fusion_kind kLoop>"))
        block = fusion.regions[0].blocks.append(*types)
        with ir.InsertionPoint(block):
            mhlo.ReturnOp(list(block.arguments))
        return fusion.results

    together = Primitive("together")
    together.multiple_results = True
    together.def_impl(lambda *arrays: list(arrays))
    together.def_abstract_eval(lambda *arrays: list(arrays))
    ad.primitive_jvps[together] = lambda arrays, tangents: (together.bind(*arrays), [ad.instantiate_zeros(t) for t in tangents])
    batching.primitive_batchers[together] = lambda arrays, places: (together.bind(*arrays), places)
    mlir.register_lowering(together, lambda ctx, *arrays: arrays)
    mlir.register_lowering(together, lowered, platform="cpu")
    return together


# In operations of `lax` and constants of one number: those of `jnp` take JAX fifteen times as long to trace.


def _bits(x):
    return lax.bitcast_convert_type(x, jnp.int32)


def _number(bits):
    return lax.bitcast_convert_type(bits, jnp.float32)


def _sqrt(x):
    """The root to 2 units in the last place, as x / sqrt(x): by Newton's method, from half of the exponent."""
    half = lax.mul(x, 0.5)
    inverse = _number(lax.sub(np.int32(0x5F3759DF), lax.shift_right_logical(_bits(x), np.int32(1))))
    for _ in range(3):
        inverse = lax.mul(inverse, lax.sub(1.5, lax.mul(lax.mul(half, inverse), inverse)))
    root = lax.select(lax.lt(x, 0.0), lax.full_like(x, np.nan), lax.mul(x, inverse))
    return lax.select(lax.lt(x, np.inf), root, x)


def _div(x, y):
    """The quotient to 2 units in the last place, by Newton's method too; NaN for a y of 0."""
    inverse = _number(lax.sub(np.int32(0x7EF311C7), _bits(y)))
    for _ in range(3):
        inverse = lax.mul(inverse, lax.sub(2.0, lax.mul(y, inverse)))
    quotient = lax.mul(x, inverse)
    quotient = lax.add(quotient, lax.mul(inverse, lax.sub(x, lax.mul(y, quotient))))
    return lax.select(lax.ge(lax.abs(y), 2.0 ** 126), lax.mul(x, 0.0), quotient)  # where the inverse would be no normal number


_CHEAP = {"abs", "add", "and", "broadcast_in_dim", "clamp", "convert_element_type", "copy", "eq", "ge", "gt", "le", "lt", "max", "min",
          "mul", "ne", "neg", "not", "or", "select_n", "sign", "square", "sub"}
_TOLD_CHEAPLY = {"sqrt": _sqrt, "div": _div}
