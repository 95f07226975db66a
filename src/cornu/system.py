"""What only some systems have, a function each; where it is missing, the plain way beside it is taken."""

import contextlib
import functools
import os
import pathlib
import signal
import sys


def lock(handle: int, wait: bool = False) -> bool:
    """Whether an open file is this process's alone from now on, until it is closed or the process ends, however that ends.

    Where there are no locks (Windows, some file systems), none is taken, and files are told apart by their names alone.

    Args:
        handle: the file's number.
        wait: whether to wait until whoever holds the file gives it back.
    """
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        return True
    except (ImportError, OSError):
        return False


def nameless_file(folder: os.PathLike, flags: int) -> int | None:
    """The number of a new file in a folder that has no name yet; None where there are none (all but Linux)."""
    if not os.path.exists("/proc/self/fd"):
        return None
    try:
        return os.open(folder, flags | os.O_TMPFILE, 0o666)
    except (AttributeError, OSError):  # not on this system, or not in this folder
        return None


def name_file(handle: int, path: pathlib.Path) -> None:
    """Give a file from `nameless_file` its name."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:  # with a folder's handle, and only so, Python lets the link in /proc be followed
        os.link(f"/proc/self/fd/{handle}", path.name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)


def keep_mode(handle: int, path: pathlib.Path) -> None:
    """Let a new file have the permissions of the one whose place it will take; where there are none, nothing."""
    with contextlib.suppress(FileNotFoundError, AttributeError):
        os.fchmod(handle, path.stat().st_mode & 0o777)


def exchange(first: os.PathLike | str, second: os.PathLike | str) -> bool:
    """Whether two files or folders of one file system changed names, in one step; where none can do that, they did not."""
    library = glibc()
    if library is None or not hasattr(library, "renameat2"):
        return False
    here, exchanged = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux
    return library.renameat2(here, os.fsencode(first), here, os.fsencode(second), exchanged) == 0


def sync(path: os.PathLike) -> None:
    """See a file, or the names in a folder, onto the disk; folders cannot be opened everywhere."""
    folder = os.path.isdir(path)
    with contextlib.suppress(PermissionError, IsADirectoryError):
        handle = os.open(path, os.O_RDONLY if folder else os.O_RDWR | getattr(os, "O_BINARY", 0))
        try:
            os.fsync(handle)  # which Windows refuses for a file that is open for reading only
        finally:
            os.close(handle)


def address_space_limit() -> int | None:
    """How many bytes of addresses this process may use, as `ulimit -v` says; None where nothing limits them."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        return None if limit == resource.RLIM_INFINITY else limit
    except (ImportError, AttributeError, OSError, ValueError):
        return None


@functools.cache
def glibc():
    """The C library where it is glibc, whose allocator can be told how to work; None elsewhere."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        import ctypes

        library = ctypes.CDLL("libc.so.6")
        library.gnu_get_libc_version  # absent from musl
        return library
    except (ImportError, OSError, AttributeError):
        return None


def end_by_interrupt() -> int:
    """Die of the signal that Ctrl-C sends, so that a calling shell stops too; gives the exit code where there is none."""
    if os.name == "posix":
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    return 130
