"""Files that are written whole or not at all."""

import contextlib
import os
import pathlib


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


def _sync(path) -> None:
    with contextlib.suppress(PermissionError, IsADirectoryError):  # folders cannot be opened on Windows
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
