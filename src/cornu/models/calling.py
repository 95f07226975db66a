"""Outermost calls of a model on arrays, compiled: `model(x)` costs little more than one dispatch of its executable.

Only models made of built-in layers are compiled, for those are known to be pure but for their Variables. The first call
of a kind (shapes, dtypes, training) runs layer by layer, so that calls made once do not wait for a compilation.
"""

import jax
import jax.numpy as jnp
import numpy as np

from cornu import context, errors, ownership, registry, tree
from cornu.layers.layer import Layer
from cornu.random import global_seed_generator
from cornu.training.draws import Draws, counts_of, rows_of
from cornu.training.front import EAGER, Fronted, front_of
from cornu.variable import Scope, structure

_UNTRACEABLE = (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError,
                jax.errors.TracerIntegerConversionError, jax.errors.NonConcreteBooleanIndexError)
MISSING = object()


class CompiledCalls:
    """The executables of one model's outermost calls, as long as its layers and their settings stay what they are."""

    def __init__(self, model):
        self.model, self.state = model, None
        self._renew()

    def _renew(self) -> None:
        self.state = self._now()
        self.allowed = is_compilable(self.model)
        variables = [*self.model.variables, global_seed_generator().state] if self.allowed else []
        self.variables = [v for v in variables if not v.of_seed]
        self.draws = Draws([v for v in variables if v.of_seed])
        self.seen, self.pure, self.jitted, self.counts = set(), {}, {}, {}

    def _now(self) -> tuple:
        return structure["version"], structure["settings"], self.model.run_eagerly

    def __call__(self, args: tuple, kwargs: dict):
        """The outputs; MISSING where the call must run layer by layer."""
        if self.state != self._now():
            self._renew()
        if not self.allowed or len(args) != 1 or kwargs and (len(kwargs) > 1 or "training" not in kwargs):
            return MISSING
        training = kwargs.get("training")
        key = _signature(args[0])
        if key is None or not (training is None or isinstance(training, bool)):
            return MISSING
        key = training, key
        if key not in self.seen:
            self.seen.add(key)
            return MISSING
        return self._run(args[0], training, key)

    def _run(self, inputs, training, key):
        values, taken = ownership.read(self.variables), []
        try:
            counts = self._counts(training, key, values, inputs)
            jitted = self.jitted.get((training, counts is None))
            if jitted is None:
                jitted = self.jitted[training, counts is None] = jax.jit(self._whole(training, counts))
            seeds = self.draws.take(counts, 1, taken)
            outputs, masks, written, *drawn = jitted(values, seeds, inputs)
        except BaseException as error:
            self.draws.give_back(taken)
            if isinstance(error, (ValueError, jax.errors.JaxRuntimeError)):
                raise errors.out_of_memory(error, f"A call of model {self.model.name!r}") from None
            if isinstance(error, (_AddsLosses, *_UNTRACEABLE)):
                self.allowed = False
                return MISSING
            raise
        if written:
            ownership.write([self.variables[i] for i in written], list(written.values()))
        self.draws.put(counts, drawn)
        for output, mask in zip(tree.flatten(outputs), masks):
            if mask is not None:
                output._keras_mask = mask
        self.state = self._now()  # tracing may have touched layers' attributes
        return outputs

    def _counts(self, training, key, values, inputs):
        """How many draws a call makes of each seed; None where that is not known beforehand."""
        if key not in self.counts:
            if training not in self.pure:
                self.pure[training] = jax.jit(self._pure(training))
            count = len(self.draws.seeds)
            traced = self.pure[training].trace(values, [jax.ShapeDtypeStruct((2,), "uint32")] * count, inputs).jaxpr.jaxpr
            first, last = len(values), len(traced.outvars)
            self.counts[key] = counts_of(traced, list(range(first, first + count)), list(range(last - count, last)))
        return self.counts[key]

    def _whole(self, training, counts):
        """A call as a program: its outputs, masks, what it wrote by number, and the seeds' new states if nobody knows them."""
        pure = self.pure[training]

        def whole(values, states, inputs):
            *found, drawn = pure(values, rows_of(states), inputs)
            return *found, *(() if counts is not None else (jnp.stack(drawn),))

        return whole

    def _pure(self, training):
        seeds = self.draws.seeds

        def run(values, states, inputs):
            with Scope([*self.variables, *seeds], [*values, *states]) as scope:
                outputs = Layer.__call__(self.model, inputs, **({} if training is None else {"training": training}))
                if scope.added:
                    raise _AddsLosses
                masks = [context.mask_of(x) for x in tree.flatten(outputs)]
                written = {i: scope.values[id(v)] for i, v in enumerate(self.variables)
                           if scope.values[id(v)] is not values[i]}
                return outputs, masks, written, [scope.values[id(v)] for v in seeds]

        return run


def from_one_state(model, call, args, kwargs):
    """A call in plain Python on the variables' values from between two steps, while another thread trains."""
    variables = model.variables
    values = [*ownership.read(variables)]
    with Scope(variables, values) as scope:
        outputs = call(*args, **kwargs)
        new = [scope.values[id(v)] for v in variables]
        model._losses.extend(scope.added)
    changed = [(v, a) for v, a, b in zip(variables, new, values) if a is not b]
    ownership.write([v for v, _ in changed], [a for _, a in changed])
    return outputs


class _AddsLosses(Exception):
    """Losses added in `call` are kept by the layers, which only a call in plain Python can do."""


def is_compilable(model) -> bool:
    """Whether the model is built and is made of built-in layers only."""
    if model.graph is None or model.run_eagerly:
        return False
    return all(layer.built and registry.is_builtin(type(layer)) and type(layer).__name__ != "Lambda"
               for layer in model._flatten_layers()) and front_of(model) is not EAGER


def _signature(inputs):
    """Shapes and dtypes of concrete arrays without masks; None for anything else."""
    if isinstance(inputs, Fronted):
        inputs = inputs.values
    if isinstance(inputs, (list, tuple)):
        parts = [_signature(x) for x in inputs]
        return None if None in parts else (type(inputs), *parts)
    if isinstance(inputs, dict):
        parts = [_signature(x) for x in inputs.values()]
        return None if None in parts else (*inputs, *parts)
    if isinstance(inputs, jax.Array):
        if isinstance(inputs, jax.core.Tracer) or getattr(inputs, "_keras_mask", None) is not None:
            return None
    elif not isinstance(inputs, np.ndarray) or inputs.dtype.kind not in "fiub":
        return None
    return inputs.shape, inputs.dtype
