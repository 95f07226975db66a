"""How much memory the device that programs run on has, and how much of it is free."""

import contextlib
import gc
import os
import pathlib
import sys

import jax


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
    if clean and sys.platform.startswith("linux"):
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)
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
    with contextlib.suppress(ImportError, OSError):
        import resource

        limit, used = resource.getrlimit(resource.RLIMIT_AS)[0], 1024 * _numbers("/proc/self/status").get("VmSize", 0)
        if limit != resource.RLIM_INFINITY:
            yield limit - used, limit


def _numbers(path) -> dict:
    """The lines `name: number ...` or `name number` of a file, empty where there is none."""
    found = {}
    with contextlib.suppress(OSError):
        for line in pathlib.Path(path).read_text().splitlines():
            words = line.replace(":", " ").split()
            if len(words) > 1 and words[1].isdigit():
                found[words[0]] = int(words[1])
    return found
