"""Whole models as `.h5` files, in the layout that Keras 3 still reads and writes."""

import json

import numpy as np

from cornu import losses, metrics, registry
from cornu.saving.weights import write_arrays

def save_h5(model, path: str, keras_version: str, include_optimizer: bool = True) -> None:
    """Write architecture, weights, and what the model was compiled with into an `.h5` file, whole or not at all."""
    if not model.built:
        raise ValueError(f"Model {model.name!r} is not built, so it has no weights to save. Call it on data first.")
    if model.graph is None and not hasattr(model, "_stack"):
        raise ValueError(f"Model {model.name!r} is a subclass with a `call` of its own, whose layers an .h5 file does not "
                         "name. Save it as a .keras file, or its weights with save_weights.")
    kept = [layer.name for layer in model._flatten_layers() if hasattr(layer, "save_assets")]
    if kept:
        raise ValueError(f"Layer {kept[0]!r} has words or other files of its own, for which an .h5 file has no place. Save "
                         "the model as a .keras file.")
    side = {"backend": "jax", "keras_version": keras_version}
    config = registry.serialize(model)
    root = {**side, "model_config": json.dumps({"class_name": _class(config), "config": _old(config["config"])})}
    groups, arrays = {"": root, "model_weights": dict(side)}, {}
    layers = [layer for layer in model._sublayers]
    groups["model_weights"]["layer_names"] = _names([layer.name for layer in layers])
    inner = {id(v) for layer in layers for v in layer.weights}
    held = {layer.name: layer.trainable_weights + layer.non_trainable_weights for layer in layers}
    held["top_level_model_weights"] = [v for v in model.trainable_weights + model.non_trainable_weights if id(v) not in inner]
    for name, variables in held.items():
        _put(groups, arrays, f"model_weights/{name}", variables)
    if model.compiled and include_optimizer:
        told = dict(model.get_compile_config())
        optimizer = told.pop("optimizer", None)
        if optimizer:
            told["optimizer_config"] = {"class_name": _class(optimizer), "config": optimizer["config"]}
        spelt = {"loss": _spelt(told.get("loss"), losses.get),
                 **{k: _spelt(told.get(k), metrics.get) for k in ("metrics", "weighted_metrics")}}
        root["training_config"] = json.dumps({**told, **spelt})
        if model.optimizer is not None and model.optimizer.built:
            _put(groups, arrays, "optimizer_weights", model.optimizer.variables)
    write_arrays(groups, arrays, path)


def _put(groups, arrays, group: str, variables) -> None:
    """A group with its weights under their own paths, made distinct where two are the same."""
    names: list = []
    for variable in variables:
        name = variable.path
        while name in names or any(n.startswith(name + "/") or name.startswith(n + "/") for n in names):
            name += "_"
        names.append(name)
        arrays[f"{group}/{name}"] = variable.raw
    groups[group] = {"weight_names": _names(names)}


def _names(names: list):
    return np.array(names, dtype=object) if names else np.zeros(0)


def _spelt(told, get):
    """Losses and metrics with short names such as "mse", which Keras cannot read from .h5 files, as their classes."""
    if isinstance(told, str) and told not in ("accuracy", "acc", "crossentropy", "ce"):
        found = get(told)
        entry = registry.serialize(found() if isinstance(found, type) else found)
        return {"class_name": _class(entry), "config": {**entry["config"], "name": told}} if isinstance(entry, dict) else entry
    if isinstance(told, dict) and "class_name" not in told:
        return {k: _spelt(v, get) for k, v in told.items()}
    return [_spelt(v, get) for v in told] if isinstance(told, list) else told


def _class(entry: dict) -> str:
    return entry.get("registered_name") or entry["class_name"]


def _old(value):
    """A model's config with its layers as the old layout has them: class, config, and the calls."""
    if isinstance(value, dict) and isinstance(value.get("layers"), list):
        layers = [{**{k: v for k, v in layer.items() if k in ("name", "inbound_nodes")}, "class_name": _class(layer),
                   "config": _old(layer["config"])} if not str(layer.get("module")).startswith("keras.src.ops") else layer
                  for layer in value["layers"]]
        return {**value, "layers": layers}
    return value
