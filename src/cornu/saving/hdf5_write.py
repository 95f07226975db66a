"""HDF5, written in one pass: HDF5's library lays the file out, and the arrays are streamed to the places it gave them."""

import io
import os
import queue
import threading
import zlib

import numpy as np

_PAGE = 4096
_WINDOW = 32 << 20


class _Pages(io.RawIOBase):
    """A file of which only the pages that were written are kept: all but the arrays themselves."""

    def __init__(self):
        self.pages, self.at, self.size = {}, 0, 0

    def readable(self):
        return True

    writable = seekable = readable

    def tell(self):
        return self.at

    def seek(self, offset, whence=0):
        self.at = offset + (0, self.at, self.size)[whence]
        return self.at

    def truncate(self, size=None):
        self.size = self.at if size is None else size
        return self.size

    def _stretches(self, start, count):
        """The pages that a stretch covers: (number, from, to, offset in the stretch)."""
        done = 0
        while done < count:
            number, first = divmod(start + done, _PAGE)
            last = min(_PAGE, first + count - done)
            yield number, first, last, done
            done += last - first

    def write(self, data):
        data = memoryview(data).cast("B")
        for number, first, last, done in self._stretches(self.at, len(data)):
            page = self.pages.setdefault(number, bytearray(_PAGE))
            page[first:last] = data[done:done + last - first]
        self.at += len(data)
        self.size = max(self.size, self.at)
        return len(data)

    def read_at(self, start, count) -> bytes:
        return b"".join(self.pages[n][a:b] if n in self.pages else bytes(b - a)
                        for n, a, b, _ in self._stretches(start, count))

    def readinto(self, buffer):
        count = max(min(len(buffer), self.size - self.at), 0)
        buffer[:count] = self.read_at(self.at, count)
        self.at += count
        return count


def laid_out(groups: dict, arrays: dict) -> tuple[int, list]:
    """The size of an HDF5 file and its content in order: bytes, and arrays to be written as they lie in memory.

    Args:
        groups: path -> attributes (a dict).
        arrays: path -> NumPy or JAX array.
    """
    import h5py

    pages, places = _Pages(), []
    plain = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plain.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    plain.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    with h5py.File(pages, "w") as file:
        for path, attributes in groups.items():
            group = file.require_group(path) if path else file
            for name, value in attributes.items():
                group.attrs[name] = value
        for path, value in arrays.items():
            dtype = np.dtype(value.dtype)
            # HDF5 has no such floats: Keras, too, stores their bytes and names the dtype.
            special = dtype.name if dtype.kind == "V" or dtype.name.startswith(("bfloat", "float8")) else None
            stored = f"V{dtype.itemsize}" if special else dtype
            if value.ndim:
                data = file.create_dataset(path, value.shape, stored, dcpl=plain)
            else:  # h5py does not heed `dcpl` here
                data = file.create_dataset(path, data=np.asarray(value).view(stored))
            if special:
                data.attrs["dtype"] = special
            if value.ndim and data.size:
                places.append((data.id.get_offset(), data.id.get_storage_size(), value))
    content, at = [], 0
    for start, size, value in sorted(places, key=lambda place: place[0]):
        content += [pages.read_at(at, start - at), value]
        at = start + size
    return pages.size, [*content, pages.read_at(at, pages.size - at)]


def as_bytes(piece) -> memoryview:
    """A piece of the content as bytes, without a copy where the array lies in one piece."""
    if isinstance(piece, (bytes, bytearray)):
        return memoryview(piece)
    return memoryview(np.ascontiguousarray(piece).reshape(-1).view(np.uint8))


def put(file, content: list) -> int:
    """Write the content at the file's place; returns its checksum, which is worked out beside.

    The disk is told to begin after every few MB, so that there is little to wait for at the end.
    """
    crc, waiting = [0], queue.Queue(2)

    def add_up():
        while (data := waiting.get()) is not None:
            crc[0] = zlib.crc32(data, crc[0])

    adder = threading.Thread(target=add_up)
    adder.start()
    try:
        begun = file.tell()
        for piece in content:
            data = as_bytes(piece)
            waiting.put(data)
            for at in range(0, len(data), _WINDOW):
                file.write(data[at:at + _WINDOW])
                if hasattr(os, "posix_fadvise") and (end := file.tell()) - begun >= _WINDOW:
                    os.posix_fadvise(file.fileno(), begun, end - begun, os.POSIX_FADV_DONTNEED)
                    begun = end
    finally:
        waiting.put(None)
        adder.join()
    return crc[0]


def put_member(archive, info, size: int, content: list) -> None:
    """Write the content into a zip archive as it is; `ZipFile.open` would take the checksum before it writes on."""
    file = archive.fp
    info.file_size = info.compress_size = size
    info.header_offset, info.CRC = file.tell(), 0
    file.write(info.FileHeader())
    info.CRC = put(file, content)
    archive.start_dir = file.tell()
    file.seek(info.header_offset)
    file.write(info.FileHeader())
    file.seek(archive.start_dir)
    archive.filelist.append(info)
    archive.NameToInfo[info.filename] = info
