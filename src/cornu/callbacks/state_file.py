"""The state of a run as one file: JSON for what is plain, arrays beside it, a checksum over each."""

import json
import os
import pathlib
import zipfile

import jax
import numpy as np

from cornu.files import replacing


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
        with zipfile.ZipFile(temporary, "w") as file:  # a zip keeps a checksum of every entry
            file.writestr("state.json", text)
            for index, array in enumerate(arrays):
                file.writestr(f"{index}", memoryview(np.ascontiguousarray(array).reshape(-1).view("uint8")))
        if keep_previous and path.exists():
            os.replace(path, path.with_name(path.name + ".previous"))


def read_state(path):
    """What `write_state` wrote: the file, else the previous one when the file is damaged; None where there is none."""
    path, problem = pathlib.Path(path), None
    for candidate in (path, path.with_name(path.name + ".previous")):
        try:
            with zipfile.ZipFile(candidate) as file:
                return _unpack(json.loads(file.read("state.json")), file)
        except FileNotFoundError:
            continue
        except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
            problem = f"{candidate} cannot be read: {type(error).__name__}: {error}"
    if problem is not None:
        raise ValueError(f"The saved state {problem}. Delete it to start anew.")
    return None


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
