"""Weights by attribute path (`layers/dense/vars/0`), in Keras's naming."""

import dataclasses
import os
import re

import numpy as np

from cornu import names
from cornu.awaiting import Awaited
from cornu.files import writing
from cornu.layers.layer import Layer
from cornu.optimizers import LossScaleOptimizer, Optimizer
from cornu.registry import is_builtin
from cornu.saving.hdf5 import Stored
from cornu.saving.hdf5_write import laid_out, put
from cornu.saving.safe import trailer
from cornu.saving.view import FileError

_SKIPPED = frozenset(("graph", "_operations", "_stack", "_compiled_calls", "_graph_seeds", "_inbound_nodes", "_told",
                      "_losses", "_compile_told", "_steps", "_loss", "_metrics_compiled", "_loss_tracker", "_kept_parts"))


@dataclasses.dataclass
class LoadReport:
    """What a load left over: paths in the file that no weight took, and weights that the file does not have."""

    unused: list
    unfilled: list

    @property
    def complete(self) -> bool:
        """Whether every weight was taken, and filled."""
        return not self.unused and not self.unfilled

    def __str__(self):
        return self.table(max(len(self.unused), len(self.unfilled)))

    def table(self, rows: int = 7) -> str:
        """Both lists side by side, so many rows of them."""
        count = max(len(self.unused), len(self.unfilled))
        left, right = (x[:rows] + [""] * (min(rows, count) - len(x)) for x in (self.unused, self.unfilled))
        width = max(map(len, ["in the file only", *left]))
        lines = [f"{a:<{width}}  {b}" for a, b in [("in the file only", "in the model only"), *zip(left, right)]]
        return "\n".join(lines + [f"... and {count - rows} more rows"] * (count > rows))


def holders(root) -> dict:
    """Path -> layer or optimizer, each once, under the paths that Keras gives them."""
    found: dict = {}
    _visit(root, "", found, set())
    return found


def _visit(item, path, found, seen) -> None:
    if id(item) in seen:
        return
    seen.add(id(item))
    if isinstance(item, (Layer, Optimizer)):
        found[path] = item
        for name, value in _attributes(item):
            _visit(value, f"{path}{name}/", found, seen)
    elif isinstance(item, (list, tuple, set, dict)):
        used: dict = {}
        for value in item.values() if isinstance(item, dict) else item:
            if isinstance(value, (Layer, Optimizer, list, tuple, set, dict)) and id(value) not in seen:
                name = names.to_snake_case(type(value).__name__) if isinstance(value, (Layer, Optimizer)) else "container"
                used[name] = used.get(name, -1) + 1
                _visit(value, f"{path}{name}_{used[name]}/" if used[name] else f"{path}{name}/", found, seen)


def _attributes(item) -> list:
    """Attributes that may hold weights, public names first and in order of the alphabet, as Keras visits them."""
    if isinstance(item, Optimizer):
        return [(n, getattr(item, n)) for n in ("inner_optimizer", "optimizers") if hasattr(item, n)]
    values = {}
    for name, value in item.__dict__.items():
        if name not in _SKIPPED and isinstance(value, (Layer, Optimizer, list, tuple, set, dict)):
            public = name.lstrip("_")
            published = isinstance(getattr(type(item), public, None), property) and \
                type(item).__name__ not in ("GroupedQueryAttention", "GroupQueryAttention")  # Keras publishes none there
            values[public if name != public and published else name] = value
    if hasattr(type(item), "train_step"):
        values["layers"] = item.layers
    first = getattr(item, "graph", None) is not None or hasattr(item, "_stack")  # a layer may be an attribute as well
    return sorted(values.items(), key=lambda pair: (not (first and pair[0] == "layers"), pair[0].startswith("_"), pair[0]))


def weights_of(root, optimizer: bool = True, skipped=()) -> dict:
    """Every weight by its path in the file, and each group's name; the optimizer's state if `optimizer`."""
    arrays, groups, left_out = {}, {}, _left_alone(skipped)
    for path, holder in holders(root).items():
        if isinstance(holder, Optimizer) and not optimizer or id(holder) in left_out:
            continue
        store: dict = {}
        holder.save_own_variables(store)
        groups[f"{path}vars"] = getattr(holder, "name", "")
        for key, value in store.items():
            value = getattr(value, "raw", value)
            arrays[f"{path}vars/{key}"] = value if hasattr(value, "dtype") else np.asarray(value)
    return {"arrays": arrays, "groups": groups}


def _left_alone(skipped) -> set:
    """The ids of layers, with all that is in them, and of optimizers."""
    return {id(x) for o in skipped or () for x in (o._flatten_layers() if isinstance(o, Layer) else [o])}


def layout(root, optimizer: bool = True) -> tuple[int, list]:
    """The size and the content of an HDF5 file with the weights of a model."""
    told = weights_of(root, optimizer)
    return laid_out({group: {"name": name} for group, name in told["groups"].items()}, told["arrays"])


def write_h5(root, path, optimizer: bool = True, skipped=()) -> None:
    """Write the weights of a model into an HDF5 file at `path`, whole or not at all."""
    told = weights_of(root, optimizer, skipped)
    write_arrays({group: {"name": name} for group, name in told["groups"].items()}, told["arrays"], path)


def write_arrays(groups: dict, arrays: dict, path) -> None:
    """Write an HDF5 file: attributes by group, and arrays by path; whole or not at all, with a checksum at its end."""
    _, content = laid_out(groups, arrays)
    with writing(path) as file:
        file.write(trailer(put(file, content)))


def refuse_shared(root) -> None:
    """ValueError for a layer that stands in two models of one: their configs would make two layers of it."""
    owners: dict = {}
    for model in root._flatten_layers():
        for layer in model.layers if getattr(model, "graph", None) is not None else ():
            other = owners.setdefault(id(layer), model)
            if other is not model and layer.weights:
                raise ValueError(f"Layer {layer.name!r} stands in model {other.name!r} and in model {model.name!r}, which is "
                                 "one of its parts, or beside it. A file would make two layers of it, so such a model is not "
                                 "written (Keras cannot read its own file of it).\nSave its weights with save_weights, or "
                                 "use the layer in one of the models only.")


def refuse_overwriting(path, overwrite) -> None:
    if not overwrite and os.path.exists(path):
        raise FileExistsError(f"{path!r} exists. Pass overwrite=True to replace it.")


def fill(model, arrays: dict, shown, strict: bool = True, skip_mismatch: bool = False, verify=None,
         names_told: dict | None = None, skipped=()) -> LoadReport:
    """Put arrays into a model by path; on any error the model is as it was.

    All that is needed is read, and `verify` called, before the first weight changes.

    Args:
        model: the model, built.
        arrays: path -> array.
        shown: what error messages call the file.
        strict: whether a path on one side only, or a layer of another name, is an error.
        skip_mismatch: whether layers whose weights have other shapes are left alone.
        verify: raises FileError where the file is damaged.
        names_told: path of a layer -> the name that the file gives it.
        skipped: layers and optimizers to leave alone.
    """
    if not model.built:
        raise ValueError(f"Model {model.name!r} is not built, so its weights do not exist yet. Call it on data first.")
    todo, report = match(model, arrays, shown, skip_mismatch, skipped)
    _refuse_leftovers(model, report, shown, strict, _elsewhere(todo, names_told or {}))
    _guarded([v for h, _, _ in todo for v in (h.variables if isinstance(h, Optimizer) else h.weights)],
             [value for _, _, store in todo for value in store.values()],
             lambda: [holder.load_own_variables(store) for holder, _, store in todo], shown, verify)
    return report


def assign_all(pairs: list, shown, verify=None) -> None:
    """Give variables their arrays, all or none."""
    _guarded([v for v, _ in pairs], [a for _, a in pairs], lambda: [v.assign(a) for v, a in pairs], shown, verify)


def _guarded(variables: list, values: list, change, shown, verify) -> None:
    """Read all values, and run what changes variables; on an error they are as they were."""
    for value in values:
        if isinstance(value, Stored):
            value.load()
    if verify is not None:
        verify()
    old = [(v, v.raw) for v in variables if not isinstance(v, Awaited)]
    try:
        change()
    except Exception as error:
        for variable, value in old:
            variable.assign(value)
        raise FileError(f"{shown} could not be loaded; the model is as it was: {error}") from error


def _elsewhere(todo, names_told: dict) -> list:
    """Layers of a model that would take the weights of a layer of another name: what the file says, and what they are."""
    pairs = [(path, names_told.get(path), holder) for holder, path, _ in todo if path.split("/")[-3:-2] == ["layers"]]
    return [(f"{path}vars of layer {told!r}", f"{path}vars of layer {holder.name!r}") for path, told, holder in pairs
            if told and base_name(told) != base_name(holder.name)]


def base_name(name: str) -> str:
    """A name without the number that tells it from others of its kind: `dense_3` -> `dense`."""
    return re.sub(r"_\d+$", "", name)


def fill_fresh(model, arrays: dict, shown) -> None:
    """`fill` for a model that nobody has seen yet: one array at a time, as there is nothing to go back to."""
    todo, report = match(model, arrays, shown)
    _refuse_leftovers(model, report, shown, True)
    _load(todo, shown)


def fill_optimizer(model, arrays: dict, shown) -> None:
    """Put an optimizer's state from a file into a model that nobody has seen yet."""
    store = {k.removeprefix("optimizer/vars/"): v for k, v in arrays.items() if k.startswith("optimizer/vars/")}
    if store and model.optimizer is not None:
        if len(store) == len(model.optimizer.variables) + 4 and not isinstance(model.optimizer, LossScaleOptimizer):
            # Keras writes neither a functional model's policy nor that it scaled the loss; the state is that of both.
            model.optimizer = model._compile_told["optimizer"] = LossScaleOptimizer(model.optimizer)
            model.optimizer.build(model.trainable_variables)
        _load([(model.optimizer, "optimizer/", store)], shown)


def _load(todo, shown) -> None:
    try:
        for holder, _, store in todo:
            holder.load_own_variables(store)
    except Exception as error:
        raise FileError(f"{shown} could not be loaded: {error}") from error


def _refuse_leftovers(model, report, shown, strict, elsewhere=()) -> None:
    if strict and (elsewhere or not report.complete):
        report = LoadReport(report.unused + [a for a, _ in elsewhere], report.unfilled + [b for _, b in elsewhere])
        raise ValueError(f"{shown} does not fit model {model.name!r}; no weight was changed. Pass strict=False to load "
                         f"what fits.\n{report.table()}")


def match(model, arrays: dict, shown, skip_mismatch: bool = False, skipped=()) -> tuple[list, LoadReport]:
    """Which holder takes which arrays, as (holder, path, arrays), and what is left over.

    Raises ValueError for a wrong shape.
    """
    by_place: dict = {}
    for path, value in arrays.items():
        place, _, key = path.rpartition("/")
        by_place.setdefault(place, {})[key] = value
    todo, unused, unfilled = [], set(arrays), []
    optimizer = getattr(model, "optimizer", None)
    left_alone = _left_alone(skipped)
    for path, holder in holders(model).items():
        prefix, own = f"{path}vars/", {}
        store = by_place.get(f"{path}vars", {})
        if id(holder) in left_alone:
            unused -= {prefix + k for k in store}
            continue
        holder.save_own_variables(own)
        if isinstance(holder, Optimizer):
            unused -= {prefix + k for k in store}
            if store and holder is optimizer:  # an inner optimizer's state is in the outer one's already
                todo.append((holder, path, store))
            continue
        wrong = [k for k, v in store.items() if k in own and tuple(own[k].shape) != v.shape]
        if wrong and not skip_mismatch:
            raise ValueError(f"{shown}: {prefix}{wrong[0]} has shape {store[wrong[0]].shape}, but layer {holder.name!r} "
                             f"has shape {tuple(own[wrong[0]].shape)}. No weight was changed.")
        unused -= {prefix + k for k in store if k in own and k not in wrong}
        unfilled += [prefix + k for k in own if k not in store or k in wrong]
        reads_itself = not own and not is_builtin(type(holder).load_own_variables)  # perhaps from elsewhere
        if (store or reads_itself) and store.keys() == own.keys() and not wrong:
            todo.append((holder, path, store))
    return todo, LoadReport(sorted(k for k in unused if not k.startswith("optimizer/")), sorted(unfilled))

