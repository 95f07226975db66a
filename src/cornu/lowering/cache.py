"""Compiled executables, kept on disk between runs, so that a second run of a script compiles nothing."""

import atexit
import os
import pathlib

import jax

from cornu import config

_LIMIT = 2 << 30  # bytes; the least recently used executables go first


def use_disk_cache() -> pathlib.Path | None:
    """Let JAX keep its executables in cornu's home; returns the folder, or None where it is switched off.

    A cache that the user set in JAX's own configuration is left as it is. CORNU_CACHE=0 switches it off. No device is
    initialized.
    """
    if os.environ.get("CORNU_CACHE", "1") == "0" or jax.config.jax_compilation_cache_dir:
        return None
    folder = config.home() / "executables"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # a read-only home: nothing is kept
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)  # many small ones make up a slow start
    atexit.register(prune, folder, _LIMIT)
    return folder


def prune(folder, limit: int) -> int:
    """Delete the executables that were used longest ago until the folder holds at most `limit` bytes; returns how many."""
    entries, deleted = [], 0
    try:
        with os.scandir(folder) as found:
            for entry in found:
                status = entry.stat()
                entries.append((max(status.st_atime, status.st_mtime), status.st_size, entry.path))
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= limit:
                break
            os.unlink(path)
            total, deleted = total - size, deleted + 1
    except OSError:  # another process prunes at the same time
        pass
    return deleted
