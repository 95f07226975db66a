"""What a file holds, told without building it; safe on hostile files."""

import contextlib
import dataclasses
import math
import os
import sys

from cornu import registry
from cornu.saving import legacy_h5, sharded, tensors
from cornu.saving.safe import check_config, open_weights, read_h5, read_json, read_members
from cornu.saving.view import FileError

_SHOWN_SETTINGS = ("units", "filters", "kernel_size", "strides", "padding", "rate", "activation", "axis", "num_heads", "key_dim",
                   "input_dim", "output_dim", "batch_shape", "batch_input_shape", "target_shape", "pool_size", "return_sequences")


@dataclasses.dataclass
class Contents:
    """What was found in a file.

    `layers` are (depth, name, class, settings), `arrays` path -> array, `own` classes that are not cornu's, `wrong` what is
    damaged or suspicious.
    """

    path: str
    kind: str = "unknown"
    size: int = 0
    told: dict = dataclasses.field(default_factory=dict)
    layers: list = dataclasses.field(default_factory=list)
    arrays: dict = dataclasses.field(default_factory=dict)
    own: list = dataclasses.field(default_factory=list)
    wrong: list = dataclasses.field(default_factory=list)

    @property
    def parameters(self) -> int:
        """How many numbers the weights are, without the optimizer's state."""
        return sum(math.prod(v.shape) for k, v in self.arrays.items() if not k.startswith("optimizer"))

    @property
    def nbytes(self) -> int:
        """The size of all arrays."""
        return sum(math.prod(v.shape) * v.dtype.itemsize for v in self.arrays.values())


def examine(path) -> Contents:
    """Look into a `.keras`, `.weights.h5`, `.h5`, `.weights.json` or `.safetensors` file.

    Nothing in it is built, run or followed. What is damaged or refused stands in `wrong`; the rest is told all the same.
    Raises FileNotFoundError, and ValueError for other endings.
    """
    path = os.fspath(path)
    readers = {".keras": _keras, ".weights.json": _shards, ".safetensors": _safetensors, ".h5": _h5, ".hdf5": _h5}
    reader = next((r for ending, r in readers.items() if path.endswith(ending)), None)
    if not os.path.exists(path):
        raise FileNotFoundError(f"There is no file {path!r}.")
    if reader is None:
        raise ValueError(f"{path!r} ends with none of {', '.join(readers)}.")
    found = Contents(path, size=os.path.getsize(path))
    with _noting(found):
        reader(found)
    return found


@contextlib.contextmanager
def _noting(found):
    """An error of the file is one more thing that is wrong with it."""
    try:
        yield
    except (FileError, ImportError) as error:
        found.wrong.append(str(error).removeprefix(found.path).lstrip(": "))


def _keras(found) -> None:
    found.kind = "Keras 3 model"
    members = read_members(found.path)
    with _noting(found):
        metadata = read_json(found.path, members["metadata.json"])
        found.told |= {k: v for k, v in metadata.items() if isinstance(v, str)}
    with _noting(found):
        _architecture(found, read_json(found.path, members["config.json"]))
    found.told["assets"] = ", ".join(name for name in members if name.startswith("assets/"))
    with _noting(found):
        members["model.weights.h5"].verify()
    found.arrays = read_h5(members["model.weights.h5"], found.path).arrays()


def _h5(found) -> None:
    source = open_weights(found.path)
    found.kind = "weights" if found.path.endswith(".weights.h5") else "HDF5 file"
    with _noting(found):
        source.verify()
    file = read_h5(source, found.path)
    found.arrays = file.arrays()
    if "model_config" in file.attrs or legacy_h5.is_legacy(file):
        found.kind = "Keras 2 file" if "model_config" not in file.attrs else "Keras 2 model"
        place = file if "keras_version" in file.attrs else file.get("model_weights", file)
        found.told = {k: v for k in ("keras_version", "backend") if isinstance(v := place.attrs.get(k), str)}
        if "model_config" in file.attrs:
            _architecture(found, read_json(found.path, file.attrs["model_config"]))


def _shards(found) -> None:
    found.kind = "weights in several files"
    files, verify = sharded.read(found.path)
    for file in files:
        found.arrays |= file.arrays()
    found.told["files"] = str(len(files))
    verify()


def _safetensors(found) -> None:
    found.kind = "safetensors"
    found.arrays = tensors.read_safetensors(found.path)[0]


def _architecture(found, config) -> None:
    _walk(found, config, 0)
    compiled = config.get("compile_config")
    if isinstance(compiled, dict):
        optimizer, loss = compiled.get("optimizer"), compiled.get("loss")
        found.told["optimizer"] = str(optimizer.get("class_name")) if isinstance(optimizer, dict) else str(optimizer)
        found.told["loss"] = str(loss.get("config") if isinstance(loss, dict) else loss)[:200]
    for module, name in sorted(set(_foreign(config)))[:20]:
        found.wrong.append(f"its config names {name} of Python's module {module}, which no model has")
    check_config(found.path, config)


def _foreign(item):
    """Things of Python's own modules that a config names: (module, name)."""
    stack = [item]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            stack += item.values()
            module, kind = item.get("module"), item.get("class_name")
            plain = module == "builtins" and kind in ("function", "class")  # as Keras writes the user's own
            if isinstance(module, str) and module.partition(".")[0] in sys.stdlib_module_names - {"__main__"} and not plain:
                yield module[:100], str(item.get("config") if kind == "function" else kind)[:100]
        elif isinstance(item, list):
            stack += item


def _walk(found, entry, depth) -> None:
    if not isinstance(entry, dict) or depth > 20 or len(found.layers) >= 100_000:
        return
    config = entry.get("config") if isinstance(entry.get("config"), dict) else {}
    kind, module = str(entry.get("class_name")), entry.get("module")
    shown = [f"{k}={config[k] if not isinstance(config[k], dict) else config[k].get('class_name')}" for k in _SHOWN_SETTINGS
             if config.get(k) not in (None, [], {}, "linear")]
    found.layers.append((depth, str(config.get("name", entry.get("name"))), kind, ", ".join(shown)[:200]))
    if not _known(entry):
        found.own.append(kind + (f" of {module}" if module else ""))
    for inner in [*(config["layers"] if isinstance(config.get("layers"), list) else []),
                  *(config[k] for k in ("layer", "cell", "forward_layer", "backward_layer") if isinstance(config.get(k), dict))]:
        _walk(found, inner, depth + 1)


def _known(entry) -> bool:
    module = str(entry.get("module") or "")
    if module.startswith(("keras.src.ops", "keras.ops", "cornu.ops")):
        return True
    try:
        registry.find_class(entry.get("class_name"), entry.get("registered_name"), entry.get("module"), "layers", "layer")
        return True
    except (ValueError, TypeError, AttributeError):
        return False
