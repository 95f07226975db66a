"""What depends on where a program runs: the platform, XLA's options for it, and borders between fusions."""

import contextlib
import contextvars
import functools
import math

import jax
import jax.numpy as jnp
import jaxlib

from cornu.lowering.backend_options import take_backend_options
from cornu.lowering.probes import takes

try:
    from jax._src.core import trace_ctx
except ImportError:  # moved: forward mode then needs `lowering_for("plain")`
    trace_ctx = None

_forced: contextvars.ContextVar = contextvars.ContextVar("cornu_platform", default=None)


def current_platform() -> str:
    """The platform that a program traced now will most likely run on: "cpu", "gpu" or "tpu".

    It chooses between formulations that are all correct everywhere, so an array that was put on another device than
    the default one costs speed there and nothing else. (`lax.platform_dependent` would be exact and doubles the tracing
    time of a large network, since both branches are traced and differentiated.)
    """
    if _forced.get() is not None:
        return _forced.get()
    device = jax.config.jax_default_device
    name = device if isinstance(device, str) else getattr(device, "platform", None) or jax.default_backend()
    return {"cuda": "gpu", "rocm": "gpu"}.get(name, name)


@contextlib.contextmanager
def lowering_for(name: str):
    """Trace as for the given platform: for export to another one, and for tests. "plain" is the portable text."""
    token = _forced.set(name)
    try:
        yield
    finally:
        _forced.reset(token)


def on_cpu() -> bool:
    """Whether to use what is fast on the CPU: its gradients are written by hand, for reverse mode alone."""
    return current_platform() == "cpu" and not in_forward_mode()


def in_forward_mode() -> bool:
    """Whether what is computed now is differentiated forwards: by `jax.jvp`, `jax.jacfwd` or `jax.hessian`.

    `jax.grad` does not count, whose traces are of another class.
    """
    trace = getattr(trace_ctx, "trace", None)
    while trace is not None:
        if type(trace).__name__ == "JVPTrace":
            return True
        trace = getattr(trace, "parent_trace", None)
    return False


# XLA:CPU's default convolution (a YNNPACK fusion) is 3 to 6 times slower than its Eigen path: a 3x3 over 128x13x13x32
# takes 8.4 ms against 3.3, its kernel's gradient 12.6 against 4.8 (PyTorch 5.4 and 3.7). Products stay with YNNPACK.
# LLVM's expensive passes are a twentieth of the time to compile, and no model is faster for them. Vectors as wide as the
# processor's, where XLA takes at most 256 bits: 2 to 6 % of an epoch of a ResNet-20, a CNN, a GRU; others the same.
_CPU_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT",
                "xla_llvm_disable_expensive_passes": True, "xla_cpu_prefer_vector_width": 512}
_KNOWN_VERSIONS = ("0.10.2",)  # of jaxlib: known to take all of the options, and to do what they say: nothing has to be tried


def is_known_version() -> bool:
    """Whether the installed XLA is one on which all that is measured here was measured."""
    return jaxlib.__version__ in _KNOWN_VERSIONS


def compiler_options(platform: str | None = None, kind: str = "train") -> dict:
    """The options for `jax.jit(..., compiler_options=...)` that make the program fast on a platform.

    Args:
        platform: "cpu", "gpu" or "tpu"; the one that programs run on now if None.
        kind: "train", "test" or "predict". All three are best served by the same options today.

    An option that the installed XLA does not know is left out.

    >>> compiler_options("tpu")
    {}
    """
    if (platform or current_platform()) != "cpu":
        return {}
    return _known(_CPU_OPTIONS)


def _known(options: dict) -> dict:
    """Those of the options that the installed XLA takes. LLVM's own are not tried: it ends the process at an unknown one."""
    known = is_known_version()
    return {name: value for name, value in options.items() if known or not name.startswith("--") and takes(name, value)}


# YNNPACK's products are slower than Eigen's where all have at most this many columns: 128x784 by 784x128 takes 204 us against
# 155, an epoch of such a network 0.31 s against 0.28; for 512 columns it is 0.36 ms against 0.44.
_FEW_COLUMNS, _EIGEN = 128, {"xla_cpu_experimental_ynn_fusion_type": ""}

# XLA:CPU copies every weight that an update overwrites and that a gradient was computed from before, unless it may look at the
# order of the whole program: of 50 million weights the update is 19 ms instead of 28. A ResNet-20 is 8 % slower with it.
_IN_PLACE = {"xla_cpu_copy_insertion_use_region_analysis": True}

# Kernels that XLA:CPU tiles take three times as long to compile as its other ones, and only large transposes are faster for
# it (4096x1024 8.5 ms instead of 34; of a convolution's arrays 1.1 instead of 2.5): without them an LSTM's step is compiled in
# 1.08 s instead of 1.22, and takes as long. (Without LLVM's unrolling it would be 0.9, but some kernels then take twice as
# long to run.)
_LARGE_TRANSPOSE = 1 << 19  # numbers
_PLAIN_KERNELS = take_backend_options({"xla_cpu_disable_tiled_emitter": True})

# XLA:CPU then joins kernels that read the same arrays, so that an update writes all of its results at once (`together.py`), but
# what several kernels need is written to memory and not computed again in each: an average pool takes 3.4 times as long, a
# CNN's epoch 1.2 times, a GPT's as long. Of an LSTM with 2.6 million weights an epoch is 0.9, of 50 million see there.
JOINED = take_backend_options({"xla_cpu_use_multi_output_fusion": True})

# LLVM writes out loops of up to a hundred turns, a fifth of what it compiles of a ResNet-20's, a GPT's or an LSTM's step: without
# long ones that is compiled in 0.8 to 0.9 of the time. Sums over so many that do not lie side by side are vectorized by them only.
_MANY_ACROSS = 1 << 16  # numbers
_LOOPS_STAY = take_backend_options({"--unroll-full-max-count=8": True})

# A program that runs once among hundreds of others: of a perceptron's training step compiled in 0.08 s instead of 0.37, of a
# ResNet-20's in 1.1 instead of 2.1, which then take 1 to 4 times as long to run.
_RARE_OPTIONS = {"xla_cpu_use_fusion_emitters": False, "xla_backend_optimization_level": 0}


def options_for(jaxpr, kind: str = "train", rare: bool = False) -> dict:
    """`compiler_options` for a program that is traced already: its matrix products decide who computes them.

    Args:
        rare: whether the program hardly ever runs, so that the time to compile it counts for more.
    """
    options = compiler_options(kind=kind)
    if current_platform() != "cpu":
        return options
    every = list(equations(jaxpr))
    if all(columns <= _FEW_COLUMNS for columns in _columns(every)):
        options |= _EIGEN
    if not any(e.primitive.name == "conv_general_dilated" for e in every):
        options |= _IN_PLACE
        if _updates_much(every):
            options |= JOINED
        if not any(e.primitive.name == "transpose" and e.outvars[0].aval.size >= _LARGE_TRANSPOSE for e in every):
            options |= _PLAIN_KERNELS
    if not any(_goes_across(e) for e in every):
        options |= _LOOPS_STAY
    if rare:
        options |= _RARE_OPTIONS
    return _known(options)


def _updates_much(equations) -> bool:
    """Whether what the results of `one_kernel` are computed from anew is a tenth of all that a program computes."""
    again = written = 0
    for equation in equations:
        numbers = sum(getattr(v.aval, "size", 0) for v in equation.outvars)
        again, written = again + numbers * (equation.primitive.name == "optimization_barrier"), written + numbers
    return again * 10 >= written > 0


def _goes_across(equation) -> bool:
    """Whether a reduction brings more than eight numbers together that do not lie side by side, for many results."""
    if not equation.primitive.name.startswith("reduce_") or "axes" not in equation.params:
        return False
    axes, shape = equation.params["axes"], equation.invars[0].aval.shape
    return len(shape) - 1 not in axes and math.prod(shape) >= _MANY_ACROSS and math.prod(shape[a] for a in axes) > 8


def _columns(equations):
    """The number of columns of every product of matrices."""
    for equation in equations:
        if equation.primitive.name == "dot_general" and min(v.aval.ndim for v in equation.invars) > 1:
            (left, _), _ = equation.params["dimension_numbers"]
            transposed = 0 in left  # the gradient of a kernel, which comes out the other way round
            yield (equation.outvars[0].aval.shape or (1,))[0 if transposed else -1]


def calls_back(jaxpr) -> bool:
    """Whether a traced program calls functions of Python while it runs, which may raise then."""
    return any(equation.primitive.name in ("pure_callback", "io_callback", "debug_callback") for equation in equations(jaxpr))


def equations(jaxpr):
    """Every equation of a program and of the programs inside it."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in inner_jaxprs(equation):
            yield from equations(inner)


def inner_jaxprs(equation):
    """The programs inside of an equation: what it calls, loops over or chooses between."""
    for value in equation.params.values():
        for inner in value if isinstance(value, (tuple, list)) else (value,):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield inner


def island(fn):
    """`fn` as a computation of its own, which XLA neither fuses with its neighbours nor computes twice.

    XLA:CPU fuses greedily and repeats a cheap producer in each of its users: a pool's index of the winner is found
    anew for every element of the gradient (4.1 ms instead of 1.6). `lax.optimization_barrier` does not help, since
    XLA:CPU drops it before it fuses. No convolution may be inside: XLA:CPU has only a naive loop for it there.
    """
    def called(*args):
        if not on_cpu():
            return fn(*args)
        with _inlined("false"):
            return jax.jit(fn)(*args)
    return called


def whole(fn):
    """`fn` for an island, and of it all that `fn` calls, such as `jnp.where`: else each of those is an island too."""
    def called(*args):
        with _inlined(None):
            return fn(*args)
    return called


def _inlined(value):
    try:
        from jax.experimental.xla_metadata import set_xla_metadata
    except ImportError:
        return contextlib.nullcontext()
    return set_xla_metadata(inlineable=value)


@island
def materialized(x):
    """`x` as it is, but written to memory once instead of being computed anew by each of its users.

    For functions that JAX does not differentiate itself: its own gradients pass by what is returned as it came.
    """
    return x


def at_least(size, numbers: int) -> bool:
    """Whether a size is known to be as large: one that is a symbol, while shapes are inferred, may not be compared."""
    return isinstance(size, int) and size >= numbers


_MANY_NUMBERS = 1 << 16  # fewer lie in the cache


def recomputed(fn):
    """`fn`, a function of each number of one array, whose gradient is computed from that array anew, in one kernel.

    JAX keeps what the gradient needs of every step inside; XLA:CPU then makes a kernel and an array of each that takes long.
    A transformer's 128 > 512 > 128 with gelu between, all gradients: 11.4 ms, not 12.2.
    """
    @jax.custom_vjp
    def call(x):
        return fn(x)

    slope = island(lambda x, g: jax.vjp(fn, x)[1](g)[0])
    call.defvjp(lambda x: (fn(x), x), lambda x, g: (slope(x, g),))
    return lambda x: call(x) if on_cpu() and x.dtype == jnp.float32 and at_least(x.size, _MANY_NUMBERS) else fn(x)
