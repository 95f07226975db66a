"""Stretches of files, of which nothing is read ahead of need and nothing past the end."""

import io
import os
import stat
import zlib

_STEP = 1 << 20


class FileError(ValueError):
    """A file is damaged, is not what its name says, or holds what is not opened."""


class FileTypeError(FileError, TypeError):
    """A part of a file or config is of the wrong type."""


class MissingFileError(FileError, FileNotFoundError):
    """There is no such file."""


class _File(io.FileIO):
    def __del__(self):
        self.close()  # whoever still holds a stretch holds the file, too; the last one closes it


class View:
    """A stretch of a file.

    Args:
        file: a seekable binary file.
        start: where the stretch begins.
        size: its length in bytes.
        shown: the file's name for errors.

    >>> View(io.BytesIO(b"abcdef"), 2, 3, "x").read()
    b'cde'
    """

    __slots__ = ("file", "start", "size", "shown")

    def __init__(self, file, start: int, size: int, shown: str):
        self.file, self.start, self.size, self.shown = file, start, size, str(shown)

    @classmethod
    def open(cls, path) -> "View":
        """All of a file. Raises MissingFileError, or FileError for a folder, a pipe or a device."""
        path = os.fsdecode(path)
        try:
            kind = os.stat(path)
        except FileNotFoundError:
            raise MissingFileError(f"There is no file {path!r}.") from None
        if not stat.S_ISREG(kind.st_mode):  # a pipe would hang, a device never end
            raise FileError(f"{path!r} is no file" + (", but a folder." if stat.S_ISDIR(kind.st_mode) else "."))
        file = _File(path, "r")
        return cls(file, 0, os.fstat(file.fileno()).st_size, path)

    @classmethod
    def of(cls, file) -> "View":
        """What an open binary file has from where it stands on; it is left open."""
        shown = f"The open file {name!r}" if isinstance(name := getattr(file, "name", None), str) else "The open file"
        held = io.BytesIO(file.read())  # readers of their own may read it while its owner moves it
        return cls(held, 0, held.getbuffer().nbytes, shown)

    def part(self, at: int, size: int) -> "View":
        """A stretch of this stretch."""
        self._check(at, size)
        return View(self.file, self.start + at, size, self.shown)

    def _check(self, at, count) -> None:
        if at < 0 or count < 0 or at + count > self.size:
            raise FileError(f"{self.shown} is damaged or cut short: it refers to bytes {at} to {at + count}, but has "
                            f"{self.size}.")

    def read(self, at: int = 0, count: int | None = None) -> bytes:
        """The bytes from `at` on, all of them if `count` is None."""
        count = self.size - at if count is None else count
        self._check(at, count)
        self.file.seek(self.start + at)
        data = self.file.read(count)
        while len(data) < count:
            more = self.file.read(count - len(data))
            if not more:
                raise FileError(f"{self.shown} became shorter while it was read.")
            data += more
        return data

    def read_into(self, at: int, buffer) -> None:
        """Fill a buffer with the bytes from `at` on."""
        rest = memoryview(buffer).cast("B")
        self._check(at, len(rest))
        self.file.seek(self.start + at)
        while len(rest):
            count = self.file.readinto(rest)
            if not count:
                raise FileError(f"{self.shown} became shorter while it was read.")
            rest = rest[count:]

    def crc32(self) -> int:
        """The checksum of the whole stretch, as zip files have it."""
        crc, buffer = 0, memoryview(bytearray(min(_STEP, self.size)))
        for at in range(0, self.size, _STEP):
            piece = buffer[:min(_STEP, self.size - at)]
            self.read_into(at, piece)
            crc = zlib.crc32(piece, crc)
        return crc
