"""What can be known to be wrong with data before the first step."""

import weakref

import numpy as np

from cornu import config, losses, registry, tree
from cornu.data import SparseRows, is_text


def check_arrays(data, model, kind: str) -> None:
    """Raise ValueError for text given to a numeric model, NaN, and labels out of range."""
    if kind == "train":
        for layer in model._flatten_layers():
            getattr(layer, "check_ready", lambda: None)()
    check_kinds(data[0], model)
    for part, name in zip(data[:1] if kind == "predict" else data, ("x", "y", "sample_weight")):
        for path, array in tree.flatten_with_path(part) if part is not None else ():
            if array is None:
                continue
            label = f"`{name}`" + "".join(f"[{k!r}]" for k in path)
            if is_text(array):
                if name != "x" or not takes_text(model):
                    way = "Class names become numbers with np.unique(y, return_inverse=True)[1]." if name == "y" else \
                        "Convert it, or put a TextVectorization, StringLookup or Hashing layer in front."
                    raise ValueError(f"{label} holds text (dtype {array.dtype}), but the model takes numbers. {way}")
            elif kind == "train" and not config.allows_nan():
                stored = array.values if isinstance(array, SparseRows) else array
                if isinstance(stored, np.ndarray) and stored.dtype.kind == "f":
                    _refuse_nan(stored, label)
    check_tokens(data[0], model)
    if kind != "predict" and data[1] is not None:
        check_labels(data[1], model)


def check_tokens(x, model) -> None:
    """Refuse tokens that an Embedding right behind an input does not have: a compiled step would give NaN for them."""
    if model.graph is None:  # a Sequential that is not built yet
        readers = [layer for layer in getattr(model, "_stack", ())[:1] if hasattr(layer, "check_tokens")]
        found = [(x, layer) for layer in readers if isinstance(x, np.ndarray)]
    else:
        array_of = {id(tensor): array for tensor, array in _paired(x, model)}
        found = [(array_of.get(id(call.inputs[0])), call.operation) for call in model.graph.calls
                 if call.inputs and hasattr(call.operation, "check_tokens")]
    for array, layer in found:
        if isinstance(array, np.ndarray) and not is_text(array):
            layer.check_tokens(array)


def _paired(x, model) -> list:
    """The inputs of a graph with the arrays that are given for them."""
    inputs = model.graph.input_structure
    if isinstance(x, dict):
        inputs = inputs if isinstance(inputs, dict) else dict(zip(model.input_names, model.graph.inputs))
        inputs, x = [inputs[k] for k in x if k in inputs], [x[k] for k in x if k in inputs]
    return list(zip(tree.flatten(inputs), tree.flatten(x)))


def check_kinds(x, model) -> None:
    """Refuse strings for an input of numbers, and numbers for one of strings."""
    for tensor, array in _paired(x, model) if model.graph is not None else ():
        if array is not None and is_text(array) != (tensor.dtype == "string"):
            given, wanted = ("text", "numbers") if is_text(array) else ("numbers", "strings")
            hint = "Convert it, or put a TextVectorization, StringLookup or Hashing layer in front." if wanted == "numbers" \
                else "Convert it with .astype(str)."
            raise ValueError(f"Input {tensor.call.operation.name!r} takes {wanted}, but was given {given} (dtype {array.dtype}). "
                             + hint)


def takes_text(model) -> bool:
    """Whether a layer of the model reads strings."""
    return any(getattr(layer, "takes_text", False) for layer in model._flatten_layers())


_clean: dict = {}  # arrays that were looked through before: a second fit on the same one need not do it again


def _refuse_nan(array, label: str) -> None:
    known = _clean.get(id(array))
    if known is not None and known() is array:
        return
    with np.errstate(all="ignore"):
        for start in range(0, len(array), 65536):  # a sum is the fastest look at every value; NaN survives it
            part = array[start:start + 65536]
            if np.isnan(part.sum(dtype="float32")) and (bad := np.isnan(part)).any():
                place = tuple(int(i) for i in np.argwhere(bad)[0])
                raise ValueError(f"{label} has NaN, first at index {(start + place[0], *place[1:])}. Clean the data, or allow NaN "
                                 "with cornu.config.allow_nan(True).")
    _clean[id(array)] = weakref.ref(array, lambda _, key=id(array): _clean.pop(key, None))


def check_labels(y, model) -> None:
    """Integer labels against what the losses take: class numbers within the outputs' classes, or 0 and 1."""
    compiled, structure = model._loss, model._output_structure()
    if compiled is None or structure is None or not registry.is_builtin(type(model).compute_loss):
        return
    from cornu.training.compiled import Outputs

    found = Outputs(structure, model._output_names())
    outputs = found.by_name
    compiled.bind(found, y)
    kinds = [(name, loss, _function_of(loss)) for name, loss in compiled.of_outputs()]
    if not {kind for *_, kind in kinds} & (_OF_CLASSES | _OF_BITS):
        return
    targets = compiled.targets(y, found)
    for name, loss, kind in kinds:
        target, output = targets.get(name), outputs[name]
        if target is None or not hasattr(target, "shape"):
            continue
        classes = output.shape[getattr(loss, "axis", -1)] if output.ndim else None
        if kind in _OF_CLASSES and classes is not None:
            losses.check_labels(np.asarray(target), classes, getattr(loss, "ignore_class", None))
        elif kind in _OF_BITS:
            losses.check_bits(np.asarray(target))


_OF_CLASSES = {"sparse_categorical_crossentropy", "categorical_generalized_cross_entropy"}
_OF_BITS = {"binary_crossentropy", "binary_focal_crossentropy"}


def _function_of(loss) -> str:
    """The name of the loss function."""
    return getattr(getattr(loss, "fn", loss), "__name__", "")
