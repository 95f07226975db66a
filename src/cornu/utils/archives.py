"""Archives unpacked by a few lines of our own: nothing is written outside the folder, and nothing without bounds.

The standard library's filter for members was led out of its folder more than once (CVE-2025-4517: directories whose
names are longer than the system follows, links among them). Here no member is written through a link at all: files come
first, links last, and every directory on the way is looked at in the file system at the moment of writing.
"""

import bz2
import contextlib
import gzip
import lzma
import os
import pathlib
import shutil
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib

from cornu import config

_PIECE = 1 << 20
_LONGEST_READ = 64 << 20  # bytes of one header: tarfile reads those of a member's extended attributes at once
_SHARE = 0.9  # of the disk's room that an archive may take
_READERS = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\x00", lzma.open))
DAMAGES = (tarfile.TarError, zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, lzma.LZMAError, zlib.error, struct.error,
           gzip.BadGzipFile, NotImplementedError, RuntimeError, ValueError, IndexError, OverflowError, KeyError, MemoryError)


class UnsafeArchiveError(ValueError):
    """An archive holds what does not belong in one, or more than may be unpacked."""


def unpack(path, folder: pathlib.Path, formats=("tar", "zip")) -> bool:
    """Unpack a tar or zip archive into `folder`, which does not exist yet; False where it is neither.

    Directories, files, and links from one member to another are made; what is named twice is the later one. Raises
    UnsafeArchiveError for members that would land elsewhere, for devices, for links out of the folder or through other
    links, and for more than `config.set_archive_limits` allows or the disk has room for; one of `DAMAGES` or an OSError
    for what cannot be read. What was unpacked until then is removed.

    Args:
        path: the archive.
        folder: where its members go; its parent exists.
        formats: which of "tar" and "zip" are tried.
    """
    work = pathlib.Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name[:100]}-", suffix=".tmp"))
    try:
        place = _Place(path, work)
        if "tar" in formats and _is_tar(path):
            _unpack_tar(path, place)
        elif "zip" in formats and zipfile.is_zipfile(path):
            _unpack_zip(path, place)
        else:
            return False
        place.finish()
        os.chmod(work, 0o777 & ~place.mask)
        os.utime(work)
        os.rename(work, folder)
        return True
    finally:
        shutil.rmtree(work, ignore_errors=True)


class _Place:
    """A new folder that members are written into, each checked in the file system when it is."""

    def __init__(self, archive, root: pathlib.Path):
        self.archive, self.root = archive, root
        self.links: dict = {}  # names of members that are links, to (target, whether hard)
        self.members = self.bytes = 0
        self.limits = _limits(archive)
        self.room = int(_SHARE * shutil.disk_usage(root).free)
        self.mask = _umask()

    def parts(self, name: str) -> tuple:
        """A member's name as its parts; UnsafeArchiveError where it leads out of the folder."""
        found = tuple(part for part in name.split("/") if part not in ("", "."))
        strange = name.startswith("/") or ".." in found or "\0" in name
        if os.name == "nt":  # drives, streams, and the other separator
            strange = strange or "\\" in name or ":" in name
        if strange:
            raise self.unsafe(f"{name!r:.200}, which does not belong in an archive")
        return found

    def unsafe(self, what: str) -> UnsafeArchiveError:
        return UnsafeArchiveError(f"{self.archive} holds {what}. Nothing was unpacked.")

    def count(self) -> None:
        """One member more, or one directory that is made for one."""
        self.members += 1
        if self.members > self.limits["members"]:
            raise self.unsafe(f"more than {self.limits['members']:,} members; if it should, "
                              "raise the limit with config.set_archive_limits(members=...)")

    def folder(self, parts: tuple, told: bool = False) -> str:
        """The directory of these names, made where it is missing; on the way to it there is no link.

        Directories are counted, as members are, but for one that was `told`, which is a member: each takes room on the disk.
        """
        path = str(self.root)
        for n, part in enumerate(parts, 1):
            path = os.path.join(path, part)
            with contextlib.suppress(FileExistsError):
                os.mkdir(path)
                if n < len(parts) or not told:
                    self.count()
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                raise self.unsafe(f"{'/'.join(parts)!r:.200} below what is no directory")
        return path

    def free(self, parts: tuple) -> str:
        """The path of a file or link to be made; an older member of that name is removed."""
        if not parts:
            raise self.unsafe("a member without a name")
        path = os.path.join(self.folder(parts[:-1]), parts[-1])
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISDIR(os.lstat(path).st_mode):
                raise self.unsafe(f"{'/'.join(parts)!r:.200} as a directory and as a file")
            os.unlink(path)
        return path

    def expect(self, size: int) -> None:
        """So many bytes more are announced, or have come."""
        if self.bytes + size > min(self.limits["bytes"], self.room):
            raise self._too_large()

    def write(self, name: str, content, mode: int = 0o644, time: float | None = None) -> None:
        """A file with what can be read from `content`."""
        parts = self.parts(name)
        self.links.pop(parts, None)
        path = self.free(parts)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        with open(os.open(path, flags, (mode & 0o755 | 0o600) & ~self.mask), "wb") as file:
            while piece := content.read(_PIECE):
                self.expect(len(piece))
                self.bytes += len(piece)
                file.write(piece)
        if time is not None:
            with contextlib.suppress(OSError, OverflowError, ValueError):
                os.utime(path, (time, time))

    def _too_large(self):
        if self.room < self.limits["bytes"]:
            return self.unsafe(f"more than the {max(self.room, 0):,} bytes that the disk has room for")
        return self.unsafe(f"more than {self.limits['bytes']:,} bytes when unpacked; if it should, raise the limit with "
                           "config.set_archive_limits(bytes=...)")

    def link(self, name: str, target: str, hard: bool) -> None:
        """Take note of a link: it is made when all files are."""
        self.links[self.parts(name)] = (target, hard)

    def finish(self) -> None:
        """Make the links: each to a place in the folder, with no link on the way there or to its own place."""
        for parts, (target, hard) in list(self.links.items()):
            shown = f"the link {'/'.join(parts)!r:.200} to {target!r:.200}"
            aim = self._aim(() if hard else parts[:-1], target)
            if aim is None:
                raise self.unsafe(f"{shown}, which leads out of its folder")
            if any(aim[:n] in self.links for n in range(1, len(aim) + hard)):
                raise self.unsafe(f"{shown}, which leads through another link")
            path = self.free(parts)
            if not hard:
                os.symlink(target, path)
                continue
            source = os.path.join(self.folder(aim[:-1]), aim[-1])
            if not os.path.lexists(source) or not stat.S_ISREG(os.lstat(source).st_mode):
                raise self.unsafe(f"{shown}, which is no file of the archive")
            try:
                os.link(source, path)
            except OSError:  # a file system without them
                with open(source, "rb") as content:
                    self.write("/".join(parts), content)

    def _aim(self, start: tuple, target: str):
        """The names on the way from the folder to a link's target; None where it leads out.

        A `..` after a name is refused too: where the name is that of a link, it would lead elsewhere than it looks.
        """
        if target.startswith("/") or "\0" in target or os.name == "nt" and ("\\" in target or ":" in target):
            return None
        way, named = list(start), False
        for part in target.split("/"):
            if part == "..":
                if named or not way:
                    return None
                way.pop()
            elif part not in ("", "."):
                way.append(part)
                named = True
        return tuple(way) if way else None


def _limits(archive) -> dict:
    """How many bytes and members may come out of an archive."""
    size, told = os.path.getsize(archive), config.archive_limits()
    return {"bytes": told["bytes"] or max(50 * size, 10**9), "members": told["members"] or max(size // 50, 100_000)}


def _umask() -> int:
    """The process's mask of permissions, which can only be read by being set."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


# tar -------------------------------------------------------------------------------------------------------------


class _Bounded:
    """A file that is read from the front, in pieces of bounded size, up to a bounded place."""

    def __init__(self, file, most: int):
        self.file, self.most = file, most

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LONGEST_READ:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self.file.read(size)

    def seek(self, place: int, whence: int = 0) -> int:
        if whence or place > self.most:
            raise tarfile.ReadError(f"it goes on at byte {place:,}")
        return self.file.seek(place)

    def tell(self) -> int:
        return self.file.tell()

    def close(self) -> None:
        self.file.close()


@contextlib.contextmanager
def _opened(path):
    """The archive's content, unpacked as it is read."""
    limits = _limits(path)
    with open(path, "rb") as file:
        start = file.read(6)
        file.seek(0)
        reader = next((reader for mark, reader in _READERS if start.startswith(mark)), None)
        content = file if reader is None else reader(file)
        # Beside the files' bytes there are headers, and each file is filled up to blocks of 512 bytes.
        most = os.path.getsize(path) if reader is None else limits["bytes"] + 2048 * limits["members"]
        with content:
            yield _Bounded(content, most)


def _is_tar(path) -> bool:
    try:
        with _opened(path) as content, tarfile.open(fileobj=content, mode="r:"):
            return True
    except (OSError, *DAMAGES):
        return False


def _unpack_tar(path, place: _Place) -> None:
    with _opened(path) as content, tarfile.open(fileobj=content, mode="r:") as archive:
        while (member := archive.next()) is not None:
            archive.members.clear()  # tarfile keeps all it has seen
            place.count()
            if member.isdir():
                place.folder(place.parts(member.name), told=True)
            elif member.issym() or member.islnk():
                place.link(member.name, member.linkname, member.islnk())
            elif member.isfile():
                place.expect(member.size)
                place.write(member.name, archive.extractfile(member), member.mode, member.mtime)
            else:
                raise place.unsafe(f"the device {member.name!r:.200}, which does not belong in an archive")


# zip -------------------------------------------------------------------------------------------------------------


def _unpack_zip(path, place: _Place) -> None:
    with zipfile.ZipFile(path) as archive:
        place.expect(sum(member.file_size for member in archive.infolist()))
        for member in archive.infolist():
            place.count()
            if member.is_dir():
                place.folder(place.parts(member.filename), told=True)
                continue
            with archive.open(member) as content:
                place.write(member.filename, content, member.external_attr >> 16 or 0o644)
