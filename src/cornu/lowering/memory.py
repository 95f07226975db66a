"""How the host's allocator serves XLA:CPU; how much memory the device has, and how much of it is free."""

import contextlib
import functools
import gc
import os
import pathlib
import sys

import jax

from cornu import system
from cornu.lowering.platform import on_cpu


@functools.cache
def prepare_cpu() -> bool:
    """Keep freed memory in the process where the CPU computes, once; returns whether something was set.

    XLA:CPU takes its temporary buffers anew for every execution; glibc gives large ones back to the system each time,
    and the page faults cost up to half of a training step (MNIST's CNN: 59 ms of processor time a step without, 33
    with). On Linux with glibc this sets M_MMAP_MAX = 0 (no buffer is a mapping of its own), M_TRIM_THRESHOLD and
    M_TOP_PAD (the heap grows in large steps and does not shrink). It holds for the whole process, and freed memory
    stays with it: 722 MB resident for that CNN against 384. CORNU_MALLOC=0 in the environment switches it off.

    Buffers over 64 MB are mapped anew all the same for every thread but the main one: see `execute_on_main_thread`.
    """
    return on_cpu() and _mallopt(mmap_max=0, trim_threshold=2**31 - 1, top_pad=64 << 20)


def execute_on_main_thread() -> None:
    """Let XLA:CPU compute on the thread that asks for it, before any device is initialized.

    Only the main thread's heap serves buffers over 64 MB from what was freed before. An epoch of a GPT takes 1.9 s so, 2.6 with
    JAX's default of threads that dispatch, one of a ResNet-20 2.9 and 3.5; small steps lose up to a twentieth.
    (M_ARENA_MAX = 1 would help as well, but then all threads wait for one lock: XLA compiles 1.2 to 2 times as long. XLA's
    temporary memory in parts, by xla_multiheap_size_constraint_per_heap, cannot be kept in the cache on disk.)
    """
    if os.environ.get("CORNU_MALLOC", "1") != "0" and sys.platform.startswith("linux"):
        with contextlib.suppress(AttributeError):  # an option that a JAX may not have
            jax.config.update("jax_cpu_enable_async_dispatch", False)


_MALLOPT = dict(trim_threshold=-1, top_pad=-2, mmap_max=-4)  # the numbers in malloc.h


def _mallopt(**settings) -> bool:
    libc = None if os.environ.get("CORNU_MALLOC", "1") == "0" else system.glibc()
    return libc is not None and all([libc.mallopt(_MALLOPT[name], value) == 1 for name, value in settings.items()])


def total_memory() -> int | None:
    """The bytes that the device has, or that this process may take of them; None where that is not known."""
    if jax.default_backend() != "cpu":
        return _statistics().get("bytes_limit")
    limits = [value for _, value in _cpu_limits()]
    return min(limits) if limits else None


def free_memory(clean: bool = False) -> int | None:
    """The bytes that are free there; None where that is not known.

    Args:
        clean: give back first what Python and the allocator hold without need.
    """
    if clean:
        gc.collect()
    if jax.default_backend() != "cpu":
        found = _statistics()
        return found["bytes_limit"] - found["bytes_in_use"] if "bytes_limit" in found else None
    if clean and (libc := system.glibc()) is not None:
        libc.malloc_trim(0)
    free = [value for value, _ in _cpu_limits()]
    return max(0, min(free)) if free else None


def _statistics() -> dict:
    return jax.devices()[0].memory_stats() or {}


def _cpu_limits():
    """What is free and what there is, of the machine, of the container and of the process."""
    meminfo = _numbers("/proc/meminfo")
    if "MemAvailable" in meminfo:
        yield [1024 * (meminfo[f"Mem{kind}"] + meminfo[f"Swap{swap}"]) for kind, swap in (("Available", "Free"), ("Total", "Total"))]
    elif hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        yield [os.sysconf("SC_PAGE_SIZE") * os.sysconf(f"SC_{kind}PHYS_PAGES") for kind in ("AV", "")]
    container = pathlib.Path("/sys/fs/cgroup")
    with contextlib.suppress(OSError, ValueError):
        limit = int((container / "memory.max").read_text())  # "max" where there is none
        used = int((container / "memory.current").read_text()) - _numbers(container / "memory.stat").get("inactive_file", 0)
        yield limit - used, limit
    if (limit := system.address_space_limit()) is not None:
        yield limit - 1024 * _numbers("/proc/self/status").get("VmSize", 0), limit


def _numbers(path) -> dict:
    """The lines `name: number ...` or `name number` of a file, empty where there is none."""
    found = {}
    with contextlib.suppress(OSError):
        for line in pathlib.Path(path).read_text().splitlines():
            words = line.replace(":", " ").split()
            if len(words) > 1 and words[1].isdigit():
                found[words[0]] = int(words[1])
    return found
