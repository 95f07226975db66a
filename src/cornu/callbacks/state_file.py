"""The state of a run as one file: JSON for what is plain, arrays beside it, a checksum over all."""

import hashlib
import json
import os
import pathlib
import zipfile

import jax
import numpy as np

from cornu import frames
from cornu.files import replacing


_SEAL = b"sha256:"  # the zip's comment: it, and the digest of all that stands before the digest


def write_state(path, state, keep_previous: bool = False) -> None:
    """Write nested lists, tuples, dicts, numbers, text, bytes and arrays to a file that is whole or absent.

    Args:
        path: the file.
        state: what is written.
        keep_previous: rename the file that is there to `<path>.previous` before the new one takes its place.

    Raises TypeError for other objects, saying where they stand.
    """
    path, arrays = pathlib.Path(path), []
    text = json.dumps(_pack(state, arrays, "state"))
    with replacing(path) as temporary:
        with zipfile.ZipFile(temporary, "w") as file:
            file.writestr("state.json", text)
            for index, array in enumerate(arrays):
                file.writestr(f"{index}", memoryview(np.ascontiguousarray(array).reshape(-1).view("uint8")))
            file.comment = _SEAL + bytes(64)
        with open(temporary, "r+b") as file:
            digest = _digest(file)
            file.seek(-64, os.SEEK_END)
            file.write(digest)
        if keep_previous and path.exists():
            os.replace(path, path.with_name(path.name + ".previous"))


def read_state(path):
    """What `write_state` wrote: the file, else the previous one, with a warning, when the file is damaged; None where there is none.

    Raises ValueError where what is there is damaged, in whatever way.
    """
    path, problem = pathlib.Path(path), None
    for candidate in (path, path.with_name(path.name + ".previous")):
        try:
            state = _read(candidate)
        except FileNotFoundError:
            continue
        except Exception as error:  # whatever a file may hold
            problem = problem or f"{candidate} cannot be read: {type(error).__name__}: {error}"
            continue
        if problem is not None:
            frames.warn(f"The saved state {problem} The state before it is used.")
        return state
    if problem is not None:
        raise ValueError(f"The saved state {problem} Delete it to start anew.")
    return None


def _read(path):
    with open(path, "rb") as file:
        digest = _digest(file)
        file.seek(max(0, file.seek(0, os.SEEK_END) - len(_SEAL) - 64))
        if file.read() != _SEAL + digest:
            raise ValueError("it is damaged, or cut off (its checksum is wrong).")
        with zipfile.ZipFile(file) as parts:
            return _unpack(json.loads(parts.read("state.json")), parts)


def _digest(file) -> bytes:
    """The digest, in hexadecimal, of all but the last 64 bytes of a file."""
    left, found = file.seek(0, os.SEEK_END) - 64, hashlib.sha256()
    file.seek(0)
    while left > 0 and (part := file.read(min(left, 1 << 20))):
        found.update(part)
        left -= len(part)
    return found.hexdigest().encode()


def _pack(value, arrays: list, where: str):
    if value is None or isinstance(value, (bool, str)) or type(value) in (int, float):
        return value
    if isinstance(value, (np.ndarray, np.generic, jax.Array)):
        value = np.asarray(value)
        if value.dtype.hasobject:
            raise TypeError(f"{where} is an array of Python objects, which cannot be saved.")
        arrays.append(value)
        return {"a": len(arrays) - 1, "dtype": value.dtype.name if value.dtype.kind not in "SU" else value.dtype.str,
                "shape": value.shape}
    if isinstance(value, bytes):
        return {"b": _pack(np.frombuffer(value, "uint8"), arrays, where)}
    if isinstance(value, (list, tuple)):
        return {"l" if isinstance(value, list) else "t": [_pack(v, arrays, f"{where}[{i}]") for i, v in enumerate(value)]}
    if isinstance(value, dict):
        return {"d": [[_pack(k, arrays, where), _pack(v, arrays, f"{where}[{k!r}]")] for k, v in value.items()]}
    if isinstance(value, (int, float)):  # subclasses: enumerations and the like
        return value + 0
    raise TypeError(f"{where} is a {type(value).__name__}, which cannot be saved. A state may hold numbers, text, arrays, "
                    "and lists, tuples and dicts of them.")


def _unpack(value, file):
    if not isinstance(value, dict):
        return value
    if "a" in value:
        return np.frombuffer(file.read(str(value["a"])), np.dtype(value["dtype"])).reshape(value["shape"]).copy()
    if "b" in value:
        return _unpack(value["b"], file).tobytes()
    if "d" in value:
        return {_unpack(k, file): _unpack(v, file) for k, v in value["d"]}
    items = [_unpack(v, file) for v in value.get("l", value.get("t"))]
    return items if "l" in value else tuple(items)
