"""TensorBoard's event files, written without TensorFlow.

A file is a row of records: length, checksum, bytes, checksum. The bytes are a protocol buffer of the kind `Event`
(tensorflow/core/util/event.proto); the few fields that TensorBoard reads are put together here by hand.
"""

import itertools
import os
import pathlib
import socket
import struct
import time
import zlib

import numpy as np

_numbers = itertools.count()  # two writers of one second and folder need two files


def _crc_table() -> list:
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
        table.append(n)
    return table


_CRC = _crc_table()


def _checksum(data: bytes) -> bytes:
    """CRC-32C, turned and shifted as the record format wants it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC[(crc ^ byte) & 255] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _varint(n: int) -> bytes:
    n, out = n % 2**64, bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + bytes([n]))


def _field(number: int, value) -> bytes:
    """One field: an int is a varint, a float a double, a numpy float32 a float, text and bytes have a length."""
    if isinstance(value, np.float32):
        return _varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, float):
        return _varint(number << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    value = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _message(**fields) -> bytes:
    """Fields by number: `_message(_1="tag", _2=3)`."""
    return b"".join(_field(int(k[1:]), v) for k, v in fields.items())


def _png(image: np.ndarray) -> bytes:
    """An uint8 image of shape (height, width, 1, 3 or 4) as a PNG file."""
    height, width, channels = image.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = np.concatenate([np.zeros((height, 1), "uint8"), image.reshape(height, -1)], 1).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, {1: 0, 3: 2, 4: 6}[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


class EventWriter:
    """Writes scalars, histograms, images and texts that TensorBoard shows.

    Args:
        folder: the run's folder, made if it is not there.
    """

    def __init__(self, folder):
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_numbers)}.v2"
        self._file = open(pathlib.Path(folder, name), "wb")
        self._write(_message(_1=time.time(), _3="brain.Event:2"))

    def _write(self, event: bytes) -> None:
        length = struct.pack("<Q", len(event))
        self._file.write(length + _checksum(length) + event + _checksum(event))

    def _summary(self, tag: str, step: int, value: bytes) -> None:
        self._write(_message(_1=time.time(), _2=int(step), _5=_message(_1=_message(_1=tag) + value)))

    def scalar(self, tag: str, value, step: int) -> None:
        self._summary(tag, step, _message(_2=np.float32(value)))

    def histogram(self, tag: str, values, step: int, bins: int = 30) -> None:
        values = np.asarray(values, "float64").reshape(-1)
        values = values[np.isfinite(values)]
        if not values.size:
            return
        counts, edges = np.histogram(values, bins)
        self._summary(tag, step, _field(5, _message(
            _1=float(values.min()), _2=float(values.max()), _3=float(values.size), _4=float(values.sum()),
            _5=float((values**2).sum()), _6=edges[1:].astype("<f8").tobytes(), _7=counts.astype("<f8").tobytes())))

    def image(self, tag: str, image, step: int) -> None:
        """An image of floats in [0, 1], shape (height, width, channels of 1, 3 or 4)."""
        image = (np.clip(np.nan_to_num(np.asarray(image, "float32")), 0, 1) * 255).astype("uint8")
        height, width, channels = image.shape
        self._summary(tag, step, _field(4, _message(_1=height, _2=width, _3=channels, _4=_png(image))))

    def text(self, tag: str, text: str, step: int, plugin: str = "text") -> None:
        tensor = _message(_1=7, _2=b"", _8=text)  # a string, and a shape without dimensions
        self._summary(tag, step, _message(_9=_message(_1=_message(_1=plugin)), _8=tensor))

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()
