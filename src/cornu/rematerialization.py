"""Rematerialization: values computed again in the backward pass instead of being kept, to save memory."""

import contextvars
import math

import jax

from cornu import check, tree
from cornu.variable import Scope, scope_losses

_scope: contextvars.ContextVar = contextvars.ContextVar("cornu_remat", default=None)
MODES = ("full", "activations", "larger_than", "list_of_layers", None)


def remat(f):
    """`f` with its inner values computed again in the backward pass (`jax.checkpoint`).

    Variables that `f` assigns and losses that it adds are handed on. Arguments that are no arrays stay as they are.

    >>> import jax.numpy as jnp
    >>> float(jax.grad(remat(lambda x: jnp.sin(x) ** 2))(0.0))
    0.0
    """

    def run(*args, **kwargs):
        leaves, treedef = jax.tree.flatten((args, kwargs), is_leaf=lambda x: x is None)
        places = [i for i, x in enumerate(leaves)
                  if hasattr(x, "dtype") and getattr(x.dtype, "kind", "f") not in "OSUT"]
        written, owners, static = [], [], []

        def body(*arrays):
            filled = list(leaves)
            for place, array in zip(places, arrays):
                filled[place] = array
            call_args, call_kwargs = treedef.unflatten(filled)
            with Scope(collects=True) as scope:
                flat, structure = jax.tree.flatten(f(*call_args, **call_kwargs), is_leaf=lambda x: x is None)
                flat = [getattr(x, "value", x) for x in flat]
                written[:], owners[:] = scope.written.values(), [layer for layer, _ in scope.added]
                static[:] = [structure, [None if isinstance(x, jax.Array) else (x,) for x in flat]]
                return ([x for x in flat if isinstance(x, jax.Array)], [scope.values[id(v)] for v in written],
                        [loss for _, loss in scope.added])

        found, values, losses = jax.checkpoint(body)(*(leaves[i] for i in places))
        for variable, value in zip(written, values):
            variable.assign(value)
        collected = scope_losses()
        for owner, loss in zip(owners, losses):
            (owner._losses if collected is None else collected).append((owner, loss))
        rest = iter(found)
        return static[0].unflatten([next(rest) if x is None else x[0] for x in static[1]])

    return run


class RematScope:
    """Layers that are made within it are rematerialized.

    Args:
        mode: "full": whole layers; "activations": their activation functions only; "larger_than": layers whose output
            has more than `output_size_threshold` values; "list_of_layers": those named in `layer_names`; None: none.
        output_size_threshold: for "larger_than".
        layer_names: for "list_of_layers".

    Raises ValueError for another mode.

    >>> from cornu.layers import Dense
    >>> with RematScope(mode="list_of_layers", layer_names=["big"]):
    ...     big = Dense(2, name="big")
    """

    def __init__(self, mode: str | None = "full", output_size_threshold: int = 1024, layer_names: list | None = None):
        self.mode = check.one_of("mode", mode, MODES)
        self.output_size_threshold = check.positive("output_size_threshold", output_size_threshold, zero=True)
        self.layer_names = list(layer_names or ())

    def __enter__(self) -> "RematScope":
        self._token = _scope.set(self)
        return self

    def __exit__(self, *error) -> None:
        _scope.reset(self._token)

    def call(self, layer, args, kwargs):
        """The outputs of `layer.call`, rematerialized as the mode says."""
        whole = (self.mode == "full" or self.mode == "list_of_layers" and layer.name in self.layer_names
                 or self.mode == "larger_than" and _size(layer, args, kwargs) > self.output_size_threshold)
        if whole:
            return layer.rematerialized_call(layer.call, *args, **kwargs)(*args, **kwargs)
        activation = layer.__dict__.get("activation")
        if self.mode != "activations" or not callable(activation):
            return layer.call(*args, **kwargs)
        layer.__dict__["activation"] = remat(activation)
        try:
            return layer.call(*args, **kwargs)
        finally:
            layer.__dict__["activation"] = activation


def _size(layer, args, kwargs) -> int:
    """The number of values in a layer's largest output, found without computing it."""
    def run(args):
        with Scope(collects=True):
            return layer.call(*args, **kwargs)

    return max((math.prod(x.shape) for x in tree.flatten(jax.eval_shape(run, args))), default=0)


def current() -> RematScope | None:
    """The scope around, where it asks for something."""
    scope = _scope.get()
    return scope if scope is not None and scope.mode is not None else None
