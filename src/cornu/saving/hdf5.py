"""HDF5, read strictly and without HDF5's C library, which crashes and hangs on damaged and hostile files.

What is read is what weights files consist of: groups, plain arrays that lie in one piece in the file itself, and
attributes that are numbers or strings. Everything else that HDF5 can do is refused by name: soft and external links,
external and virtual storage, chunks and filters, compound and reference types, shared messages, objects that are linked
twice, arrays that overlap. So a file never leads elsewhere, and never to more than its own size.

Source: the HDF5 File Format Specification, version 3.0.
"""

import io
import math
import struct

import numpy as np

from cornu.saving.view import FileError, View

_MAGIC = b"\x89HDF\r\n\x1a\n"
_NOWHERE = (1 << 64) - 1
_DEEPEST = 64
_HARMLESS = {0x0, 0x4, 0x5, 0xA, 0xD, 0xE, 0x12, 0x13, 0x16}  # nil, fill values, group info, comment, times, counts
_REFUSED = {0x7: "external storage", 0xB: "packed data (a filter)", 0xF: "shared messages", 0x14: "a split file"}
_FLOATS = {  # size, exponent's place and size, mantissa's place and size, bias -> NumPy's name
    (2, 10, 5, 0, 10, 15): "f2", (4, 23, 8, 0, 23, 127): "f4", (8, 52, 11, 0, 52, 1023): "f8",
    (2, 7, 8, 0, 7, 127): "bfloat16",
}


class Stored:
    """An array in a file, which is read when it is asked for: `np.asarray(stored)`, `stored[()]`, `stored.raw`."""

    __slots__ = ("_view", "shape", "dtype", "_stored", "attrs", "_value")

    def __init__(self, view: View, shape: tuple, dtype: np.dtype, stored: np.dtype, attrs):
        self._view, self.shape, self.dtype, self._stored, self.attrs = view, shape, dtype, stored, attrs
        self._value = None

    ndim = property(lambda self: len(self.shape))
    size = property(lambda self: math.prod(self.shape))
    nbytes = property(lambda self: self.size * self.dtype.itemsize)

    def __len__(self):
        if not self.shape:
            raise TypeError("A single number has no length.")
        return self.shape[0]

    def load(self) -> "Stored":
        """Read the array now, and keep it."""
        self._value = self._read()
        return self

    def _read(self):
        # At an address that XLA can use as it is: the array then needs no copy to become JAX's.
        space = np.empty(self._view.size + 64, np.uint8)
        space = space[-space.ctypes.data % 64:][:self._view.size]
        self._view.read_into(0, space)
        value = space.view(self._stored if self._stored.kind != "b" else np.uint8).reshape(self.shape)
        if self._stored.kind == "b":
            return value != 0
        return value.view(self.dtype) if self._stored.kind == "V" else value.astype(self.dtype, copy=False)

    def __array__(self, dtype=None, copy=None):
        value = self._read() if self._value is None else self._value
        return value.astype(dtype or value.dtype, copy=bool(copy) and self._value is not None)

    @property
    def raw(self):
        """The array in JAX's hands; it is JAX's alone."""
        import jax

        value, self._value = self._read() if self._value is None else self._value, None
        return jax.device_put(value)

    def __getitem__(self, key):
        return np.array(self)[key]

    def __repr__(self):
        return f"<Stored {self.shape} {self.dtype}>"


class Group(dict):
    """A group: names and what they mean, Groups and Stored arrays."""

    def __init__(self):
        super().__init__()
        self.attrs = Attributes()

    def arrays(self, prefix: str = "") -> dict:
        """Every array below this group, by its path."""
        found = {}
        for name, item in self.items():
            found |= item.arrays(f"{prefix}{name}/") if isinstance(item, Group) else {prefix + name: item}
        return found


class Attributes(dict):
    """Attributes: numbers, arrays of numbers, strings, and arrays of strings; each is read when it is asked for."""

    def __getitem__(self, name):
        value = super().__getitem__(name)
        if callable(value):
            self[name] = value = value()
        return value

    def get(self, name, default=None):
        return self[name] if name in self else default

    def items(self):
        return [(name, self[name]) for name in self]

    def values(self):
        return [self[name] for name in self]


def read_file(view: View) -> Group:
    """The root group of an HDF5 file. Raises FileError for what is damaged or not read."""
    try:
        return _Reader(view).root()
    except (struct.error, IndexError, UnicodeDecodeError, OverflowError, MemoryError) as error:
        raise FileError(f"{view.shown} is damaged: its HDF5 structure is broken ({error}).") from None


class _Reader:
    def __init__(self, view):
        self.view, self.seen, self.extents, self.heaps = view, set(), [], {}
        # More than files of weights ever need: hostile ones say everything twice, or have a million empty parts.
        self.parts, self.bytes = 50_000 + view.size // 1024, view.size + (1 << 20)

    def read(self, at, count) -> bytes:
        self.bytes -= count
        if self.bytes < 0:
            self.fail("its parts lie over each other.")
        return self.view.read(at, count)

    def count(self) -> None:
        self.parts -= 1
        if self.parts < 0:
            self.fail("it has more parts than weights of that size ever have.")

    def fail(self, what):
        raise FileError(f"{self.view.shown} is damaged, or no weights file: {what}")

    def refuse(self, path, what):
        raise FileError(f"{self.view.shown}: {path or '/'!r:.200} is or has {what}, which is not opened: weights are "
                        "plain arrays that lie in the file itself.")

    def root(self) -> Group:
        head = self.read(0, min(96, self.view.size))
        if head[:8] != _MAGIC:
            self.fail("it does not begin as HDF5 does.")
        version = head[8]
        if version in (0, 1):
            sizes, at = head[13:15], 24 + 4 * version
            base, _, end, driver = struct.unpack_from("<4Q", head, at)
            address, = struct.unpack_from("<Q", head, at + 40)
        elif version in (2, 3):
            sizes = head[9:11]
            base, driver, end, address = struct.unpack_from("<4Q", head, 12)
        else:
            self.fail(f"its HDF5 version {version} is unknown.")
        if sizes != b"\x08\x08" or base or driver != _NOWHERE:
            self.fail("its addresses are not of the usual kind.")
        if end > self.view.size:
            raise FileError(f"{self.view.shown} is cut short: it has {self.view.size} of {end} bytes.")
        group = self.object(address, "", 0)
        if not isinstance(group, Group):
            self.fail("its root is no group.")
        self.extents.sort()
        for (start, size, path), (after, _, other) in zip(self.extents, self.extents[1:]):
            if start + size > after:
                self.fail(f"{path!r:.100} and {other!r:.100} overlap.")
        return group

    # objects -----------------------------------------------------------------------------------------------------

    def object(self, address, path, depth):
        """The group or array whose header lies at an address."""
        self.once(address, path)
        if depth > _DEEPEST:
            self.fail(f"{path!r:.100} lies too deep.")
        found: dict = {}
        attributes = Attributes()
        for kind, data in self.messages(address, path):
            if kind == 0xC:
                self.attribute(data, attributes, path)
            elif kind == 0x6:
                found.setdefault(kind, []).append(data)
            elif kind in _REFUSED:
                self.refuse(path, _REFUSED[kind])
            elif kind in (0x1, 0x2, 0x3, 0x8, 0x11, 0x15) and kind not in found:
                found[kind] = data
            elif kind not in _HARMLESS:
                self.fail(f"{path!r:.100} has a message of kind {kind}.")
        if 0x15 in found and struct.unpack_from("<Q", found[0x15], 4 if found[0x15][1] & 1 else 2)[0] != _NOWHERE:
            self.refuse(path, "attributes in HDF5's dense storage")
        if 0x8 in found:
            return self.array(found, attributes, path)
        group = Group()
        group.attrs = attributes
        if 0x11 in found:
            children = self.symbols(*struct.unpack_from("<QQ", found[0x11]), path)
        elif 0x2 in found or 0x6 in found:
            children = self.links(found, path)
        else:
            self.fail(f"{path!r:.100} is neither a group nor an array.")
        for name, child in children:
            if name in group or name in ("", ".", "..") or "/" in name or "\0" in name:
                self.fail(f"{path!r:.100} has a bad name: {name!r:.100}")
            group[name] = self.object(child, f"{path}/{name}" if path else name, depth + 1)
        return group

    def once(self, address, path):
        self.count()
        if address in self.seen:
            self.refuse(path, "a link to what has a place in the file already")
        self.seen.add(address)

    def messages(self, address, path):
        """The messages of an object's header as (kind, bytes)."""
        head = self.read(address, min(16, max(self.view.size - address, 0)))
        if head[:4] == b"OHDR":
            return self.messages2(address, head, path)
        if len(head) < 16 or head[0] != 1:
            self.fail(f"{path or '/'!r:.100} has no header.")
        blocks, found = [(address + 16, struct.unpack_from("<I", head, 8)[0])], []
        for start, size in blocks:
            data, at = self.read(start, size), 0
            while at + 8 <= size:
                kind, length, flags = struct.unpack_from("<HHB", data, at)
                at = self.message(kind, flags, data, at + 8, length, blocks, found, path)
        return found

    def messages2(self, address, head, path):
        """The same for the headers of HDF5 1.8 and later."""
        flags = head[5]
        at = 6 + 16 * bool(flags & 0x20) + 4 * bool(flags & 0x10)
        width = 1 << (flags & 3)
        if head[4] != 2:
            self.fail(f"{path or '/'!r:.100} has a header of version {head[4]}.")
        size = int.from_bytes(self.read(address + at, width), "little")
        blocks, found, head_size = [(address + at + width, size)], [], 6 if flags & 4 else 4
        for number, (start, size) in enumerate(blocks):
            data, at = self.read(start, size), 0
            if number:
                if data[:4] != b"OCHK":
                    self.fail(f"{path!r:.100} goes on where nothing is.")
                data, at = data[:-4], 4
            while at + head_size <= len(data):
                kind, length, told = struct.unpack_from("<BHB", data, at)
                at = self.message(kind, told, data, at + head_size, length, blocks, found, path)
        return found

    def message(self, kind, flags, data, at, length, blocks, found, path) -> int:
        body = data[at:at + length]
        if len(body) < length:
            self.fail(f"{path!r:.100} has a message that does not fit into its header.")
        if flags & 2:
            self.refuse(path, "a shared message")
        if kind == 0x10:
            start, size = struct.unpack_from("<QQ", body)
            self.once(start, path)
            blocks.append((start, size))
        elif kind:
            self.count()
            found.append((kind, body))
        return at + length

    # groups ------------------------------------------------------------------------------------------------------

    def symbols(self, tree, heap, path) -> list:
        """The names and addresses in a group of HDF5 before 1.8."""
        self.once(heap, path)
        magic, size, _, start = struct.unpack("<8sQQQ", self.read(heap, 32))
        if magic[:5] != b"HEAP\0":
            self.fail(f"{path or '/'!r:.100} has no names.")
        self.once(start, path)
        names = self.read(start, size)
        found, nodes = [], [(tree, None)]
        while nodes:
            address, level = nodes.pop()
            self.once(address, path)
            head = self.read(address, 8)
            if head[:5] == b"SNOD\1" and level in (0, None):
                count, = struct.unpack_from("<H", head, 6)
                for name, child, kind in struct.iter_unpack("<QQI20x", self.read(address + 8, 40 * count)):
                    if kind == 2:
                        self.refuse(path, "a soft link")
                    if name >= size:
                        self.fail(f"{path!r:.100} has a name that lies nowhere.")
                    found.append((names[name:names.index(b"\0", name)].decode() if b"\0" in names[name:] else
                                  self.fail(f"{path!r:.100} has a name without an end."), child))
            elif head[:5] == b"TREE\0" and (level is None or head[5] == level - 1):
                count, = struct.unpack_from("<H", head, 6)
                data = self.read(address + 24, 16 * count + 8)
                nodes += [(struct.unpack_from("<Q", data, 16 * i + 8)[0], head[5]) for i in reversed(range(count))]
            else:
                self.fail(f"{path or '/'!r:.100} has a broken tree.")
        return found

    def links(self, found, path) -> list:
        """The names and addresses in a group of HDF5 1.8 and later, when they lie in its header."""
        info = found.get(0x2)
        if info is not None and struct.unpack_from("<Q", info, 10 if info[1] & 1 else 2)[0] != _NOWHERE:
            raise FileError(f"{self.view.shown}: group {path or '/'!r:.100} is in HDF5's dense storage, which cornu does not "
                            "read. Write the file again without h5py's libver=\"latest\".")
        links = []
        for data in found.get(0x6, []):
            flags, at = data[1], 2
            kind = data[at] if flags & 8 else 0
            at += bool(flags & 8) + 8 * bool(flags & 4) + bool(flags & 16)
            width = 1 << (flags & 3)
            length = int.from_bytes(data[at:at + width], "little")
            name = data[at + width:at + width + length]
            if data[0] != 1 or len(name) < length:
                self.fail(f"{path or '/'!r:.100} has a broken link.")
            if kind:
                self.refuse(f"{path}/{name.decode(errors='replace')}", "a soft link" if kind == 1 else "an external link")
            links.append((name.decode(), struct.unpack_from("<Q", data, at + width + length)[0]))
        return links

    # arrays --------------------------------------------------------------------------------------------------------

    def array(self, found, attributes, path) -> Stored:
        if 0x1 not in found or 0x3 not in found:
            self.fail(f"{path!r:.100} has no shape or no dtype.")
        shape, stored = self.shape(found[0x1], path), self.dtype(found[0x3], path)
        if not isinstance(stored, np.dtype) or stored.kind not in "fiubV":
            self.refuse(path, "an array of strings")
        layout = found[0x8]
        if layout[0] not in (3, 4) or layout[1] not in (0, 1):
            self.refuse(path, {2: "an array in chunks", 3: "a virtual array"}.get(layout[1], "an unknown layout"))
        needed = math.prod(shape) * stored.itemsize
        if layout[1] == 0:
            size, = struct.unpack_from("<H", layout, 2)
            view = View(io.BytesIO(layout[4:4 + size]), 0, size, self.view.shown)
        else:
            start, size = struct.unpack_from("<QQ", layout, 2)
            if start == _NOWHERE and not needed:
                start = size = 0
            if needed:
                self.extents.append((start, needed, path))
            if needed > self.view.size or start + size > self.view.size:
                raise FileError(f"{self.view.shown}: {path!r:.100} says that it is {shape} of {stored}, {needed} bytes, which "
                                f"does not fit into the file's {self.view.size}.")
            view = self.view.part(start, size)
        if size != needed:
            self.fail(f"{path!r:.100} is {shape} of {stored}, {needed} bytes, but has {size}.")
        return Stored(view, shape, self.meant(stored, attributes, path), stored, attributes)

    def meant(self, stored, attributes, path) -> np.dtype:
        """The dtype of the values: 16-bit and 8-bit floats that HDF5 lacks are stored as opaque bytes."""
        if stored.kind != "V":
            return stored.newbyteorder("=")
        import ml_dtypes

        name = attributes.get("dtype", "bfloat16")
        known = {n: np.dtype(getattr(ml_dtypes, n)) for n in ("bfloat16", "float8_e4m3fn", "float8_e5m2")}
        if not isinstance(name, str) or name not in known or known[name].itemsize != stored.itemsize:
            self.fail(f"{path!r:.100} is of an unknown dtype: {name!r:.50}")
        return known[name]

    def shape(self, data, path) -> tuple:
        version, rank, flags = data[:3]
        if version not in (1, 2) or rank > 32:
            self.fail(f"{path!r:.100} has a shape of version {version} and rank {rank}.")
        if version == 2 and data[3] == 2:
            self.refuse(path, "an array without a shape")
        return struct.unpack_from(f"<{rank}Q", data, 8 if version == 1 else 4)

    def dtype(self, data, path, inner=False):
        """A NumPy dtype; "strings" for strings of any length."""
        kind, version, bits = data[0] & 15, data[0] >> 4, int.from_bytes(data[1:4], "little")
        size, = struct.unpack_from("<I", data, 4)
        if version not in (1, 2, 3, 4, 5):
            self.fail(f"{path!r:.100} has a dtype of version {version}.")
        order = "<>"[bits & 1]
        if kind == 0 and size in (1, 2, 4, 8) and struct.unpack_from("<HH", data, 8) == (0, 8 * size):
            return np.dtype(f"{order}{'i' if bits & 8 else 'u'}{size}")
        if kind == 1 and not bits & 64:
            offset, precision, *rest, bias = struct.unpack_from("<HH4BI", data, 8)
            name = _FLOATS.get((size, *rest, bias))
            if name and (offset, precision) == (0, 8 * size):
                import ml_dtypes

                return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" and order == "<" else np.dtype(order + name)
        if kind == 3 and size:
            return np.dtype(f"S{size}") if size <= self.view.size else self.fail(f"{path!r:.100} has strings of {size} bytes.")
        if kind == 5 and size in (1, 2):
            return np.dtype(f"V{size}")
        if kind == 8 and size == 1 and not inner and self.dtype(data[8:], path, True) == np.int8:
            return np.dtype(bool)  # as h5py stores truth values
        if kind == 9 and bits & 15 == 1:
            return "strings"
        names = {2: "times", 3: "strings", 4: "bit fields", 6: "a compound type", 7: "references", 8: "an enumeration",
                 9: "sequences of any length", 10: "arrays of arrays", 11: "complex numbers"}
        return self.refuse(path, names.get(kind, f"a dtype of class {kind} and {size} bytes"))

    # attributes ------------------------------------------------------------------------------------------------------

    def attribute(self, data, found, path) -> None:
        version, flags = data[0], data[1]
        sizes = struct.unpack_from("<HHH", data, 2)
        if version not in (1, 2, 3) or (version > 1 and flags):
            self.refuse(path, f"an attribute of version {version} with flags {flags}")
        at, parts = 9 if version == 3 else 8, []
        for size in sizes:
            parts.append(data[at:at + size])
            at += size if version > 1 else -(-size // 8) * 8
        name = parts[0].split(b"\0")[0].decode()
        where = f"{path}@{name}"
        if name in found:
            self.fail(f"{where!r:.100} is there twice.")
        if parts[2][:1] == b"\2" and parts[2][3:4] == b"\2":  # no shape: h5py's Empty
            found[name] = None
            return
        shape, dtype = self.shape(parts[2], where), self.dtype(parts[1], where)
        size = math.prod(shape) * (16 if dtype == "strings" else dtype.itemsize)
        body = data[at:at + size]
        if size > len(body):
            self.fail(f"{where!r:.100} does not fit into its message.")
        found[name] = (lambda: self.strings(body, shape, where)) if dtype == "strings" else (
            lambda: _plain(np.frombuffer(body, dtype).reshape(shape)))

    def strings(self, body, shape, where):
        """Strings of any length, which lie in a heap of the file."""
        texts = []
        for length, heap, index in struct.iter_unpack("<IQI", body):
            start, size = self.heap(heap, where).get(index, (0, 0)) if length else (0, 0)
            if length > size:
                self.fail(f"{where!r:.100} has a string that lies nowhere.")
            texts.append(self.read(start, length).decode("utf-8", "surrogateescape"))
        return np.array(texts, dtype=object).reshape(shape) if shape else texts[0]

    def heap(self, address, where) -> dict:
        """Where the objects of a heap lie: number -> (start, size)."""
        if address in self.heaps:
            return self.heaps[address]
        magic, size = struct.unpack("<8sQ", self.read(address, 16))
        if magic[:5] != b"GCOL\1":
            self.fail(f"{where!r:.100} has a string that lies nowhere.")
        data, at, found = self.view.part(address, size), 16, {}
        while at + 16 <= size:
            index, length = struct.unpack("<H6xQ", data.read(at, 16))
            if not index:
                break
            self.count()
            data.part(at + 16, length)
            found[index] = address + at + 16, length
            at += 16 + -(-length // 8) * 8
        self.heaps[address] = found
        return found


def _plain(value):
    """Fixed strings as str, single numbers as numbers."""
    if value.dtype.kind == "S":
        texts = [x.decode("utf-8", "surrogateescape") for x in value.ravel().tolist()]
        return np.array(texts, dtype=object).reshape(value.shape) if value.shape else texts[0]
    return value if value.shape else value[()]
