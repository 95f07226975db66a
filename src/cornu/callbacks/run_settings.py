"""What a program says of its run, in plain values: to tell whether a saved state is of the run that resumes it.

Names that were given automatically count from the first layer of the process, so they are compared without their numbers.
"""

import re
import zlib

from cornu import losses
from cornu.names import to_snake_case

_DECISIVE = ("activation", "trainable")  # settings of a layer that its state makes no sense without
_FREE = ("name", "initializer", "seed", "learning_rate")  # those that a state replaces; a rate is told of by itself
_PARTS = ("layers", "input_layers", "output_layers", "build_config", "inner_optimizer")  # which have settings of their own
_LONGEST = 64  # items of a list that are kept


def settings_of(model, optimizers: list) -> dict:
    """The optimizers, the loss, and the layers with their settings."""
    for optimizer in optimizers:  # and what they wrap
        optimizers = [*optimizers, *filter(None, [getattr(optimizer, "inner_optimizer", None)])]
    return {"optimizers": [[type(o).__name__, _config_of(o)] for o in optimizers],
            "loss": _loss_of(getattr(model, "loss", None)),
            "layers": [[_name_of(layer), type(layer).__name__, _config_of(layer)] for layer in model._flatten_layers()]}


def without_numbers(path: str) -> str:
    """A variable's path without the numbers in its automatic names."""
    return re.sub(r"_\d+", "", path)


def decisive_difference(saved: dict, now: dict) -> str:
    """What forbids to go on from a state, in words; nothing where it may be taken."""
    kinds = [[kind for kind, _ in each["optimizers"]] for each in (saved, now)]
    if kinds[0] != kinds[1]:
        return f"its optimizer is {', '.join(kinds[0]) or None}, the model's {', '.join(kinds[1]) or None}"
    if saved["loss"] != now["loss"]:
        return f"its loss is {_shown(saved['loss'])}, the model's {_shown(now['loss'])}"
    if len(saved["layers"]) != len(now["layers"]):
        return f"it has {len(saved['layers'])} layers, the model {len(now['layers'])}"
    for (name, kind, settings), (other, other_kind, others) in zip(saved["layers"], now["layers"]):
        if (name, kind) != (other, other_kind):
            return f"it has layer {name!r} ({kind}) where the model has {other!r} ({other_kind})"
        for key in sorted({*settings, *others}):
            if key.endswith(_DECISIVE) and settings.get(key) != others.get(key):
                return f"the {key} of its layer {name!r} is {_shown(settings.get(key))}, the model's {_shown(others.get(key))}"
    return ""


def other_differences(saved: dict, now: dict) -> list:
    """Settings that differ but may, each in words."""
    found = []
    pairs = [(kind, a, b) for (kind, a), (_, b) in zip(saved["optimizers"], now["optimizers"])]
    pairs += [(f"layer {name!r}", a, b) for (name, _, a), (*_, b) in zip(saved["layers"], now["layers"])]
    for owner, before, after in pairs:
        for key in sorted({*before, *after}):
            old, new = before.get(key), after.get(key)
            if old == new or key.endswith((*_DECISIVE, *_FREE)):
                continue
            found.append(f"{key} of {owner} was {_shown(old)}, and is {_shown(new)} from now on")
    return found


def _name_of(layer) -> str:
    usual = to_snake_case(type(layer).__name__)
    return usual if re.fullmatch(re.escape(usual) + r"(_\d+)?", layer.name) else layer.name


def _loss_of(loss):
    """A loss, or a nest of them, by the names of their functions and classes."""
    if isinstance(loss, dict):
        return {str(k): _loss_of(v) for k, v in loss.items()}
    if isinstance(loss, (list, tuple)):
        return [_loss_of(v) for v in loss]
    if isinstance(loss, str):
        loss = losses.ALIASES.get(loss, loss)
    found = _plain(loss)
    if isinstance(found, dict):
        told = {k: v for k, v in found["config"].items() if v is not None} if isinstance(found.get("config"), dict) else {}
        return [to_snake_case(found["class_name"]), *([told] if told not in ({}, {"reduction": "sum_over_batch_size"}) else [])]
    return [to_snake_case(found) if isinstance(found, str) else found]


def _config_of(thing) -> dict:
    try:
        config = thing.get_config()
    except Exception:  # a lambda, or a constructor that keeps nothing: what can be seen from outside
        config = {k: v for k, v in vars(thing).items() if not k.startswith("_") and _is_setting(v)}
    return {k: _plain(v) for k, v in config.items() if k not in _PARTS}


def _is_setting(value) -> bool:
    return value is None or callable(value) or isinstance(value, (bool, int, float, str, list, tuple))


def _plain(value, depth: int = 6):
    """A value as lists, dicts, numbers and text that are equal where it stands for the same."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if depth == 0:
        return type(value).__name__
    if isinstance(value, dict):
        if value.get("class_name") == "function":
            return str(value["config"])
        return {str(k): _plain(v, depth - 1) for k, v in value.items() if k not in ("module", "registered_name", "name")
                or not isinstance(v, str | None)}
    if isinstance(value, (list, tuple)):
        if len(value) > _LONGEST:
            return [len(value), zlib.crc32(repr(value).encode())]
        return [_plain(v, depth - 1) for v in value]
    code = getattr(value, "__code__", None)
    if code is not None and value.__name__ == "<lambda>":
        return ["lambda", *code.co_names, *(c for c in code.co_consts if isinstance(c, (int, float, str)))]
    if hasattr(value, "__name__"):
        return value.__name__
    try:
        return {"class_name": type(value).__name__, "config": _plain(value.get_config(), depth - 1)}
    except Exception:
        return type(value).__name__


def _shown(value) -> str:
    if isinstance(value, dict) and set(value) <= {"class_name", "config"}:
        value = value.get("class_name")
    return f"{value:.6g}" if isinstance(value, float) else f"{value!r:.80}"
