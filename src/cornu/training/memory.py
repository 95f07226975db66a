"""Memory of a step: whether it will do, what a step needs, and the largest batch that fits."""

import ctypes
import functools

import jax
import jax.numpy as jnp
import numpy as np

from cornu import errors
from cornu.lowering import free_memory, on_cpu, total_memory


def needed(compiled) -> int | None:
    """The bytes that an executable takes beside its arguments, by XLA's own analysis."""
    found = compiled.memory_analysis()
    if found is None:
        return None
    return found.temp_size_in_bytes + found.output_size_in_bytes - found.alias_size_in_bytes


def check(compiled, kind: str) -> None:
    """Raise MemoryError for an executable that cannot run on the CPU: Linux would end the process without a word."""
    if jax.default_backend() == "cpu":
        need, free = needed(compiled), free_memory()
        if need is not None and free is not None and need > free and need > free_memory(clean=True):
            raise MemoryError


def needed_of_host(compiled) -> int | None:
    """What the host's allocator is to have room for before a call.

    None where the device has memory of its own, and for little: Python itself has ended before that is not there.
    """
    need = needed(compiled) if on_cpu() else None
    return None if need is None or need < 1 << 18 else need + (need >> 3) + (1 << 16)  # more, for what XLA's libraries take


def has_room(need: int | None) -> bool:
    """Whether the host's allocator has so much at this moment."""
    if need is None:
        return True
    pointer = _allocate(need)
    _free(pointer)
    return bool(pointer)


_allocate, _free = ctypes.pythonapi.PyMem_RawMalloc, ctypes.pythonapi.PyMem_RawFree
_allocate.argtypes, _allocate.restype = [ctypes.c_size_t], ctypes.c_void_p
_free.argtypes, _free.restype = [ctypes.c_void_p], None


@functools.cache
def shows_at_once() -> bool:
    """Whether what fails in a call has failed when the call returns."""
    return on_cpu() and not getattr(jax.config, "jax_cpu_enable_async_dispatch", True)


def copies(values: list) -> list | None:
    """Copies of the state, on the host, for the span of a run that may lose it; None where they would take much of it."""
    free = free_memory() if jax.default_backend() == "cpu" else None
    if free is not None and sum(v.nbytes for v in values) > free / 4:
        return None
    return [jnp.array(v, copy=True) if _is_key(v) else np.array(v) for v in values]  # by NumPy: nothing is compiled


def _is_key(value) -> bool:
    return jnp.issubdtype(value.dtype, jax.dtypes.prng_key)


def explained(error, step, compiled, key, rest):
    """The error of a call with the arguments `rest` behind the state and the seeds, or a MemoryError in its place that says what the step needs, what there is and which batch fits."""
    if not isinstance(error, MemoryError) and not any(text in str(error) for text in errors.OUT_OF_MEMORY):
        return error
    batch = rest[1] if key[0] != "rows" else rest[2]  # the data itself, or arrays whose rows it is
    size = jax.tree.leaves(batch)[0].shape[0] if key[0] != "rows" else key[1]
    what = {"train": "A training", "test": "An evaluation", "predict": "A prediction"}[step.kind]
    free, total = free_memory(clean=True), total_memory()
    need = needed(compiled) if compiled is not None else None
    lines = [f"{what} step with a batch of {size} does not fit into the memory of the {jax.default_backend().upper()}."]
    if need is not None and free is not None:
        lines.append(f"It needs {_bytes(need)} beside weights and data; {_bytes(free)} of {_bytes(total)} are free.")
    if str(error):
        lines.append(f"XLA says: {str(error).splitlines()[0]:.200}")
    largest = _largest(step, batch, size, need, free) if need and free is not None and need > free else None
    lines.append("Not even a batch of 1 fits: use a smaller model, or mixed precision." if largest == 0 else
                 f"The largest batch that fits is {largest}." if largest else "Use a smaller batch_size.")
    if not any(v._value.is_deleted() for v in step.written):
        lines[-1] += " The model is as it was before the step."
    return MemoryError("\n".join(lines))


def _largest(step, batch, size: int, need: int, free: int) -> int | None:
    """The largest batch that fits, from what a half as large one needs: the need grows in proportion, from a fixed part on."""
    def need_of(rows: int) -> int:
        data = jax.tree.map(lambda a: jax.ShapeDtypeStruct((rows, *a.shape[1:]), a.dtype), batch)
        donated = (0,) if step.kind == "train" else ()
        return needed(jax.jit(step.plain, donate_argnums=donated).trace(*step.abstract(data)).lower().compile())

    try:
        small = max(1, size // 2)
        half = need_of(small)
        slope = max((need - half) / max(size - small, 1), 1.0)
        guess = int(min(size - 1, (free - need) / slope + size))
        for _ in range(4):
            if guess < 1:
                return 0 if need_of(1) > free else 1
            if need_of(guess) <= free:
                return guess
            guess = guess * 9 // 10
    except Exception:  # what cannot be compiled smaller either: the batch's size may be a part of the model
        pass
    return None


def abstract(x):
    """The shape and dtype of an array, to compile for."""
    return jax.ShapeDtypeStruct(x.shape, x.dtype, weak_type=getattr(x, "weak_type", False))


def _bytes(number: float) -> str:
    for unit in ("bytes", "kiB", "MiB", "GiB"):
        if number < 1024 or unit == "GiB":
            return f"{number:,.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1024
