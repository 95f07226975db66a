"""Readers for the formats that data sets come in. Nothing here runs code that a file brings along."""

import io
import json
import lzma
import pathlib
import pickle
import struct
import tarfile
import zipfile
import zlib

import numpy as np


def npz(path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file; object arrays are refused."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def stored_npz(path) -> dict[str, np.ndarray]:
    """The arrays of an uncompressed .npz straight from the file: three times as fast as through `zipfile`."""
    arrays = {}
    with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            file.seek(member.header_offset + 26)
            file.seek(sum(struct.unpack("<HH", file.read(4))), 1)  # past the name and the extra field
            arrays[member.filename.removesuffix(".npy")] = np.lib.format.read_array(file, allow_pickle=False)
    return arrays


def any_npz(path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file, compressed or not."""
    with zipfile.ZipFile(path) as archive:
        stored = all(member.compress_type == zipfile.ZIP_STORED for member in archive.infolist())
    return stored_npz(path) if stored else npz(path)


def object_npz(path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file whose object arrays hold lists of numbers, read by a narrow unpickler."""
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            with archive.open(name) as file:
                head = np.lib.format.read_magic(file)
                read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[head]
                shape, _, dtype = read(file)
                if dtype.hasobject:
                    array = _Unpickler(io.BytesIO(file.read()), encoding="latin1").load().reshape(shape)
                else:
                    array = np.frombuffer(file.read(), dtype).reshape(shape)
            arrays[name.removesuffix(".npy")] = array
    return arrays


def idx(content: bytes) -> np.ndarray:
    """An array in the IDX format: two zero bytes, type 8 (uint8), rank, big-endian sizes, values."""
    if content[:3] != b"\0\0\x08":
        raise ValueError("this is no IDX file of unsigned bytes.")
    rank = content[3]
    shape = struct.unpack(f">{rank}I", content[4 : 4 + 4 * rank])
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)


def png(content: bytes) -> np.ndarray:
    """The pixels (rows, columns, 3) of a plain 8-bit RGB picture."""
    position, data = 8, []
    while position < len(content):
        length, kind = struct.unpack(">I4s", content[position : position + 8])
        body = content[position + 8 : position + 8 + length]
        if kind == b"IHDR":
            width, height, *layout = struct.unpack(">IIBBBBB", body)
            if layout != [8, 2, 0, 0, 0]:
                raise ValueError("only plain 8-bit RGB PNG files are read here.")
        elif kind == b"IDAT":
            data.append(body)
        position += 12 + length
    lines = np.frombuffer(zlib.decompress(b"".join(data)), np.uint8).reshape(height, 1 + 3 * width)
    filters, pixels = lines[:, 0], lines[:, 1:].reshape(height, width, 3).copy()
    left = filters == 1  # "each byte less its left neighbour": all such rows at once, by running sums modulo 256
    pixels[left] = np.cumsum(pixels[left], axis=1, dtype=np.uint8)
    for row in np.flatnonzero(filters > 1):
        _undo_filter(filters[row], pixels[row], pixels[row - 1] if row else np.zeros_like(pixels[0]))
    return pixels


def _undo_filter(kind, row, above):
    """Rows that lean on the row above: up (2), average (3), Paeth (4), pixel by pixel where they also lean left."""
    if kind == 2:
        row += above
        return
    a = c = np.zeros(3, int)
    for x, b in enumerate(above.astype(int)):
        if kind == 3:
            guess = (a + b) // 2
        else:
            near = np.abs(np.stack([b - c, a - c, a + b - 2 * c]))
            guess = np.where((near[0] <= near[1]) & (near[0] <= near[2]), a, np.where(near[1] <= near[2], b, c))
        row[x] = (row[x] + guess) % 256
        a, c = row[x].astype(int), b


def members(path, wanted: tuple[str, ...]) -> dict[str, bytes]:
    """The contents of the wanted files (by their last name) in a folder, a tar archive or a Debian package."""
    path = pathlib.Path(path)
    if path.is_dir():
        return {name: (path / name).read_bytes() for name in wanted}
    with _deb_data(path) if path.suffix == ".deb" else tarfile.open(path) as archive:
        found = {}
        for member in archive:
            name = member.name.rpartition("/")[2]
            if name in wanted and member.isfile():
                found[name] = archive.extractfile(member).read()
            if len(found) == len(wanted):
                return found
    raise ValueError(f"{path} lacks {', '.join(sorted(set(wanted) - set(found)))}.")


def _deb_data(path):
    """The tar archive with a Debian package's files: the member data.tar.* of an `ar` archive."""
    with open(path, "rb") as file:
        if file.read(8) != b"!<arch>\n":
            raise ValueError(f"{path} is no Debian package.")
        while head := file.read(60):
            name, size = head[:16].decode().strip(), int(head[48:58])
            if name.startswith("data.tar"):
                return tarfile.open(fileobj=io.BytesIO(file.read(size)))
            file.seek(size + size % 2, 1)
    raise ValueError(f"{path} holds no files.")


def json_numbers(content: bytes) -> np.ndarray:
    """A JSON list of small integers as uint8."""
    return np.array(json.loads(content), np.uint8)


class _Unpickler(pickle.Unpickler):
    """Reads NumPy arrays, lists, dicts, numbers and strings, and refuses all that could run code."""

    def find_class(self, module, name):
        numpy_names = {"_reconstruct": np._core.multiarray._reconstruct, "ndarray": np.ndarray, "dtype": np.dtype,
                       "scalar": np._core.multiarray.scalar}
        if module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray") and name in numpy_names:
            return numpy_names[name]
        raise pickle.UnpicklingError(f"the file asks for {module}.{name}, which has no place in a data set: refused.")


def cifar_batch(content: bytes, labels: bytes = b"labels") -> tuple[np.ndarray, list]:
    """One pickled CIFAR batch: images (N, 3, 32, 32) uint8, and the list of labels."""
    batch = _Unpickler(io.BytesIO(content), encoding="bytes").load()
    return batch[b"data"].reshape(-1, 3, 32, 32), batch[labels]


# What a damaged or foreign file may raise in the readers above.
ERRORS = (OSError, ValueError, KeyError, EOFError, AttributeError, TypeError, zipfile.BadZipFile, tarfile.TarError,
          zlib.error, lzma.LZMAError, pickle.UnpicklingError, struct.error, IndexError)
