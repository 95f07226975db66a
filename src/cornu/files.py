"""Files that are written whole or not at all."""

import contextlib
import glob
import os
import pathlib
import secrets
import shutil

from cornu import system


@contextlib.contextmanager
def replacing(path):
    """Give a temporary path beside `path`; when the block ends well, its file takes the place of `path` in one step.

    The file is on the disk before it is renamed, so that after a crash there is the old file or the new one, never a
    part. When the block fails, the temporary file is removed and the old one stays.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield temporary
        system.sync(temporary)
        os.replace(temporary, path)
        system.sync(path.parent)  # the new name, too, must reach the disk
    finally:
        with contextlib.suppress(OSError):
            os.remove(temporary)


@contextlib.contextmanager
def writing(path):
    """Give a file to write, which takes the place of `path` in one step when the block ends well.

    Where the system can (Linux), the file has no name until it is whole: a process that is killed leaves nothing behind.
    Elsewhere the next one removes what it left.
    A link is followed, and the mode of an old file kept. The file is on the disk before it is named.
    """
    path = pathlib.Path(os.path.realpath(path))
    _sweep(path)
    temporary = path.with_name(f".{path.name[:100]}-{secrets.token_hex(4)}")
    flags = os.O_RDWR | getattr(os, "O_BINARY", 0)
    handle = system.nameless_file(path.parent, flags)
    nameless = handle is not None
    if not nameless:
        handle = os.open(temporary, flags | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with open(handle, "w+b", buffering=1 << 16) as file:
            system.lock(handle)
            yield file
            file.flush()
            system.keep_mode(file.fileno(), path)
            os.fsync(file.fileno())
            if nameless:
                system.name_file(file.fileno(), temporary)
        os.replace(temporary, path)
        system.sync(path.parent)
    finally:
        with contextlib.suppress(OSError):
            os.remove(temporary)


def put_folder(new, path) -> None:
    """Let a folder take the place of `path`, a folder or nothing: whoever looks finds the old one or the new one, whole.

    Where the system cannot exchange two names in one step, there is a moment without either; an interrupt then brings the
    old one back.
    """
    new, path = os.fspath(new), os.fspath(path)
    if not os.path.lexists(path):
        os.rename(new, path)
    elif not system.exchange(new, path):
        old = new + ".old"
        try:
            os.rename(path, old)
            os.rename(new, path)
        finally:
            if not os.path.lexists(path) and os.path.lexists(old):
                os.rename(old, path)
        shutil.rmtree(old, ignore_errors=True)
    system.sync(os.path.dirname(os.path.abspath(path)))


def _sweep(path) -> None:
    """Remove what processes that were killed have left of `path`; the living hold a lock on theirs."""
    for left in path.parent.glob(f".{glob.escape(path.name[:100])}-" + "[0-9a-f]" * 8):
        with contextlib.suppress(OSError):
            with open(left, "rb") as file:
                abandoned = system.lock(file.fileno())
            if abandoned:
                os.remove(left)
