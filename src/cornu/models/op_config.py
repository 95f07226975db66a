"""The configs of operations that stand in a graph, in Keras's form.

Keras keeps an operation's settings (`axis`, `newshape`) in its config and what it computes on in the call's arguments;
which is which, and Keras's names for them, say the rows of `cornu.ops.graph_names`.
"""

import functools
import inspect

from cornu import check, registry, tree
from cornu.ops import graph_names
from cornu.symbolic import OpCall, keras_mask


def write(operation: OpCall) -> dict:
    """The config of an operation: its class as Keras calls it, and its settings."""
    module, class_name, settings = _row(operation.fn.__name__)
    told = _bound(operation.fn, operation._inbound_nodes[0])
    config = {k: registry.serialize(told[k]) for k in settings if k in told}
    return {"module": module, "class_name": class_name, "config": {"name": operation.name, **config},
            "registered_name": class_name}


def arguments(call) -> tuple[list, dict]:
    """The call's arguments without the operation's settings, without defaults at the end."""
    fn = call.operation.fn
    settings, told = _row(fn.__name__)[2], _bound(fn, call)
    args, kwargs = [], {}
    for p in inspect.signature(fn).parameters.values():
        if p.name in settings or p.name not in told:
            continue
        if p.kind is p.VAR_POSITIONAL:
            args += told[p.name]
        elif p.kind is p.VAR_KEYWORD:
            kwargs |= told[p.name]
        elif p.kind is p.KEYWORD_ONLY:
            kwargs[p.name] = told[p.name]
        else:
            args.append(told[p.name])
    given = {**dict(zip(inspect.signature(fn).parameters, call.args)), **call.kwargs}
    names = [n for n in told if n not in settings]
    while args and names and names[-1] not in given and len(args) == len(names):
        args.pop(), names.pop()
    return args, kwargs


def _bound(fn, call) -> dict:
    bound = inspect.signature(fn).bind(*call.args, **call.kwargs)
    bound.apply_defaults()
    return bound.arguments


def read(entry: dict) -> OpCall | None:
    """The operation that a config means; None where it means a layer."""
    module = entry.get("module") or ""
    if not module.startswith(("keras.src.ops", "keras.ops", "cornu.ops")):
        return None
    name = _by_class().get((module.rpartition(".")[2], entry["class_name"])) or _by_class().get(entry["class_name"])
    if name is None:
        raise check.unknown("operation", entry["class_name"], [k for k in _by_class() if isinstance(k, str)])
    config = dict(entry["config"])
    operation = OpCall(keras_mask if name == _MASK[0] else graph_names.function(name), config.pop("name", None))
    operation.settings = {k: tree.lists_to_tuples(registry.deserialize(v)) for k, v in config.items()}
    return operation


def call_arguments(operation: OpCall, args: list, kwargs: dict) -> tuple[list, dict]:
    """All arguments of the function: those of the call, and the settings that `read` took from the config."""
    settings = {k: v for k, v in getattr(operation, "settings", {}).items() if k not in kwargs}
    if operation.fn.__name__ == "get_item" and isinstance(args[1], list):
        args = [args[0], tuple(args[1])]
    params = list(inspect.signature(operation.fn).parameters.values())
    if any(p.kind is p.VAR_POSITIONAL for p in params):
        return [*(settings.pop(p.name) for p in params if p.name in settings and p.kind is p.POSITIONAL_OR_KEYWORD),
                *args], {**settings, **kwargs}
    names = [p.name for p in params if p.name not in settings]
    return [], {**dict(zip(names, args)), **settings, **kwargs}


_MASK = "keras_mask", ("cornu.ops", "KerasMask", [])  # Keras has no operation for it


def _row(name: str) -> tuple:
    if name == _MASK[0]:
        return _MASK[1]
    if name not in graph_names.TABLE:
        raise NotImplementedError(f"The operation `{name}` has no place in a config. Put it into the `call` of a layer of "
                                  "your own.")
    return graph_names.TABLE[name]


@functools.lru_cache(maxsize=None)
def _by_class() -> dict:
    found = {}
    for name, (module, class_name, _) in (_MASK, *graph_names.TABLE.items()):
        found.setdefault(class_name, name)
        found.setdefault((module.rpartition(".")[2], class_name), name)
    return found
