"""Checks for layers of one's own: the properties that cornu's own layers are held to."""

import json

import jax
import jax.numpy as jnp
import numpy as np

from cornu.layers.layer import Layer
from cornu.random import SeedGenerator
from cornu.symbolic import KerasTensor
from cornu.variable import functional


def check_layer(layer_class, init_kwargs: dict | None = None, input_shape=None, *, inputs=None,
                call_kwargs: dict | None = None, tolerance: float = 1e-5, leaks: bool = False) -> None:
    """Hold a layer to what must be true of any layer.

    The properties: the symbolic output shape is the real one; a compiled call gives what a plain one does; gradients
    are finite; the config makes an equal layer, with as many weights, that computes the same; `build` makes the
    weights that a call makes; a batch of one works; under "mixed_bfloat16" the outputs are finite and 16 bits wide,
    the weights 32; a mask passes where the layer says that it supports masks.

    Args:
        layer_class: the class.
        init_kwargs: its constructor's arguments.
        input_shape: the input's shape with the batch, or a list of them for a list of inputs.
        inputs: the inputs themselves; by default random floats of the given shape.
        call_kwargs: further arguments of the call, such as `{"training": True}`.
        tolerance: the allowed difference between two ways of computing the same.
        leaks: also watch for traced values that outlive their trace (slow).

    Raises AssertionError that names the property which does not hold, and how.

    >>> from cornu.layers import Dense
    >>> check_layer(Dense, {"units": 3}, (2, 4))
    """
    trial = _Trial(layer_class, init_kwargs or {}, input_shape, inputs, call_kwargs or {}, tolerance)
    for check in (*_PROPERTIES, *([_leaks_no_tracer] if leaks else [])):
        try:
            check(trial)
        except Exception as error:
            what = check.__name__.strip("_").replace("_", " ")
            raise AssertionError(f"{layer_class.__name__}({trial.told}) on {trial.shape}: {what} does not hold.\n"
                                 f"{type(error).__name__}: {str(error).strip()}") from error


class _Trial:
    """A layer, its inputs, and what a plain call gave."""

    def __init__(self, layer_class, init_kwargs, input_shape, inputs, call_kwargs, tolerance):
        self.told = ", ".join(f"{k}={v!r:.40}" for k, v in init_kwargs.items())
        self.shape, self.call_kwargs, self.tolerance = input_shape, call_kwargs, tolerance
        self.inputs = self._random(input_shape) if inputs is None else inputs
        if self.shape is None:
            self.shape = jax.tree.map(np.shape, inputs)
        self.layer = layer_class(**init_kwargs)
        if not isinstance(self.layer, Layer):
            raise AssertionError(f"{layer_class.__name__} is not a subclass of cornu.Layer.")
        self.layer(self.inputs, **call_kwargs)
        self.outputs = self.call(self.layer)

    @staticmethod
    def _random(shape):
        rng = np.random.default_rng(0)
        return ([rng.normal(size=s).astype("float32") for s in shape] if isinstance(shape, list)
                else rng.normal(size=shape).astype("float32"))

    def call(self, layer, inputs=None):
        """The outputs, and nothing changed: with the same state, the same numbers."""
        return self.pure(layer)([v.raw for v in layer.variables], self.inputs if inputs is None else inputs)

    def pure(self, layer):
        run = functional(lambda x: layer(x, **self.call_kwargs), layer.variables)
        return lambda values, x: run(values, x)[0]

    def copy(self, policy: str | None = None):
        config = json.loads(json.dumps(self.layer.get_config()))
        return type(self.layer).from_config(config if policy is None else _with_policy(config, policy))


def _with_policy(config, policy):
    """The config with another dtype policy, for the layers within too."""
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy":
            return policy
        return {k: _with_policy(v, policy) for k, v in config.items()}
    return [_with_policy(v, policy) for v in config] if isinstance(config, list) else config


def _equal(a, b, tolerance):
    a, b = jax.tree.leaves(a), jax.tree.leaves(b)
    assert len(a) == len(b), f"{len(a)} values against {len(b)}"
    for x, y in zip(a, b):
        assert x.shape == y.shape, f"shape {x.shape} against {y.shape}"
        if jnp.issubdtype(x.dtype, jnp.number):
            x, y = np.asarray(x, "float64"), np.asarray(y, "float64")
            np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance * max(1.0, np.abs(y).max(initial=0)))


def _finite(values):
    for x in jax.tree.leaves(values):
        assert not jnp.issubdtype(x.dtype, jnp.floating) or np.isfinite(np.asarray(x, "float64")).all(), "not finite"


def _symbolic_shape_equals_real_shape(trial):
    def symbol(x):
        return KerasTensor((None, *x.shape[1:]), x.dtype.name)

    symbolic = trial.layer(jax.tree.map(symbol, trial.inputs), **trial.call_kwargs)
    found = jax.tree.leaves(symbolic, is_leaf=lambda x: isinstance(x, KerasTensor))
    for tensor, array in zip(found, jax.tree.leaves(trial.outputs), strict=True):
        fits = len(tensor.shape) == array.ndim and all(m in (None, n) for m, n in zip(tensor.shape, array.shape))
        assert fits and None not in tensor.shape[1:], f"symbolic {tensor.shape}, real {array.shape}"
        assert tensor.dtype == array.dtype, f"symbolic {tensor.dtype}, real {array.dtype}"


def _jit_equals_eager(trial):
    values = [v.raw for v in trial.layer.variables]
    _equal(jax.jit(trial.pure(trial.layer))(values, trial.inputs), trial.outputs, trial.tolerance)


def _finite_gradients(trial):
    layer = trial.layer
    trained = layer.trainable_variables

    def loss(values, inputs):
        outputs, _ = functional(lambda x: layer(x, **trial.call_kwargs), [*trained, *layer.non_trainable_variables])(
            [*values, *(v.raw for v in layer.non_trainable_variables)], inputs)
        return sum(jnp.sum(jnp.square(x)) for x in jax.tree.leaves(outputs) if jnp.issubdtype(x.dtype, jnp.floating))

    floats = all(jnp.issubdtype(x.dtype, jnp.floating) for x in jax.tree.leaves(trial.inputs))
    if trained or floats:
        arguments = tuple(i for i, wanted in enumerate((trained, floats)) if wanted)
        if any(jnp.issubdtype(x.dtype, jnp.floating) for x in jax.tree.leaves(trial.outputs)):
            _finite(jax.grad(loss, arguments)([v.raw for v in trained], trial.inputs))


def _config_makes_an_equal_layer(trial):
    copy = trial.copy()
    assert copy.get_config() == trial.layer.get_config(), "the config of the copy differs"
    shapes = trial.shape
    if type(copy).build is not Layer.build:
        copy.build(shapes)
        assert [v.shape for v in copy.weights] == [v.shape for v in trial.layer.weights], \
            "build(input_shape) makes other weights than a call does"
    copy(trial.inputs, **trial.call_kwargs)
    assert [v.shape for v in copy.weights] == [v.shape for v in trial.layer.weights], "the copy has other weights"
    copy.set_weights(trial.layer.get_weights())
    for mine, other in zip(_seeds(copy), _seeds(trial.layer), strict=True):
        mine.state.assign(other.state)
    _equal(trial.call(copy), trial.outputs, trial.tolerance)


def _seeds(layer):
    return [p for part in layer._flatten_layers() for p in part._parts() if isinstance(p, SeedGenerator)]


def _batch_of_one(trial):
    batch = jax.tree.leaves(trial.inputs)[0].shape[0]
    outputs = trial.call(trial.layer, jax.tree.map(lambda x: x[:1], trial.inputs))
    for one, many in zip(jax.tree.leaves(outputs), jax.tree.leaves(trial.outputs), strict=True):
        assert one.shape == ((1, *many.shape[1:]) if many.shape[:1] == (batch,) else many.shape), \
            f"shape {one.shape} for one sample, {many.shape} for {batch}"


def _bfloat16(trial):
    layer = trial.copy("mixed_bfloat16")
    outputs = layer(trial.inputs, **trial.call_kwargs)
    _finite(outputs)
    for x, full in zip(jax.tree.leaves(outputs), jax.tree.leaves(trial.outputs), strict=True):
        if jnp.issubdtype(full.dtype, jnp.floating):
            assert x.dtype == layer.compute_dtype, f"an output of dtype {x.dtype}"
    assert [v.dtype for v in layer.weights] == [v.dtype for v in trial.layer.weights], "weights must stay 32 bits wide"


def _masks(trial):
    if not trial.layer.supports_masking or isinstance(trial.shape, list) or len(trial.shape) < 3:
        return
    mask = jnp.ones(trial.shape[:2], bool)
    out = trial.layer.compute_mask(jnp.asarray(trial.inputs), mask)
    for one in out if isinstance(out, (list, tuple)) else [out]:
        assert one is None or hasattr(one, "shape"), f"compute_mask gave {out!r}"


def _leaks_no_tracer(trial):
    with jax.checking_leaks():
        jax.jit(trial.pure(trial.layer))([v.raw for v in trial.layer.variables], trial.inputs)


_PROPERTIES = (_symbolic_shape_equals_real_shape, _jit_equals_eager, _finite_gradients, _config_makes_an_equal_layer,
               _batch_of_one, _bfloat16, _masks)

__all__ = ["check_layer"]
