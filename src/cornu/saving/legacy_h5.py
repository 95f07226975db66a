"""Whole models and weights in `.h5` files, as Keras 2 (and Keras 3, on demand) wrote them.

Such a file has a group per layer with its weights in order, the model's config and training config as JSON, and the
optimizer's state. Keras 2's words are told anew in `legacy_config`.
"""

import dataclasses
import os
import re

import numpy as np

from cornu import frames, optimizers, registry
from cornu.awaiting import awaiting_values
from cornu.layers.layer import Layer
from cornu.saving import legacy_config
from cornu.saving.hdf5 import Group
from cornu.saving.limits import in_time
from cornu.saving.safe import building, check_config, open_weights, read_h5, read_json
from cornu.saving.view import FileError
from cornu.saving.weights import LoadReport, assign_all, base_name


@dataclasses.dataclass
class H5:
    """What a file holds: JSON, and names with arrays by layer and of the optimizer."""

    keras: int
    model: dict | None
    training: dict | None
    layers: dict  # name -> [(weight's name, array)]
    optimizer: list


def is_legacy(group) -> bool:
    """Whether an HDF5 file (its root group) has the layout of Keras 2."""
    return "model_weights" in group or any(k.startswith(("layer_names", "model_config")) for k in group.attrs)


def read(path, file=None) -> H5:
    """What a file says. Raises FileError for what is no such file."""
    file = read_h5(path, path) if file is None else file
    if not is_legacy(file):
        raise FileError(f"{path} holds weights, but neither a model nor the layout of Keras 2: build the model and call "
                        f"model.load_weights({os.path.basename(path)!r}).")
    group = file.get("model_weights", file)
    version = _text(path, group.attrs.get("keras_version", file.attrs.get("keras_version", "1")))
    match = re.match(r"\d+", version)
    if not match or int(match[0]) < 2:
        raise FileError(f"{path} was written by Keras 1, whose weights are laid out otherwise. Open it with Keras 2 and "
                        "save it again.")
    told = {k: read_json(path, _text(path, file.attrs[k])) if k in file.attrs else None
            for k in ("model_config", "training_config")}
    names = [*_names(path, group, "layer_names"), *(n for n in ("top_level_model_weights",) if n in group)]
    return H5(int(match[0]), told["model_config"], told["training_config"], {n: _weights(path, group, n) for n in names},
              _weights(path, file, "optimizer_weights") if "optimizer_weights" in file else [])


def _weights(path, parent, name) -> list:
    """A group's arrays under their names."""
    group = parent.get(name)
    if not isinstance(group, Group):
        raise FileError(f"{path}: it names a layer {name!r:.80} for which it has no group.")
    arrays = group.arrays()
    names = _names(path, group, "weight_names")
    for key in names:
        if key.lstrip("/") not in arrays:
            raise FileError(f"{path} names a weight {key!r:.120} that it does not have.")
    return [(key, arrays[key.lstrip("/")]) for key in names]


def _names(path, group, key) -> list:
    """A list of names among the attributes: in one piece, or numbered pieces where it is long."""
    pieces = [group.attrs[key]] if key in group.attrs else []
    while f"{key}{len(pieces)}" in group.attrs:
        pieces.append(group.attrs[f"{key}{len(pieces)}"])
    return [_text(path, name) for piece in pieces for name in np.ravel(piece)]


def _text(path, value) -> str:
    value = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    if not isinstance(value, str):
        raise FileError(f"{path}: an attribute that should be text is a {type(value).__name__}.")
    return value


# whole models ------------------------------------------------------------------------------------------------------------


def load_h5(path, custom_objects: dict | None = None, compile: bool = True):
    """The model in a file, with its weights and, if `compile`, what it was compiled with and the optimizer's state."""
    source = open_weights(path)
    source.start_verifying()
    file = read(path, read_h5(source, path))
    source.verify()
    if file.model is None:
        raise ValueError(f"{path} holds weights but no model: build the model and call model.load_weights({path!r}).")
    entries = check_config(path, file.model)
    room = 4 * os.path.getsize(path) + (64 << 20)  # for what the file does not hold: slots, metrics
    with registry.custom_object_scope(custom_objects or {}), in_time(path, entries), awaiting_values(room, path):
        model = build_model(path, lambda: legacy_config.name_operations(file.model) if file.keras > 2 else
                            legacy_config.upgrade(file.model, path))
        if not model.built:
            raise ValueError(f"{path}: model {model.name!r} cannot be built from its config, which names no input shape. "
                             "Rebuild it in code, call it on data, and load the file with load_weights.")
        matched = fill(model, file, path)[1]
        if compile and file.training:
            with building(path):
                _compile(model, file, path)
            if file.optimizer:
                _fill_optimizer(model, file, matched, path)
    return model


def build_model(path, config):
    """The model of a config, which the function `config` gives. Raises FileError for what is no config of a model."""
    with building(path):
        model = registry.deserialize(config(), printable_name="model")
    if not isinstance(model, Layer):
        raise FileError(f"{path} holds no model but a {type(model).__name__}.")
    return model


def _compile(model, file: H5, path) -> None:
    names = model.output_names if model.graph is not None else []
    model.compile(**legacy_config.compile_arguments(file.training, names, path))
    if model.optimizer is not None:
        model.optimizer.build(model.trainable_variables)


# weights -----------------------------------------------------------------------------------------------------------------


def fill(model, file: H5, shown, by_name: bool = False, strict: bool = True, skip_mismatch: bool = False, verify=None):
    """Put a file's weights into a model; returns the report, and (name in the file, variable) of what was filled.

    Layers are matched by name where both sides have the same names (or `by_name`), else in order. On any error the
    model is as it was.
    """
    if not model.built:
        raise ValueError(f"Model {model.name!r} is not built, so its weights do not exist yet. Call it on data first.")
    held = {name: weights for name, weights in file.layers.items() if weights}
    layers = {layer.name: layer for layer in model.layers if layer.weights}
    inner = {id(v) for layer in layers.values() for v in layer.weights}
    top = [v for v in model.trainable_weights + model.non_trainable_weights if id(v) not in inner]
    if by_name or held.keys() - {"top_level_model_weights"} == layers.keys():
        pairs = [(name, layers[name]) for name in held if name in layers]
    else:
        pairs = _in_order(held, layers, shown, strict)
    todo, used, wrong = [], set(), []
    for name, layer in pairs:
        match = _match(layer, layer.trainable_weights + layer.non_trainable_weights, held[name])
        (wrong.append((name, layer.name)) if match is None else todo.extend(match))
        used |= {(name, w) for w, _ in held[name]} if match is not None else set()
    if "top_level_model_weights" in held and (match := _match(None, top, held["top_level_model_weights"])) is not None:
        todo += match
        used |= {("top_level_model_weights", w) for w, _ in held["top_level_model_weights"]}
    if wrong and not skip_mismatch:
        name, own = wrong[0]
        raise ValueError(f"{shown}: the weights of layer {name!r} have shapes {[a.shape for _, a in held[name]]}, but layer "
                         f"{own!r} has {[tuple(v.shape) for v in layers[own].trainable_weights + layers[own].non_trainable_weights]}. "
                         "No weight was changed. Pass skip_mismatch=True to leave such layers alone.")
    taken = {id(v) for v, _, _ in todo}
    report = LoadReport([w if w.startswith(name + "/") else f"{name}/{w}" for name, ws in held.items() for w, _ in ws
                         if (name, w) not in used],
                        [v.path for layer in [*layers.values()] for v in layer.weights if id(v) not in taken]
                        + [v.path for v in top if id(v) not in taken])
    if not todo and held or strict and not by_name and not skip_mismatch and not report.complete:
        raise ValueError(f"{shown} does not fit model {model.name!r}; no weight was changed. Pass strict=False to load what "
                         f"fits.\n{report.table()}")
    assign_all([(v, a) for v, _, a in todo], shown, verify)
    return report, [(name, v) for v, name, _ in todo]


def _in_order(held: dict, layers: dict, shown, strict) -> list:
    """Layers of the file and of the model in order. Raises ValueError where a name says that they are not the same."""
    names = [n for n in held if n != "top_level_model_weights"]
    pairs = list(zip(names, layers.values()))
    strange = [(a, b.name) for a, b in pairs if base_name(a) != base_name(b.name)]
    if strict and (strange or len(names) != len(layers)):
        report = LoadReport(names, list(layers))
        raise ValueError(f"{shown} does not fit the model: it has weights for {len(names)} layers, the model has {len(layers)}"
                         f"{', and names differ' if strange else ''}. No weight was changed. Pass by_name=True to load layers "
                         f"of the same names, or strict=False to load them in order.\n{report.table()}")
    return pairs


def _match(layer, variables: list, weights: list):
    """(variable, name in the file, array) for a layer's weights; None where numbers or shapes differ.

    They come in order; where a model in the model orders its layers otherwise, their names decide.
    """
    if len(variables) != len(weights):
        return None
    owners = {id(v): leaf.name for leaf in _leaves(layer) for v in leaf.weights} if layer is not None else {}
    pairs = list(zip(variables, weights))
    if not all(owners.get(id(v), "") in ("", *n.split("/")) for v, (n, _) in pairs):
        keyed = {(part, n.split("/")[-1].split(":")[0]): (n, a) for n, a in weights for part in n.split("/")[:-1]}
        by_name = [(v, keyed.get((owners.get(id(v)), v.name))) for v in variables]
        if all(w is not None for _, w in by_name) and len({w[0] for _, w in by_name}) == len(weights):
            pairs = by_name
    if any(tuple(v.shape) != a.shape for v, (_, a) in pairs):
        return None
    return [(v, n, a) for v, (n, a) in pairs]


def _leaves(layer) -> list:
    """The layers inside models inside a model."""
    if hasattr(type(layer), "train_step"):
        return [leaf for inner in layer.layers for leaf in _leaves(inner)]
    return []


# the optimizer's state ---------------------------------------------------------------------------------------------------


_SLOTS = {"momentum": ("m", "momentum"), "velocity": ("v", "velocity", "rms"), "velocity_hat": ("vhat", "v_hat"),
          "norm": ("u", "v"), "average": ("average_gradient", "average", "mg"), "accumulated_grad": ("accumulated_grad", "accum_grad"),
          "accumulated_delta_var": ("accumulated_delta_var", "accum_var"), "row": ("r",), "column": ("c",)}


def _fill_optimizer(model, file: H5, matched: list, shown) -> None:
    optimizer = model.optimizer
    if file.keras > 2:
        own = optimizer.variables
        if [tuple(v.shape) for v in own] != [a.shape for _, a in file.optimizer]:
            return _give_up(shown, "its variables are others")
        return assign_all(list(zip(own, (a for _, a in file.optimizer))), shown)
    if isinstance(optimizer, optimizers.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
    told = file.training["optimizer_config"]
    if told["class_name"] == "Nadam" and "decay" in told["config"]:
        return _give_up(shown, "Keras before 2.11 computed Nadam by another formula")
    name = told["config"].get("inner_optimizer", told)["config"].get("name", "") if isinstance(
        told["config"].get("inner_optimizer", told), dict) else ""
    arrays = dict(file.optimizer)
    steps = next((a for n, a in arrays.items() if re.fullmatch(r"(.*/)?iter(ations?)?:0", n)), None)
    if steps is None:
        return _give_up(shown, "it has no step count")
    steps = np.asarray(steps).reshape(())
    todo = [(optimizer._iterations, steps)]
    names = {id(v): n for n, v in matched}
    for i, variable in enumerate(optimizer._trainable_variables):
        slots = dict(optimizer._slots[i])
        if optimizer._averages:
            slots["ema"] = optimizer._averages[i]
        for slot, own in slots.items():
            value = _slot(arrays, name, slot, names.get(id(variable), ""))
            if value is None and slot in ("row", "column") and len(variable.shape) < 2:
                continue  # nothing is kept there
            if value is None or value.size != np.prod(own.shape, dtype=int):
                return _give_up(shown, f"it has no {slot!r} of {variable.path!r}")
            todo.append((own, np.asarray(value).reshape(own.shape)))
    if isinstance(optimizer, optimizers.Nadam):  # Keras 2 did not write the product of the momenta so far
        t = np.arange(1, int(steps) + 1)
        todo.append((optimizer._product, np.prod(optimizer.beta_1 * (1 - 0.5 * 0.96 ** t)).astype("float32")))
    assign_all(todo, shown)


def _slot(arrays: dict, optimizer: str, slot: str, weight: str):
    """A slot's array for a weight, under the names that Keras 2 gave it (before 2.11, and since)."""
    base = weight.removesuffix(":0")
    for key in ("average",) if slot == "ema" else _SLOTS.get(slot, (slot,)):
        for name in (f"{optimizer}/{key}/{weight}", f"{key}/{weight}", f"{optimizer}/{base}/{key}:0",
                     f"training/{optimizer}/{base}/{key}:0"):
            if name in arrays:
                return arrays[name]
    return None


def _give_up(shown, why: str) -> None:
    frames.warn(f"{shown}: the optimizer's state was not taken over: {why}. Training starts with a fresh optimizer of "
                "the same settings.")
