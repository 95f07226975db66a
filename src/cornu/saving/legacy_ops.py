"""TensorFlow's functions in the graphs of Keras 2's functional models, as operations of cornu."""

import jax.numpy as jnp

from cornu import registry
from cornu.ops import graph_names
from cornu.saving.view import FileError
from cornu.symbolic import op


@op
def keras2_hard_sigmoid(x):
    """What Keras 2 called hard_sigmoid: clip(0.2 x + 0.5, 0, 1); Keras 3's has the slope 1 / 6."""
    return jnp.clip(0.2 * x + 0.5, 0, 1)


registry.add_functions("activations", {"keras2_hard_sigmoid": keras2_hard_sigmoid})

_UNARY = {"math.negative": "negative", "math.abs": "abs", "math.square": "square", "math.sqrt": "sqrt", "math.exp": "exp",
          "math.log": "log", "math.log1p": "log1p", "math.expm1": "expm1", "math.sin": "sin", "math.cos": "cos", "math.tan": "tan",
          "math.tanh": "tanh", "math.sinh": "sinh", "math.cosh": "cosh", "math.asin": "arcsin", "math.acos": "arccos",
          "math.atan": "arctan", "math.sigmoid": "sigmoid", "math.softplus": "softplus", "math.sign": "sign",
          "math.floor": "floor", "math.ceil": "ceil", "math.round": "round", "math.rsqrt": "rsqrt", "math.erf": "erf",
          "math.reciprocal": "reciprocal", "math.is_nan": "isnan", "math.is_inf": "isinf", "math.is_finite": "isfinite",
          "math.logical_not": "logical_not", "nn.relu": "relu", "nn.relu6": "relu6", "nn.selu": "selu", "nn.elu": "elu",
          "nn.silu": "silu", "nn.swish": "silu", "nn.softsign": "softsign", "nn.tanh": "tanh", "nn.sigmoid": "sigmoid",
          "nn.softplus": "softplus", "nn.softmax": "softmax", "nn.log_softmax": "log_softmax", "nn.gelu": "gelu",
          "nn.leaky_relu": "leaky_relu", "identity": "copy", "zeros_like": "zeros_like", "ones_like": "ones_like"}
_BINARY = {"math.add": "add", "__operators__.add": "add", "math.subtract": "subtract", "math.multiply": "multiply",
           "math.truediv": "true_divide", "math.divide": "divide", "math.floordiv": "floor_divide", "math.floormod": "mod",
           "math.mod": "mod", "math.pow": "power", "math.maximum": "maximum", "math.minimum": "minimum", "math.equal": "equal",
           "math.not_equal": "not_equal", "math.greater": "greater", "math.greater_equal": "greater_equal",
           "math.less": "less", "math.less_equal": "less_equal", "math.logical_and": "logical_and",
           "math.logical_or": "logical_or", "math.atan2": "arctan2", "math.divide_no_nan": "divide_no_nan",
           "__operators__.eq": "equal", "__operators__.ne": "not_equal"}
_REDUCTIONS = {"sum": "sum", "mean": "mean", "max": "max", "min": "min", "prod": "prod", "any": "any", "all": "all",
               "std": "std", "variance": "var", "logsumexp": "logsumexp"}
_SHAPES = {"reshape": ("reshape", {"shape": "newshape"}), "expand_dims": ("expand_dims", {}), "squeeze": ("squeeze", {}),
           "compat.v1.squeeze": ("squeeze", {}), "transpose": ("transpose", {"perm": "axes"}),
           "compat.v1.transpose": ("transpose", {"perm": "axes"}), "concat": ("concatenate", {"values": "xs"}),
           "stack": ("stack", {"values": "x"}), "tile": ("tile", {"multiples": "repeats"}), "cast": ("cast", {}),
           "repeat": ("repeat", {}), "reverse": ("flip", {}), "broadcast_to": ("broadcast_to", {}), "where": ("where", {}),
           "math.argmax": ("argmax", {}), "math.argmin": ("argmin", {}), "clip_by_value": ("clip", {
               "clip_value_min": "x_min", "clip_value_max": "x_max"}), "einsum": ("einsum", {}),
           "linalg.matmul": ("matmul", {"b": "x2"}), "math.cumsum": ("cumsum", {}), "gather": ("take", {}),
           "one_hot": ("one_hot", {"depth": "num_classes"}), "math.top_k": ("top_k", {}), "nn.top_k": ("top_k", {})}
# TensorFlow's name -> our operation, and what it calls TensorFlow's arguments.
TABLE = {name: (ours, {}) for name, ours in _UNARY.items()}
TABLE |= {name: (ours, {"y": "x2"}) for name, ours in _BINARY.items()}
TABLE |= {f"math.reduce_{name}": (ours, {}) for name, ours in _REDUCTIONS.items()}
TABLE |= _SHAPES
TABLE["nn.leaky_relu"] = ("leaky_relu", {"alpha": "negative_slope"})
_DEFAULTS = {"gelu": {"approximate": False}, "leaky_relu": {"negative_slope": 0.2}, "argmax": {"axis": 0}, "argmin": {"axis": 0},
             "take": {"axis": 0}, "cumsum": {"axis": 0}, "top_k": {"k": 1}}  # where TensorFlow's differ from ours
_IDLE = {"conjugate": False, "transpose_a": False, "transpose_b": False, "adjoint_a": False, "adjoint_b": False,
         "a_is_sparse": False, "b_is_sparse": False, "output_type": None, "exclusive": False, "reverse": False,
         "batch_dims": 0, "validate_indices": None, "on_value": None, "off_value": None, "sorted": True}


def operation(entry: dict, calls: list, shown) -> dict | None:
    """The config of the operation that a layer of TensorFlow's stands for, its calls adjusted; None for other layers.

    Raises ValueError for functions that are not known here.
    """
    if entry["class_name"] not in ("TFOpLambda", "SlicingOpLambda"):
        return None
    function = entry["config"].get("function")
    if function in ("__operators__.getitem", "getitem"):
        for call in calls:
            call["args"], call["kwargs"] = [call["args"][0], _slices(call["kwargs"]["slice_spec"])], {}
        return _entry("get_item", entry)
    if function not in TABLE:
        raise ValueError(f"{shown}: the TensorFlow function {function!r:.80} in the model's graph has no counterpart here. "
                         "Rebuild the model with ops of cornu and load its weights with by_name=True.")
    name, renamed = TABLE[function]
    for call in calls:
        name = _adjust(name, call, renamed, function, shown)
    return _entry(name, entry)


def _entry(name: str, entry: dict) -> dict:
    module, class_name, _ = graph_names.TABLE[name]
    return {"module": module, "class_name": class_name, "config": {"name": entry["config"]["name"]},
            "registered_name": None}


def _adjust(name, call, renamed, function, shown) -> str:
    """TensorFlow's keywords become ours; those that ask for something else are refused. Gives the operation's name."""
    kwargs = {**_DEFAULTS.get(name, {}), **{renamed.get(k, k): v for k, v in call["kwargs"].items() if v is not None}}
    first, second = kwargs.pop("transpose_a", False), kwargs.pop("transpose_b", False)
    for key, value in _IDLE.items():
        if kwargs.pop(key, value) != value:
            raise ValueError(f"{shown}: tf.{function}(..., {key}=...) in the model's graph is not read.")
    if first or second:
        equation = f"...{'ki' if first else 'ik'},...{'jk' if second else 'kj'}->...ij"
        name, call["args"], kwargs = "einsum", [equation, call["args"][0], kwargs["x2"]], {}
    call["kwargs"] = kwargs
    return name


def _slices(spec):
    """A tensor's index: slices, numbers, None and an ellipsis."""
    def one(item):
        if isinstance(item, dict) and {"start", "stop", "step"} <= item.keys():
            return {"class_name": "__slice__", "config": {k: item[k] for k in ("start", "stop", "step")}}
        if isinstance(item, dict) and item.get("class_name") in ("__ellipsis__", "ellipsis") or item in ("...", "Ellipsis"):
            return {"class_name": "__ellipsis__", "config": {}}
        if item is None or isinstance(item, int):
            return item
        raise FileError(f"an index of the model's graph cannot be read: {item!r:.80}")

    return [one(i) for i in spec] if isinstance(spec, list) else one(spec)
