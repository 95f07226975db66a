"""Files from strangers: everything is checked before it is read, and nothing in a file names what is opened or run."""

import contextlib
import io
import json
import os
import stat
import tempfile
import zipfile

import numpy as np

_MEMBERS = ("metadata.json", "config.json", "model.weights.h5")
_LARGEST_JSON = 256 << 20
_DEEPEST = 64


class FileError(ValueError):
    """A file is damaged, is not what its name says, or holds what is not opened."""


@contextlib.contextmanager
def replacing(path):
    """A temporary file beside `path`, which takes its place when the block ends without an error."""
    path = os.path.abspath(os.fspath(path))
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".cornu-")
    try:
        os.close(handle)
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)  # mkstemp lets only the owner read
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def read_members(path) -> dict:
    """The members of a `.keras` file as bytes, once names and sizes are found harmless."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            if len({i.filename for i in infos}) != len(infos):
                raise FileError(f"{path}: two members of the file have the same name.")
            for info in infos:
                _check_member(path, info)
            missing = [m for m in _MEMBERS if m not in archive.namelist()]
            if missing:
                raise FileError(f"{path} is no .keras file: it lacks {', '.join(missing)}.")
            return {name: archive.read(name) for name in _MEMBERS}
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, zipfile.zlib.error) as error:
        raise FileError(f"{path} is damaged, or no .keras file: {error}") from None


def _check_member(path, info) -> None:
    if info.filename.startswith("assets/"):
        raise FileError(f"{path} has assets ({info.filename!r:.80}), which cornu does not read yet.")
    if info.filename not in _MEMBERS:
        raise FileError(f"{path} has the member {info.filename!r:.80}, which no .keras file has.")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise FileError(f"{path}: its member {info.filename} is a link.")
    limit = _LARGEST_JSON if info.filename.endswith(".json") else 1 << 62
    if info.file_size > min(limit, 100 * info.compress_size + (1 << 20)):
        raise FileError(f"{path}: its member {info.filename} says that it unpacks to {info.file_size} bytes from "
                        f"{info.compress_size}: refused.")


def read_json(path, data: bytes) -> dict:
    """A member's JSON; FileError for anything but a dict of reasonable depth."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path}: its JSON cannot be read: {str(error) or 'nested too deeply'}") from None
    if not isinstance(value, dict):
        raise FileError(f"{path}: its JSON is a {type(value).__name__}, not an object.")
    return value


def refuse_code(path, config) -> None:
    """FileError where a config carries a lambda's bytecode."""
    stack = [config]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            if item.get("class_name") == "__lambda__":
                raise FileError(f"{path} holds the bytecode of a Lambda layer, which is never run.\nWrite the function "
                                "anew under a name, register it with @cornu.saving.register_keras_serializable(), "
                                "rebuild the model and load its weights.")
            stack += item.values()
        elif isinstance(item, list):
            stack += item


def read_arrays(source, shown) -> dict:
    """Every dataset of an HDF5 file by path, as NumPy arrays; `source` is bytes or a path.

    Only plain datasets that lie in the file itself are read: no soft or external links, no external storage, no
    virtual datasets, no filters, and none that says it is larger than the file.
    """
    import h5py

    size = len(source) if isinstance(source, bytes) else os.path.getsize(source)
    found = {}
    try:
        with h5py.File(io.BytesIO(source) if isinstance(source, bytes) else source, "r") as file:
            _walk(file, "", found, set(), size, shown, h5py, 0)
    except FileError:
        raise
    except Exception as error:  # h5py raises nearly every kind for damaged files
        raise FileError(f"{shown} is damaged, or no HDF5 file: {error}") from None
    return found


def _walk(group, prefix, found, seen, size, shown, h5py, depth) -> None:
    key = h5py.h5o.get_info(group.id).addr
    if key in seen or depth > _DEEPEST:
        raise FileError(f"{shown}: group {prefix or '/'!r} holds itself, or lies too deep.")
    seen.add(key)
    for name in group:
        path = f"{prefix}{name}"
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise FileError(f"{shown}: {path!r} is a link to elsewhere, which is not followed.")
        item = group[name]
        if isinstance(item, h5py.Group):
            _walk(item, path + "/", found, seen, size, shown, h5py, depth + 1)
            continue
        if not isinstance(item, h5py.Dataset) or item.is_virtual or item.external or item.id.get_create_plist().get_nfilters():
            raise FileError(f"{shown}: {path!r} is no plain dataset (virtual, external or packed): refused.")
        if item.dtype.kind not in "fiubV" or item.dtype.hasobject or item.dtype.fields or item.nbytes > size:
            raise FileError(f"{shown}: {path!r} says that it is {item.shape} of {item.dtype}, which is no weight "
                            f"or does not fit into the file's {size} bytes.")
        found[path] = _array(item)


def _array(item):
    value = np.asarray(item[()])
    if value.dtype.kind == "V":
        import ml_dtypes

        name = item.attrs.get("dtype", "bfloat16")
        value = value.view({"bfloat16": ml_dtypes.bfloat16, "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
                            "float8_e5m2": ml_dtypes.float8_e5m2}[name])
    return value
