"""The properties of every layer, over the rows of tests/layer_table.py; the real Keras is the oracle."""

import functools
import inspect
import json

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from layer_table import ROWS

import cornu
from cornu.testing import check_layer

every_row = pytest.mark.parametrize("row", ROWS, ids=str, scope="class")


def kwargs_of(row, library):
    """The row's arguments; functions of `keras` are given the library."""
    return {k: v(library) if getattr(getattr(v, "__code__", None), "co_varnames", ()) == ("keras",) else v
            for k, v in row.kwargs.items()}


def made(row, library):
    """The row's layer, of Keras or cornu."""
    return getattr(library.layers, row.name)(**kwargs_of(row, library))


@functools.lru_cache(maxsize=None)
def inputs_of(row_id):
    """The row's inputs and masks, the same each time."""
    row = BY_ID[row_id]
    rng = np.random.default_rng(0)
    shapes = row.shape if isinstance(row.shape, list) else [row.shape]
    values = [rng.integers(0, row.high, s).astype("int32") if row.high else rng.normal(size=s).astype("float32")
              for s in shapes]
    masks = [rng.random(s[:2]) > 0.4 for s in shapes] if row.mask else [None] * len(shapes)
    for mask in masks:
        if mask is not None:
            mask[:, 0] = True
    return values, masks


BY_ID = {str(r): r for r in ROWS}
assert len(BY_ID) == len(ROWS), "two rows are the same"


def random_weights(layer):
    """Weights that leave nothing hidden: no zeros and ones; variances positive."""
    rng = np.random.default_rng(1)
    return [(np.abs(v) + 0.5 if "stddev" in w.path or "variance" in w.path else v).astype("float32")
            for w in layer.weights for v in [rng.normal(size=w.shape) * 0.5]]


def run(layer, library, row, values, masks):
    """Call the layer on inputs that carry their masks; the call takes a list where the row has one."""
    call = dict(row.call)
    if masks[0] is not None:
        if "mask" in inspect.signature(layer.call).parameters and not isinstance(row.shape, list):
            call["mask"] = jnp.asarray(masks[0])
        else:
            values = [jnp.array(v) for v in values]
            for value, mask in zip(values, masks):
                if not isinstance(value, jax.core.Tracer):
                    value._keras_mask = jnp.asarray(mask)
    return layer(list(values) if isinstance(row.shape, list) else values[0], **call)


def weighted(outputs):
    """A number that depends on every output, and on each in its own way."""
    total = 0.0
    for x in jax.tree.leaves(outputs):
        if jnp.issubdtype(x.dtype, jnp.floating):
            total += jnp.sum(x * jnp.cos(jnp.arange(x.size, dtype="float32")).reshape(x.shape).astype(x.dtype))
    return total


def described(layer):
    trained = {id(w) for w in layer.trainable_weights}
    return [(w.name, tuple(w.shape), id(w) in trained) for w in layer.weights]


class Oracle:
    """What Keras says of a row."""

    def __init__(self, row):
        self.layer = layer = made(row, keras)
        self.values, self.masks = inputs_of(str(row))
        layer.build([v.shape for v in self.values] if isinstance(row.shape, list) else self.values[0].shape) \
            if type(layer).build is not keras.layers.Layer.build else None
        if not layer.built or row.call:
            run(layer, keras, row._replace(call={}), self.values, self.masks)
        if layer.weights:
            layer.set_weights(random_weights(layer))
        self.names = described(layer)
        self.weights = layer.get_weights()
        self.gradients = self._gradients(row) if row.grad else None
        self.outputs = run(layer, keras, row, self.values, self.masks)
        self.losses = [np.asarray(x) for x in layer.losses]
        self.after = layer.get_weights()

    def _gradients(self, row):
        layer = self.layer
        others = [v.value for v in layer.non_trainable_variables]
        floats = [v for v in self.values if v.dtype.kind == "f"]

        def loss(weights, floats):
            with keras.StatelessScope(list(zip(layer.trainable_variables, weights))
                                      + list(zip(layer.non_trainable_variables, others))):
                return weighted(run(layer, keras, row, floats or self.values, self.masks))

        return jax.grad(loss, (0, 1))([v.value for v in layer.trainable_variables], floats)


@functools.lru_cache(maxsize=None)
def oracle(row_id):
    return Oracle(BY_ID[row_id])


def ours(row):
    """cornu's layer of the row with the weights that Keras's had, seeds at their start."""
    layer = made(row, cornu)
    values, masks = inputs_of(str(row))
    run(layer, cornu, row._replace(call={}), values, masks)
    layer.set_weights(oracle(str(row)).weights)
    for part in layer._flatten_layers():
        for generator in (p for p in part._parts() if isinstance(p, cornu.random.SeedGenerator)):
            generator.state.assign([generator.seed % 2**32, 0])
    return layer


def close(ours, theirs, tolerance, what=""):
    assert len(jax.tree.leaves(ours)) == len(jax.tree.leaves(theirs)), what
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs)):
        a, b = np.asarray(a, "float32"), np.asarray(b, "float32")
        scale = max(1.0, float(np.abs(b).max(initial=0)))
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale, err_msg=what)


def plain(config):
    """A config as JSON would give it back, without names and entries that are None."""
    def clean(value):
        if isinstance(value, dict) and value.get("class_name") == "DTypePolicy":
            return value["config"]["name"]
        if isinstance(value, dict):
            return {k: clean(v) for k, v in value.items() if v is not None and k not in ("name", "registered_name")
                    and not (k == "build_config")}
        if isinstance(value, float):  # Keras keeps some factors in float32
            return float(f"{value:.6g}")
        return [clean(v) for v in value] if isinstance(value, list) else value

    return clean(json.loads(json.dumps(config)))


@every_row
class TestRow:
    def test_numbers(self, row):
        """Outputs, masks, losses and the state afterwards are Keras's; so are the weights' names, shapes and order."""
        expected, layer = oracle(str(row)), ours(row)
        assert described(layer) == expected.names
        outputs = run(layer, cornu, row, expected.values, expected.masks)
        close(outputs, expected.outputs, row.tolerance, "outputs")
        for a, b in zip(jax.tree.leaves(outputs), jax.tree.leaves(expected.outputs)):
            assert a.dtype == b.dtype
            if row.mask or hasattr(b, "_keras_mask"):
                close(getattr(a, "_keras_mask", None), getattr(b, "_keras_mask", None), 0, "mask")
        close([float(x) for x in layer.losses], expected.losses, row.tolerance, "losses")
        if row.name != "SpectralNormalization" or not row.call:
            close(layer.get_weights(), expected.after, row.tolerance, "weights afterwards")

    def test_gradients_under_jit(self, row):
        """The compiled gradients by weights and inputs are Keras's."""
        if not row.grad:
            return
        expected, layer = oracle(str(row)), ours(row)
        trained, floats = layer.trainable_variables, [v for v in expected.values if v.dtype.kind == "f"]
        others = [v for v in layer.variables if all(v is not t for t in trained)]

        def loss(weights, floats, rest):
            call = lambda: weighted(run(layer, cornu, row, floats or expected.values, expected.masks))  # noqa: E731
            return cornu.functional(call, [*trained, *others])([*weights, *rest])[0]

        gradients = jax.jit(jax.grad(loss, (0, 1)))([v.value for v in trained], floats, [v.value for v in others])
        close(gradients, expected.gradients, 3 * row.tolerance, "gradients")

    def test_config(self, row):
        """The config is Keras's, and each library reads the other's."""
        mine, theirs = made(row, cornu), made(row, keras)
        config, other = mine.get_config(), theirs.get_config()
        assert plain(config) == plain(other)
        assert plain(type(theirs).from_config(json.loads(json.dumps(config))).get_config()) == plain(other)
        assert plain(type(mine).from_config(json.loads(json.dumps(other))).get_config()) == plain(config)

    def test_properties(self, row):
        """What must hold of any layer, without an oracle: see cornu.testing."""
        values, _ = inputs_of(str(row))
        check_layer(getattr(cornu.layers, row.name), kwargs_of(row, cornu), row.shape,
                    inputs=values if isinstance(row.shape, list) else values[0], call_kwargs=row.call)
