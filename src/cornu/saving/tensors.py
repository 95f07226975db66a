"""Weights by path as plain arrays: `.safetensors` files, dicts, and the tree of a model's state by variables' paths."""

import itertools
import json
import math

import numpy as np

from cornu import check, frames
from cornu.files import replacing
from cornu.layers.layer import Layer
from cornu.saving.hdf5 import Stored
from cornu.saving.safe import read_json
from cornu.saving.view import FileError, View
from cornu.saving.weights import LoadReport, assign_all, weights_of


_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "F8_E4M3": "float8_e4m3fn",
           "F8_E5M2": "float8_e5m2", "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U64": "uint64",
           "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool"}


def _library():
    try:
        import safetensors.numpy
    except ImportError:
        raise check.missing_package("safetensors", "safetensors", "A .safetensors file") from None
    return safetensors


def save_safetensors(model, path: str) -> None:
    """Write a model's weights (and its optimizer's) under their paths, such as `layers/dense/vars/0`."""
    told = weights_of(model)
    write_safetensors(told["arrays"], {group.removesuffix("vars"): name for group, name in told["groups"].items()}, path)


def write_safetensors(arrays: dict, names: dict, path: str) -> None:
    """Write arrays by path, and the names of layers by path, into a file, whole or not at all."""
    library = _library()
    with replacing(path) as temporary:
        library.numpy.save_file({k: np.ascontiguousarray(v).reshape(v.shape) for k, v in arrays.items()}, temporary,
                                {"format": "np", "layers": json.dumps(names)})


def read_safetensors(path: str) -> tuple[dict, dict]:
    """The arrays of a file by path, to be read when asked for, and the names of layers by path where the file tells them.

    Raises FileError for anything but arrays that lie one after the other and fill the file. This needs no package.
    """
    whole = View.open(path)
    length = int.from_bytes(whole.read(0, 8), "little")
    header = read_json(path, whole.part(8, length))
    told = header.pop("__metadata__", None) or {}
    arrays, ends = {}, []
    try:
        for name, entry in header.items():
            (start, end), shape, dtype = entry["data_offsets"], tuple(entry["shape"]), np.dtype(_DTYPES[entry["dtype"]])
            if not all(type(n) is int and n >= 0 for n in (start, end, *shape)) or len(shape) > 32 or \
                    end - start != math.prod(shape) * dtype.itemsize:
                raise FileError(f"{path}: {name!r:.100} says that it is {str(shape):.100} of {dtype}, which does not fit its place.")
            arrays[name] = Stored(whole.part(8 + length + start, end - start), shape, dtype, dtype, {})
            ends.append((start, end))
        ends = [(0, 0), *sorted(ends)]
        if any(before[1] != after[0] for before, after in zip(ends, ends[1:])) or 8 + length + ends[-1][1] != whole.size:
            raise FileError(f"{path} is damaged: its arrays do not lie one after the other up to its end.")
        names = read_json(path, told["layers"]) if isinstance(told, dict) and isinstance(told.get("layers"), str) else {}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"{path} is damaged, or no safetensors file: {error!s:.200}") from None
    return arrays, names


@frames.filtered
def weights_by_path(model) -> dict:
    """A model's weights as NumPy arrays by their path in files; `load_weights` takes such a dict.

    >>> from cornu.layers import Dense, Input
    >>> from cornu.models import Sequential
    >>> list(weights_by_path(Sequential([Input((3,)), Dense(2)])))
    ['layers/dense/vars/0', 'layers/dense/vars/1']
    """
    return {k: np.array(v) for k, v in weights_of(model)["arrays"].items() if not k.startswith("optimizer/")}


# the tree of a model's state -------------------------------------------------------------------------------------------


_PARTS = ("trainable_variables", "non_trainable_variables", "optimizer_variables", "metrics_variables")


def variables_by_path(model) -> dict:
    """The parts of a model's state: name -> path -> variable. Raises ValueError where two variables have one path."""
    optimizer = getattr(model, "optimizer", None)
    parts = {part: getattr(model, part) for part in _PARTS if part != "optimizer_variables"}
    parts["optimizer_variables"] = () if optimizer is None else optimizer.variables
    found: dict = {part: {} for part in _PARTS}
    for part, below in found.items():
        for variable in parts[part]:
            path = variable.path if part != "metrics_variables" else _numbered(variable.path, below)
            if path in below:
                raise ValueError(
                    f"Model {model.name!r}: two variables have the path {path!r}, so a state tree would lose one value. "
                    "Give the layers names of their own.")
            below[path] = variable
    return found


def _numbered(path: str, taken) -> str:
    """A path of a metric's state that is not taken: two metrics may have one name."""
    name, _, rest = path.partition("/")
    tries = (f"{name}_{number}/{rest}" if rest else f"{name}_{number}" for number in itertools.count(1))
    return path if path not in taken else next(path for path in tries if path not in taken)


def get_state_tree(model: Layer, value_format: str = "backend_tensor") -> dict:
    """All state of a model as nested dicts by the variables' paths.

    Args:
        model: the model.
        value_format: "backend_tensor" for JAX arrays, "numpy_array" for NumPy's.

    Raises ValueError where two variables have one path.
    """
    if value_format not in ("backend_tensor", "numpy_array"):
        raise ValueError(f'get_state_tree: value_format is "backend_tensor" or "numpy_array". Received: {value_format!r}')
    found: dict = {}
    for part, variables in variables_by_path(model).items():
        below = found.setdefault(part, {})
        for path, variable in variables.items():
            *path, last = path.split("/")
            place = below
            for name in path:
                place = place.setdefault(name, {})
            if last in place:
                raise ValueError(f"get_state_tree: {path!r} is the path of a variable and the beginning of another one. "
                                 "Give the layers names of their own.")
            place[last] = np.array(variable.raw) if value_format == "numpy_array" else variable.raw
    return found


def set_state_tree(model: Layer, state_tree: dict) -> None:
    """Set a model's state from nested dicts; what they leave out stays. On any error nothing changes.

    Raises ValueError for parts and paths that the model does not have, and for other shapes.
    """
    held, pairs, strange = variables_by_path(model), [], []
    for part, below in state_tree.items():
        if part not in held:
            raise ValueError(f"set_state_tree: {part!r} is none of {', '.join(_PARTS)}.")
        own = held[part]
        for path, value in _flat(below):
            if path in own:
                pairs.append((own[path], value))
            else:
                strange.append((part, path))
    if strange:
        lacking = [path for part in {p for p, _ in strange} for path, v in held[part].items() if not any(v is w for w, _ in pairs)]
        raise ValueError(f"set_state_tree: model {model.name!r} does not have all of these variables; nothing was changed."
                         f"\n{LoadReport([p for _, p in strange], lacking)}")
    for variable, value in pairs:
        if tuple(variable.shape) != np.shape(value):
            raise ValueError(f"set_state_tree: {variable.path!r} has shape {tuple(variable.shape)}, the value has "
                             f"{np.shape(value)}. Nothing was changed.")
    assign_all(pairs, "The state tree")


def _flat(below, prefix: str = ""):
    for name, value in below.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}/")
        else:
            yield prefix + name, getattr(value, "raw", value)
