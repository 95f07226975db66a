"""How many steps one call of the device runs: a small step costs less to compute than to call.

A step of a network of 20-32-10 neurons takes XLA:CPU 79 us called alone and 18 us in a loop of 16; one of 784-128-10
neurons 552 and 469; a small LSTM 426 and 291; a transformer of two layers 1,256 and 1,081. A loop compiles as fast as a
single step, and gives the same bits whatever the number of turns, since one executable serves every number. Steps
unrolled in its place take as many times longer to compile and are no faster.
"""

import math

from cornu.lowering.platform import calls_back, current_platform, inner_jaxprs

# Seconds per floating-point operation, per number written and per operation; how long one call may take.
_COSTS = {"cpu": (1e-11, 5e-10, 5e-7, 0.04), "gpu": (5e-14, 1e-11, 1e-6, 0.02), "tpu": (1e-14, 1e-11, 1e-6, 0.02)}
_MOST = 32  # steps per call: a further doubling gains less than a hundredth
_BYTES = 8 << 20  # of data per call: what is gathered in one go still lies in the processor's cache


def steps_at_once(jaxpr, bytes_per_step: int) -> int:
    """How many steps one call best runs, a power of two; a function of the traced step alone, so that a run repeats itself.

    Args:
        jaxpr: the step.
        bytes_per_step: the size of a batch.

    It is 1 where a loop is no gain: for large steps, for what calls back into Python, and on the CPU for convolutions,
    for which XLA has only a naive loop inside of others, 20 times slower.
    """
    platform = current_platform()
    per_flop, per_number, per_operation, slice_ = _COSTS.get(platform, _COSTS["gpu"])
    flops, numbers, operations, convolves = _cost(jaxpr)
    if platform == "cpu" and convolves or calls_back(jaxpr):
        return 1
    seconds = flops * per_flop + numbers * per_number + operations * per_operation
    most = min(_MOST, slice_ / seconds, _BYTES / max(bytes_per_step, 1)) if seconds else _MOST
    return 2 ** int(math.log2(most)) if most >= 2 else 1


def _cost(jaxpr) -> tuple:
    """Floating-point operations, numbers written, operations, and whether there is a convolution among them."""
    flops = numbers = operations = 0
    convolves = False
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        written = sum(math.prod(v.aval.shape) for v in equation.outvars if hasattr(v.aval, "shape"))
        inner = list(inner_jaxprs(equation))
        times = equation.params.get("length", 1) if name == "scan" else 100 if name == "while" else 1
        for part in map(_cost, inner):
            flops, numbers, operations = (a + times * b for a, b in zip((flops, numbers, operations), part))
            convolves |= part[3]
        if inner:
            continue
        if name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            flops += 2 * written * math.prod(equation.invars[0].aval.shape[i] for i in contracted)
        if name == "conv_general_dilated":
            kernel, filters = equation.invars[1].aval.shape, equation.params["dimension_numbers"].rhs_spec[0]
            flops, convolves = flops + 2 * written * math.prod(kernel) // kernel[filters], True
        numbers, operations = numbers + written, operations + 1
    return flops, numbers, operations, convolves
