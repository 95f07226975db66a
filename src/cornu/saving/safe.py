"""Files from strangers: everything is checked before it is read, and nothing in a file names what is opened or run."""

import contextlib
import io
import json
import math
import os
import stat
import struct
import tempfile
import threading
import zipfile
import zlib

from cornu import frames
from cornu.errors import user_frames
from cornu.saving import hdf5
from cornu.saving.view import FileError, FileTypeError, View

_MEMBERS = ("metadata.json", "config.json", "model.weights.h5")
_TRAILER = b"cornu-crc32:"  # after the end of an HDF5 file, where HDF5 does not look; HDF5 drops it when it edits the file
_DEEPEST = 200
_MOST_BRACKETS, _MOST_STRINGS = 100_000, 300_000


# archives --------------------------------------------------------------------------------------------------------


def read_members(path) -> dict:
    """The members of a `.keras` file (its path, or a View) as Views by name, once names, places and sizes are found harmless.

    The checksums of all but the weights are checked already; those of the weights by `Member.verify`.
    """
    whole = path if isinstance(path, View) else View.open(path)
    path = whole.shown
    try:
        directory = _directory(whole)
        with zipfile.ZipFile(whole.file) as archive:
            infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
            if len({i.filename for i in infos}) != len(infos):
                raise FileError(f"{path}: two members of the file have the same name.")
            ends = [i.header_offset for i in infos[1:]] + [directory]
            found = {i.filename: _member(whole, i, end) for i, end in zip(infos, ends)}
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, zlib.error, struct.error, ValueError,
            OverflowError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"{path} is damaged, or no .keras file: {error}") from None
    missing = [m for m in _MEMBERS if m not in found]
    if missing:
        raise FileError(f"{path} is no .keras file: it lacks {', '.join(missing)}.")
    for name, member in found.items():
        if name != _MEMBERS[-1]:
            member.verify()
    return found


def read_folder(path) -> dict:
    """The files of a folder that holds what a `.keras` file does, as Views by name; links are refused."""
    names = [*_MEMBERS, *(os.path.relpath(os.path.join(folder, name), path).replace(os.sep, "/") for folder, _, found in os.walk(
        os.path.join(path, "assets")) for name in sorted(found))]
    missing = [n for n in _MEMBERS if not os.path.exists(os.path.join(path, n))]
    if missing:
        raise FileError(f"{path!r} is no saved model: it lacks {', '.join(missing)}.")
    for name in names:
        if os.path.islink(os.path.join(path, name)):
            raise FileError(f"{path!r}: its {name} is a link, which is not followed.")
    return {name: open_weights(os.path.join(path, name)) for name in names}


def _directory(whole) -> int:
    """Where the list of the archive's members begins; it must end the file, and be short enough to be read."""
    if whole.size < 22 or whole.read(0, 4) != b"PK\3\4":
        raise FileError(f"{whole.shown} is damaged, or no .keras file: it does not begin as zip archives do.")
    end = whole.read(whole.size - 22, 22)
    if end[:4] != b"PK\5\6":
        raise FileError(f"{whole.shown} is cut short, or no .keras file: it does not end as zip archives do.")
    size, start = struct.unpack_from("<II", end, 12)
    at = whole.size - 22
    if at > 76 and whole.read(at - 20, 4) == b"PK\6\7":
        at -= 76
        size, start = struct.unpack_from("<QQ", whole.read(at, 56), 40)
    if size > 1 << 20:
        raise FileError(f"{whole.shown} has a list of members of {size} bytes, which no .keras file has.")
    if start + size != at:
        raise FileError(f"{whole.shown} is damaged: its list of members is not where it says.")
    return start


class Member(View):
    """A member of an archive, or a file with a checksum at its end."""

    __slots__ = ("crc", "_thread", "_wrong")

    def __init__(self, file, start, size, shown, crc):
        super().__init__(file, start, size, shown)
        self.crc, self._thread, self._wrong = crc, None, False

    def start_verifying(self) -> None:
        """Check the checksum beside what else goes on, up to `verify`; the file must be a real one."""
        def check():
            try:
                own = View.open(self.file.name)
                self._wrong = own.part(self.start, self.size).crc32() != self.crc
            except (OSError, FileError):
                self._wrong = True

        if self.crc is not None and isinstance(self.file, io.FileIO) and isinstance(self.file.name, str):
            self._thread = threading.Thread(target=check)
            self._thread.start()

    def stop(self) -> None:
        """Wait until `start_verifying` is done; whoever does not come to `verify` calls this."""
        if self._thread is not None:
            self._thread.join()

    def verify(self) -> None:
        """Raise FileError where the checksum does not fit."""
        if self._thread is not None:
            self.stop()
        elif self.crc is not None:
            self._wrong = self.crc32() != self.crc
        if self._wrong:
            raise FileError(f"{self.shown} is damaged: its checksum is wrong.")
        self.crc = None


def _member(whole, info, end) -> Member:
    path, name = whole.shown, info.filename
    _check_name(path, name)
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
        raise FileError(f"{path}: its member {name} is a link or another thing that is no file.")
    if info.flag_bits & 0x61 or info.compress_type not in (0, 8):
        raise FileError(f"{path}: its member {name} is encrypted or packed in an unusual way: refused.")
    if info.orig_filename != name or info.file_size > max(100 * info.compress_size, info.compress_size + (1 << 16)):
        raise FileError(f"{path}: its member {name} says that it unpacks to {info.file_size} bytes from "
                        f"{info.compress_size}: refused.")
    head = whole.read(info.header_offset, 30)
    magic, _, flags, method, *_, length, extra = struct.unpack("<4s5H3I2H", head)
    start = info.header_offset + 30 + length + extra
    if magic != b"PK\3\4" or method != info.compress_type or whole.read(info.header_offset + 30, length) != \
            name.encode("utf-8" if flags & 0x800 else "cp437") or start + info.compress_size > end:
        raise FileError(f"{path}: its member {name} is not what the list of members says.")
    if name.endswith(".json") and info.file_size > info.compress_size + (16 << 20):
        raise FileError(f"{path}: its member {name} says that it unpacks to {info.file_size} bytes: refused.")
    if method == 0:
        if info.file_size != info.compress_size:
            raise FileError(f"{path}: its member {name} has two sizes.")
        return Member(whole.file, whole.start + start, info.file_size, path, info.CRC)
    return _unpacked(whole.part(start, info.compress_size), info)


def _check_name(path, name) -> None:
    parts = name.split("/")
    if name in _MEMBERS:
        return
    if parts[0] != "assets" or any(p in ("", ".", "..") or not p.isprintable() or "\\" in p or ":" in p for p in parts):
        raise FileError(f"{path} has the member {name!r:.80}, which no .keras file has.")


def _unpacked(packed, info) -> Member:
    """A deflated member: small ones in memory, large ones in a temporary file without a name."""
    file = tempfile.SpooledTemporaryFile(1 << 20)
    inflate, left, at = zlib.decompressobj(-15), info.file_size, 0
    while not inflate.eof:
        data = inflate.unconsumed_tail
        if not data:
            count = min(1 << 20, packed.size - at)
            data, at = packed.read(at, count), at + count
        piece = inflate.decompress(data, 1 << 20)
        if not piece and not data and not inflate.eof:
            break
        left -= len(piece)
        if left < 0:
            break
        file.write(piece)
    if left or not inflate.eof or inflate.unused_data or at < packed.size:
        raise FileError(f"{packed.shown}: its member {info.filename} does not unpack to the size that it states.")
    return Member(file, 0, info.file_size, packed.shown, info.CRC)


# JSON --------------------------------------------------------------------------------------------------------------


def read_json(path, data) -> dict:
    """JSON (bytes, text or a View) as a dict; FileError for anything else, or for what would fill the memory."""
    data = data.read() if isinstance(data, View) else data
    data = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    size, widest = len(data), max(data, default=0)
    if data.count(b"{") + data.count(b"[") > _MOST_BRACKETS or data.count(b'"') // 2 > _MOST_STRINGS + size // 16 \
            or (4 if widest >= 0xF0 else 2 if widest >= 0xC4 else 1) * size > size + (24 << 20):
        raise FileError(f"{path}: its JSON of {size} bytes has more parts than that of any model.")

    def once(pairs):
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a key that is there twice")
        return found

    try:
        data = data.decode()  # the bytes need not stay beside the text
        value = json.loads(data, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path}: its JSON cannot be read: "
                        f"{'nested too deeply' if isinstance(error, RecursionError) else str(error)[:200]}") from None
    if not isinstance(value, dict):
        raise FileError(f"{path}: its JSON is a {type(value).__name__}, not an object.")
    return value


def check_config(path, config) -> int:
    """How many layers and calls a config lists; FileError where it carries code, a path to open, or names that are none."""
    stack = [(config, 0)]
    while stack:
        item, depth = stack.pop()
        if depth > _DEEPEST:
            raise FileError(f"{path}: its config is nested more than {_DEEPEST} deep.")
        if isinstance(item, dict):
            _check_entry(path, item)
            stack += [(value, depth + 1) for value in item.values() if isinstance(value, (dict, list))]
        elif isinstance(item, list):
            stack += [(value, depth + 1) for value in item if isinstance(value, (dict, list))]
    calls, entries = _calls(config)
    if calls > 1000 + 50 * entries:
        raise FileError(f"{path}: its models call each other {calls} times, which no model does.")
    return entries


def _calls(item) -> tuple[int, int]:
    """How many calls of layers a config means when it is built, and how many are written in it."""
    if isinstance(item, list):
        found = [_calls(value) for value in item]
        return sum(c for c, _ in found), sum(e for _, e in found)
    if not isinstance(item, dict):
        return 0, 0
    calls, entries = _calls(list(item.values()))
    if "class_name" in item:
        nodes = item.get("inbound_nodes")
        times = max(len(nodes), 1) if isinstance(nodes, list) else 1
        return times * max(calls, 1), entries + times
    return calls, entries


@contextlib.contextmanager
def building(path):
    """What goes wrong while a config becomes objects is said as an error of the file, in few words."""
    try:
        yield
    except (FileError, ImportError):
        raise
    except Exception as error:  # a config that is not Keras's can fail in as many ways as there are lines
        said = f"{error!s:.1000}" if isinstance(error, ValueError) else f"{type(error).__name__}: {error!s:.500}"
        own = user_frames(error).__traceback__ is not None  # it came out of a class of the caller's
        kind = FileTypeError if isinstance(error, TypeError) else FileError
        raise kind(f"{path}: nothing can be built from its config.\n{said}") from (error if own else None)


def _check_entry(path, item) -> None:
    kind, config = item.get("class_name"), item.get("config")
    inner = config if isinstance(config, dict) else {}
    code = [inner.get(k) for k in ("function", "output_shape", "mask")] if kind == "Lambda" else []
    if kind == "__lambda__" or any(isinstance(c, list) and c and isinstance(c[0], str) for c in code) or \
            "lambda" in [inner.get(k) for k in ("function_type", "output_shape_type", "mask_type") if kind == "Lambda"]:
        raise FileError(f"{path} holds the bytecode of a Lambda layer, which is never run.\nWrite the function "
                        "anew under a name, register it with @cornu.saving.register_keras_serializable(), "
                        "rebuild the model and load its weights.")
    for name, owner in (("class_name", item), ("module", item), ("registered_name", item), ("name", inner)):
        value = owner.get(name)
        if (kind is not None or owner is not item) and value is not None and "config" in item and (
                not isinstance(value, str) or len(value) > 1000 or "\0" in value):
            raise FileError(f"{path}: `{name}` in its config is no name: {value!r:.80}")
    for name, most in (("num_thresholds", 1_000_000), ("num_classes", 10_000 if "IoU" in str(kind) else math.inf)):
        if isinstance(inner.get(name), (int, float)) and not inner[name] < most:
            raise FileError(f"{path}: {kind!r:.50} asks for {name}={inner[name]}, which would fill the memory.")
    for name in ("vocabulary", "idf_weights"):
        if isinstance(inner.get(name), str):
            raise FileError(f"{path} names a file to open, {name}={inner[name]!r:.100}: no path in a file is ever opened.\n"
                            "Make the layer from the file yourself, or save the model with the words in it.")


refuse_code = check_config


# HDF5 --------------------------------------------------------------------------------------------------------------


def open_weights(path) -> View:
    """An HDF5 file as a View, checked against its checksum where it has one at its end."""
    whole = View.open(path)
    size = len(_TRAILER) + 8
    end = whole.read(whole.size - size, size) if whole.size >= size else b""
    if not end.startswith(_TRAILER):
        return Member(whole.file, 0, whole.size, path, None)
    try:
        crc = int(end[len(_TRAILER):], 16)
    except ValueError:
        crc = -1  # fits nothing
    return Member(whole.file, 0, whole.size - size, path, crc)


def trailer(crc: int) -> bytes:
    """What is written after the end of an HDF5 file, so that a damaged one is known."""
    return _TRAILER + b"%08x" % crc


def read_h5(source, shown=None) -> hdf5.Group:
    """The groups, arrays and attributes of an HDF5 file; nothing but the structure is in memory yet.

    Args:
        source: a View, bytes or a path.
        shown: the file's name for errors.
    """
    if isinstance(source, bytes):
        source = View(io.BytesIO(source), 0, len(source), shown or "These bytes")
    return hdf5.read_file(source if isinstance(source, View) else open_weights(source))


def read_arrays(source, shown=None) -> dict:
    """Every array of an HDF5 file by its path, to be read when it is asked for (see `hdf5.Stored`)."""
    return read_h5(source, shown).arrays()


@frames.filtered
def read_config(data, shown: str = "The JSON") -> dict:
    """The config in a JSON text, once nothing in it is code, a path to open, or too much."""
    config = read_json(shown, data)
    check_config(shown, config)
    return config
