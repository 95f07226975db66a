"""What a layer expects of its inputs, and the check of it."""

from cornu import tree
from cornu.dtypes import standardize
from cornu.symbolic import shape_of


class InputSpec:
    """The rank, sizes and dtype that a layer takes; None where anything goes.

    Args:
        dtype: the dtype's name.
        shape: the whole shape; None in it for any size.
        ndim: the rank.
        max_ndim, min_ndim: bounds of the rank.
        axes: sizes by axis, as `{-1: 64}`.
        allow_last_axis_squeeze: accept a last axis of size 1 too much or too little.
        name: the key that the input has when inputs come as a dict.
        optional: whether None is accepted.

    >>> InputSpec(ndim=2, axes={-1: 3})
    InputSpec(ndim=2, axes={-1: 3})
    """

    def __init__(self, dtype=None, shape=None, ndim=None, max_ndim=None, min_ndim=None, axes=None,
                 allow_last_axis_squeeze=False, name=None, optional=False):
        self.dtype = None if dtype is None else standardize(dtype)
        self.shape = None if shape is None else tuple(shape)
        self.ndim = ndim if shape is None else len(shape)
        self.max_ndim, self.min_ndim = max_ndim, min_ndim
        self.axes = {int(k): v for k, v in (axes or {}).items()}
        self.allow_last_axis_squeeze, self.name, self.optional = allow_last_axis_squeeze, name, optional
        top = self.ndim if self.ndim is not None else self.max_ndim
        if self.axes and top is not None and max(self.axes) >= top:
            raise ValueError(f"InputSpec: axis {max(self.axes)} does not exist in an input of rank {top}.")

    def get_config(self) -> dict:  # no Configurable: it stands in no config of its own
        return {"dtype": self.dtype, "shape": self.shape, "ndim": self.ndim, "max_ndim": self.max_ndim,
                "min_ndim": self.min_ndim, "axes": self.axes, "optional": self.optional}

    @classmethod
    def from_config(cls, config: dict) -> "InputSpec":
        return cls(**config)

    def __repr__(self):
        told = [f"{k}={v}" for k, v in self.get_config().items() if v]
        return f"InputSpec({', '.join(told)})"

    def problem(self, x) -> str | None:
        """What is wrong with an input, or None."""
        shape = shape_of(x)
        rank = len(shape)
        if self.shape is not None and self.allow_last_axis_squeeze and rank != self.ndim:
            longer = shape if rank > self.ndim else self.shape
            if abs(rank - self.ndim) == 1 and longer[-1] == 1:
                return None
        if self.ndim is not None and rank != self.ndim:
            return f"expected an input of rank {self.ndim}, received rank {rank} (shape {shape})"
        if self.max_ndim is not None and rank > self.max_ndim:
            return f"expected an input of rank at most {self.max_ndim}, received rank {rank} (shape {shape})"
        if self.min_ndim is not None and rank < self.min_ndim:
            return f"expected an input of rank at least {self.min_ndim}, received rank {rank} (shape {shape})"
        if self.dtype is not None and standardize(x.dtype) != self.dtype:
            return f"expected dtype {self.dtype}, received {standardize(x.dtype)}"
        sizes = dict(enumerate(self.shape)) if self.shape is not None else {}
        for axis, size in {**sizes, **self.axes}.items():
            if size is not None and shape[axis] is not None and shape[axis] not in (
                    size if isinstance(size, (set, list, tuple)) else (size,)):
                return f"expected size {size} on axis {axis}, received shape {shape}"
        return None


def no_tensor(layer_name: str, index: int, x) -> ValueError:
    """The error for an input that is none."""
    return ValueError(f"Layer {layer_name!r}: input {index} is not a tensor but {type(x).__name__}: {x!r:.80}")


def assert_input_compatibility(input_spec, inputs, layer_name: str) -> None:
    """Raise ValueError when the inputs are not what the layer expects."""
    if not input_spec:
        return
    specs = [input_spec] if isinstance(input_spec, InputSpec) else tree.flatten(input_spec)
    if len(specs) == 1 and hasattr(inputs, "shape"):  # as most layers are called: this costs at every call
        values = [inputs]
    elif isinstance(inputs, dict) and all(s is not None and s.name for s in specs):
        missing = [s.name for s in specs if s.name not in inputs and not s.optional]
        if missing:
            raise ValueError(f"Layer {layer_name!r} misses the inputs {missing}. Received: {sorted(inputs)}")
        values = [inputs.get(s.name) for s in specs]
    else:
        values = tree.flatten(inputs)
        if any(isinstance(x, (int, float)) for x in values):
            raise ValueError(f"Layer {layer_name!r} takes tensors. Received numbers in a {type(inputs).__name__}, "
                             f"{inputs!r:.60}. Make an array of them first, as by np.array(...).")
    if len(values) != len(specs):
        raise ValueError(f"Layer {layer_name!r} expects {len(specs)} input(s), but received {len(values)}.")
    for index, (spec, x) in enumerate(zip(specs, values)):
        if spec is None or (x is None and spec.optional):
            continue
        if not hasattr(x, "shape"):
            raise no_tensor(layer_name, index, x)
        if wrong := spec.problem(x):
            which = "its input" if len(specs) == 1 else f"input {index}"
            raise ValueError(f"Layer {layer_name!r} does not fit {which}: {wrong}.")
