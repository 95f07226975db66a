"""Files that are written whole or not at all."""

import contextlib
import glob
import os
import pathlib
import secrets


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
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)  # the new name, too, must reach the disk
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
    flags, nameless = os.O_RDWR | getattr(os, "O_BINARY", 0), os.path.exists("/proc/self/fd")
    try:
        handle = os.open(path.parent, flags | os.O_TMPFILE, 0o666) if nameless else None
    except (AttributeError, OSError):  # no such thing on this system or in this folder
        nameless = False
    if not nameless:
        handle = os.open(temporary, flags | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with open(handle, "w+b", buffering=1 << 16) as file:
            _lock(handle)
            yield file
            file.flush()
            with contextlib.suppress(FileNotFoundError, AttributeError):
                os.fchmod(file.fileno(), path.stat().st_mode & 0o777)
            os.fsync(file.fileno())
            if nameless:
                _name(file.fileno(), temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    finally:
        with contextlib.suppress(OSError):
            os.remove(temporary)


def _lock(handle) -> bool:
    """Whether the file is this process's alone from now on, until it is closed."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except (ImportError, OSError):  # Windows, or a file system without locks
        return False


def _sweep(path) -> None:
    """Remove what processes that were killed have left of `path`; the living hold a lock on theirs."""
    for left in path.parent.glob(f".{glob.escape(path.name[:100])}-" + "[0-9a-f]" * 8):
        with contextlib.suppress(OSError), open(left, "rb") as file:
            if _lock(file.fileno()):
                os.remove(left)


def _name(handle, path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    try:  # with a folder's handle, and only so, Python lets the link in /proc be followed
        os.link(f"/proc/self/fd/{handle}", path.name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)


def _sync(path) -> None:
    with contextlib.suppress(PermissionError, IsADirectoryError):  # folders cannot be opened on Windows
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
