"""Compiled executables, kept on disk between runs, so that a second run of a script compiles nothing."""

import atexit
import os
import pathlib
import time
import zlib

import jax
from jax import monitoring

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
    atexit.register(_tidy, folder, _count_new(), time.time())
    return folder


def _count_new() -> list:
    """A list that grows by one with each executable that JAX keeps, or would if there were none of its name."""
    kept = []

    def listen(event, **_):
        if event == "/jax/compilation_cache/cache_misses":
            kept.append(event)

    monitoring.register_event_listener(listen)
    return kept


def _tidy(folder, kept: list, start: float) -> None:
    """At the end of a process: what cannot be read is deleted, and what has not been used for long.

    JAX warns of an entry that it cannot read and compiles anew, but leaves it where it is: the next process would meet it
    again. There is one where fewer files are new than executables were kept.
    """
    try:
        with os.scandir(folder) as found:
            new = sum(entry.stat().st_mtime >= start - 1 for entry in found)
    except OSError:
        return
    if new < len(kept):
        mend(folder)
    prune(folder, _LIMIT)


def mend(folder, seconds: float = 2.0) -> int:
    """Delete the entries that cannot be unpacked, the latest first, for at most so many seconds; returns how many."""
    unpack, deleted, end = _unpacker(), 0, time.monotonic() + seconds
    for path in sorted(pathlib.Path(folder).glob("*-cache"), key=_time_of, reverse=True):
        if time.monotonic() > end:
            break
        try:
            unpack(path.read_bytes())
        except OSError:  # another process was faster
            continue
        except Exception:
            path.unlink(missing_ok=True)
            deleted += 1
    return deleted


def _time_of(path) -> float:
    try:
        status = path.stat()
        return max(status.st_atime, status.st_mtime)
    except OSError:
        return 0.0


def _unpacker():
    """The inverse of what JAX packs executables with: Zstandard where there is a module for it."""
    try:
        from compression import zstd

        return zstd.decompress
    except ImportError:
        pass
    try:
        import zstandard

        return zstandard.ZstdDecompressor().decompress
    except ImportError:
        return zlib.decompress


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
