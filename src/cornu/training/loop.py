"""The compiled steps of a model, and the one loop that runs them over data."""

import collections
import contextlib
import functools
import inspect
import threading

import jax
import numpy as np

from cornu import data as data_module
from cornu import context, dtypes, frames, optimizers, ownership, registry, tree
from cornu.callbacks import Logs
from cornu.data import ArraySource, IterableSource, columns_of
from cornu.interrupts import interrupts
from cornu.lowering import current_platform, prepare_cpu
from cornu.symbolic import KerasTensor, infer
from cornu.training import checks, freezing, nonfinite
from cornu.training.compiled import Outputs
from cornu.training.compiling import Compiling
from cornu.training.feeding import Feed
from cornu.training.front import EAGER, front_of
from cornu.training.run import Run, once
from cornu.training.step import Step
from cornu.variable import Scope, structure

_STOPS = {"train": "stop_training", "test": "stop_evaluating", "predict": "stop_predicting"}  # set by callbacks
_IN_FLIGHT = 16  # about half of the steps that may wait on the device before the loop waits for it


class Loop(Compiling):
    """Steps made for the model's present variables, and run on every batch of a source."""

    # the compiled steps ----------------------------------------------------------------------------------------------

    def _step(self, kind: str) -> Step:
        """The step of a kind for the model's present variables, and for which of them, and of the layers, train."""
        known = self.__dict__.setdefault("_steps", {})
        found, settings = known.get(kind), (self.run_eagerly, self._guard, context.trains.get() is None)
        if found is not None and found[0] == structure["version"] and found[1] == settings:
            return found[2]
        step = self._find_step(kind, known)
        known[kind] = (structure["version"], settings, step)
        return step

    def _find_step(self, kind: str, steps: dict) -> Step:
        trainable, others, running = self.trainable_variables, self.non_trainable_variables, self.metrics_variables
        changing, fixed = list(others), list(trainable)
        if kind != "predict":
            changing += running
        if kind == "train":
            if self.optimizer is not None:
                self.optimizer.adopt(trainable)
            optimizer = [v for o in self._optimizers() for v in o.variables]
            changing, fixed = [*trainable, *changing, *optimizer], []
            freezing.warn_of_nothing(self, trainable)
        guard = self._guard if kind != "predict" else None
        trains = (len(trainable), *(layer.trainable for layer in self._flatten_layers())) if kind == "train" else ()
        key = (kind, tuple(map(id, changing)), tuple(map(id, fixed)), trains, self.run_eagerly, guard)
        if key not in steps:
            steps[key] = Step(self._runner(kind), changing, fixed, kind, guard=guard,
                              jit=not self.run_eagerly and getattr(self, "jit_compile", "auto") is not False
                              and front_of(self) is not EAGER)
        return steps[key]

    def _optimizers(self) -> list:
        """Every optimizer in the model's attributes (a GAN has two)."""
        found = [v for v in self.__dict__.values() if isinstance(v, optimizers.Optimizer)]
        return list({id(o): o for o in found}.values())

    def _is_custom(self, kind: str) -> bool:
        """Whether the step of a kind is the user's own."""
        return getattr(type(self), f"{kind}_step") is not getattr(Compiling, f"{kind}_step")

    def _runner(self, kind: str):
        method = getattr(self, f"{kind}_step")
        packed = self._is_custom(kind)

        def run(data):
            return _logs(method(_pack(data) if packed else data), kind)

        if not packed or not _takes_state(method):
            return _without_metrics(run, self.metrics_variables) if kind == "predict" else run

        def run_stateful(data):  # Keras-on-JAX's form: train_step(self, state, data) -> (logs, state)
            groups = self.state_variables(kind)
            logs, new = method(tuple([v.raw for v in g] for g in groups), _pack(data))
            if kind == "predict":
                groups = groups[1:2] if len(new) == len(groups[1]) else groups
                new = [new] if len(groups) == 1 else new
            for group, values in zip(groups, new):
                for variable, value in zip(group, values):
                    if value is not None:
                        variable.assign(value)
            return _logs(logs, kind)

        return run_stateful

    def _prepare(self, batch, kind: str) -> None:
        """Build what is not built yet, from the shapes of a batch; nothing that is built is changed."""
        prepare_cpu()
        x, y, weight = batch
        if kind == "predict":
            y = weight = None
        if not self.built:
            self._build_from(x)
        for optimizer in self._optimizers() if kind == "train" else ():
            if optimizer is self.optimizer and not optimizer.built:
                optimizer.build(self.trainable_variables)
        if kind == "predict":
            return
        if y is not None:
            own = self._is_custom(kind)  # it may go over self.metrics by hand; what it makes of y is its own affair
            with contextlib.suppress(*[Exception] * own):
                self._bind_metrics(x, y)
        logged = self.__dict__.setdefault("_logged", {})
        if kind not in logged and (self._is_custom(kind) or self._has_own_logs()):
            signature = tree.map_structure(lambda a: None if a is None else _symbol(a, a.shape), (x, y, weight))

            def traced(data):  # makes what a user's own step makes on first use
                logged[kind] = sorted(self._runner(kind)(data))

            infer(traced, (signature,), {}, f"{kind}_step")

    def _has_own_logs(self) -> bool:
        return any(getattr(type(self), name) is not getattr(Compiling, name) for name in ("compute_metrics", "get_metrics_result"))

    def _names_of(self, kind: str) -> list:
        """The names that the step of a kind logs, once it is prepared."""
        if kind in self.__dict__.get("_logged", ()):
            return self._logged[kind]
        return sorted(jax.eval_shape(lambda: {k: getattr(v, "raw", v) for k, v in self.get_metrics_result().items()}))

    def _build_from(self, x) -> None:
        shapes = tree.map_structure(lambda a: None if a is None else _symbol(a, (None, *a.shape[1:])), x)
        symbolic = [t for t in tree.flatten(shapes) if t is not None]
        if any(t.dtype == "string" for t in symbolic) and not hasattr(self, "_stack"):
            self(x)
        else:
            self._maybe_build((shapes,), {})
            if not all(layer.built for layer in self._flatten_layers()):
                infer(self._traced, (shapes,), {}, self.name)

    def _by_columns(self, x):
        """A frame as a dict of its columns, where the model's inputs go by the columns' names."""
        names = self.input_names if self.graph is not None else ()
        return columns_of(x, names) if len(names) > 1 else x

    def _output_structure(self):
        """The outputs as symbolic tensors; None before they are known."""
        return self.__dict__.get("_known_outputs") if self.graph is None else self.graph.given_structure

    def _bind_metrics(self, x, y) -> None:
        """Make the compiled losses' and metrics' variables, from the first batch's own shapes.

        Where that is refused, nothing stays bound: the same call is refused alike, and a mended one works.
        """
        loss, compiled = self._loss, self._metrics_compiled
        if (loss is None or loss.bound) and compiled.made is not None:
            return
        self.__dict__["_bound_untried"] = True
        targets = tree.map_structure(lambda a: KerasTensor(a.shape, _dtype(a)), y)
        y_pred = self._outputs_for(x, y)

        def update(y, y_pred):
            compiled.update_state(y, y_pred, None, self._output_names(), only)

        try:
            only = None
            if loss is not None:
                self._bind_loss(x, targets, y_pred)
                only = loss.only_output()
            compiled.bind(targets, y_pred, self._output_names(), only)
            infer(update, (targets, y_pred), {}, "metrics")  # metrics that make variables on first use make them now
        except BaseException:
            self._unbind()
            raise

    @contextlib.contextmanager
    def _binding(self):
        """Losses and metrics that are bound within it stay so if a step has run on what they were bound to."""
        try:
            yield
        except BaseException:
            if self.__dict__.get("_bound_untried"):
                self._unbind()
            raise

    def _unbind(self) -> None:
        self._metrics_compiled.unbind()
        if self._loss is not None:
            self._loss.unbind()

    def _bind_loss(self, x, y, y_pred) -> None:
        """Match the compiled losses with the outputs, or with what a `compute_loss` of the user's makes of them."""
        if not registry.is_builtin(type(self).compute_loss):
            inputs = tree.map_structure(lambda a: None if a is None else KerasTensor(a.shape, _dtype(a)), x)
            with contextlib.suppress(Exception):  # one that needs more than this is told so by the step itself
                infer(lambda x, y, y_pred: self._compute_loss(x, y, y_pred, None, True), (inputs, y, y_pred), {}, "loss")
        if not self._loss.bound:
            self._loss.bind(Outputs(y_pred, self._output_names()), y)

    def _outputs_for(self, x, y):
        """The outputs for a batch as symbolic tensors; the sizes that a graph leaves open are those of the batch."""
        sizes = [a.shape[0] for a in tree.flatten(y) if a is not None and a.ndim]
        if self.graph is not None:
            outputs = self.graph.given_structure
            if all(None not in t.shape[1:] for t in tree.flatten(outputs)):
                return tree.map_structure(lambda t: _of_batch(t, sizes[0]) if sizes else t, outputs)
            batch = tree.map_structure(lambda a: None if a is None else _symbol(a, a.shape), x)
            return infer(self._traced, (batch,), {}, self.name)
        shapes = tree.map_structure(lambda a: _symbol(a, (None, *a.shape[1:])), x)
        outputs = infer(self._traced, (shapes,), {}, self.name)
        object.__setattr__(self, "_known_outputs", outputs)
        return tree.map_structure(lambda t: _of_batch(t, sizes[0]) if sizes else t, outputs)

    # steps as functions ----------------------------------------------------------------------------------------------

    train_function = test_function = predict_function = None

    def make_train_function(self, force=False):
        """A function that runs training steps on the next batches of an iterator and returns the last one's logs.

        It takes `steps_per_execution` batches, and is kept as `train_function`. Override it (and return such a function) to
        run steps otherwise; `fit` calls it then.

        Args:
            force: make it anew where there is one.
        """
        return self._made_function("train", force)

    def make_test_function(self, force=False):
        """The same for evaluation steps."""
        return self._made_function("test", force)

    def make_predict_function(self, force=False):
        """The same for prediction steps; the function returns the last batch's outputs."""
        return self._made_function("predict", force)

    def _made_function(self, kind: str, force: bool):
        name = f"{kind}_function"
        if getattr(self, name) is None or force:
            def run(iterator):
                count = 1 if self.steps_per_execution == "auto" else self.steps_per_execution
                for _, data in zip(range(count), iterator):
                    batch = self._adapt(IterableSource([data]).first())
                    self._prepare(batch, kind)
                    output = once(self._step(kind), batch)
                return output

            object.__setattr__(self, name, run)
        return getattr(self, name)

    def _own_function(self, kind: str):
        """The step made of a `make_..._function` of the user's own; None where there is none."""
        name = f"make_{kind}_function"
        if getattr(type(self), name) is getattr(Loop, name):
            return None
        function = getattr(self, name)() or getattr(self, f"{kind}_function")
        return _Called(lambda batch: _logs(function(iter([_pack(batch)])), kind), kind)

    # the loop --------------------------------------------------------------------------------------------------------

    def _run(self, kind: str, source, callbacks, seed=0, epoch=0, limit=None, collect=None, skip=0, last=None, start=None):
        """Run a step on every batch of a source; returns the last logs. The heart of fit, evaluate and predict.

        A resumed epoch goes on after its first `skip` steps; `last` is what they logged. `start` has values to begin with, by
        variable.
        """
        step, stop = self._own_function(kind) or self._step(kind), _STOPS[kind]
        if kind != "train":  # fit has begun with this, and may have been told already
            self.__dict__[stop] = False
        run = Run(step, start, self._trained_elsewhere) if isinstance(step, Step) else step
        began, ended = (getattr(callbacks, f"on_{kind}_batch_{edge}") for edge in ("begin", "end"))
        hears_begin, hears_end = (callbacks.listeners[f"on_{kind}_batch_{edge}"] for edge in ("begin", "end"))
        arrays = None
        if isinstance(source, ArraySource) and step.jit and not source.text and not step.guard:
            arrays = self._held(source, kind)
        group = self.steps_per_execution
        if group == "auto":
            group = 1 if any(getattr(c, "every_batch", True) for c in (*hears_begin, *hears_end)) else None
        feed = Feed(run, source, functools.partial(self._checked, kind=kind), arrays, group, began if hears_begin else None)
        flying, flown, output = collections.deque(), skip, last
        with contextlib.closing(run), contextlib.closing(feed.outputs(seed, epoch, limit, skip)) as outputs:
            for index, output in outputs:
                if interrupts.dropped:
                    interrupts.raise_dropped()
                self.__dict__["_bound_untried"] = False
                self._watch(step, source, (seed, epoch, limit, index))
                if collect is not None:
                    collect(output)
                if hears_end:
                    ended(index, Logs({"outputs": output} if kind == "predict" else output))
                if index >= flown:  # never far ahead of the device
                    flown = index + _IN_FLIGHT
                    flying.append(output)
                    if len(flying) > 2:
                        jax.block_until_ready(flying.popleft())
                if getattr(self, stop):
                    break
        self.__dict__.pop("_watched", None)
        if output is None:
            raise ValueError(f"The data gave no batch for {kind}ing: it is empty or used up.")
        return output

    def _trained_elsewhere(self) -> bool:
        """Whether another thread trains this model: its metrics are that thread's then."""
        thread = self.__dict__.get("_trained_by")
        return thread is not None and thread is not threading.current_thread() and thread.is_alive()

    def _metrics_anew(self) -> dict:
        """The values of the metrics' variables before the first batch; they are written too, but where another thread trains."""
        variables = self.metrics_variables
        with Scope(variables, ownership.read(variables), collects=True) as scope:
            self.reset_metrics()
            start = {v: scope.values[id(v)] for v in variables}
        if not self._trained_elsewhere():
            ownership.write(variables, list(start.values()))
        return start

    def _watch(self, step, source, place) -> None:
        """Remember where a guarded step stands, for whoever finds its loss; raise FloatingPointError if nobody else will."""
        if step.guard is None:
            return
        object.__setattr__(self, "_watched", (step, source, place))
        if step.guard == "all" and not step.good:
            raise FloatingPointError(self._not_finite())

    def _not_finite(self) -> str:
        """What the last guarded step met: the first layer, the step and the sample of a loss that is not finite."""
        step, source, (seed, epoch, limit, index) = self._watched
        what, row = nonfinite.first_place(self, step)
        place = ""
        if row is not None:
            number = source.sample(seed, epoch, limit, index, row) if hasattr(source, "sample") else None
            place = f", in row {row} of the batch" + (f", which is sample {number} of the data" if number is not None else "")
        kept = " The model is as it was before the step." if step.kind == "train" else ""
        return f"NaN or infinity in step {index + 1} of epoch {epoch + 1}: {what}{place}.{kept}"

    def _held(self, source, kind: str):
        """The source's arrays where batches are gathered from, or None where they do not fit there or lie in a file."""
        if getattr(source, "held", None) is None:
            data, on_host = source.data, current_platform() == "cpu"
            leaves = [a for a in tree.flatten(data[:1] if kind == "predict" else data) if a is not None]
            if any(isinstance(a, data_module.Rows) for a in leaves) or (
                    not on_host and sum(a.nbytes for a in leaves) > _device_room()):
                return None
            source.held = jax.tree.map(_narrow if on_host else _to_device, self._adapt(data, kind))
        return source.held

    def _checked(self, batch, kind: str):
        """A batch that comes by itself, adapted; it is looked at as arrays are beforehand."""
        batch = self._adapt(batch, kind)
        if any(data_module.is_text(a) for a in jax.tree.leaves(batch)):
            checks.check_arrays(batch, self, "predict" if batch[1] is None else "test")
        elif kind != "predict" and isinstance(batch[1], np.ndarray):
            checks.check_labels(batch[1], self)
        return batch

    def _adapt(self, batch, kind: str = "train"):
        """Leave out what a step of the kind does not read, and fit images to a model that declares flat inputs."""
        x = batch[0]
        batch = (x, None, None) if kind == "predict" else batch
        if self.graph is None or not hasattr(x, "shape") or len(self.graph.inputs) != 1:
            return batch
        wanted = self.graph.inputs[0].shape
        if len(wanted) == 2 and x.ndim > 2 and wanted[1] == int(np.prod(x.shape[1:])) and x.shape[-1] != wanted[1]:
            if not self.__dict__.get("_told_flattened"):
                self._told_flattened = True
                frames.warn(f"Samples of shape {tuple(x.shape[1:])} were flattened to ({wanted[1]},), the input that model "
                            f"{self.name!r} declares. Add a Flatten layer to silence this.")
            x = x.reshape(x.shape[0], wanted[1])
            return (x, *batch[1:])
        return batch


def _of_batch(tensor, size: int):
    """A symbolic output whose batch size, if unknown, is that of the batch."""
    if not isinstance(tensor, KerasTensor) or not tensor.ndim or tensor.shape[0] is not None:
        return tensor
    return KerasTensor((size, *tensor.shape[1:]), tensor.dtype)


def _without_metrics(run, variables: list):
    """A prediction step whose `call` may update metrics: predicting leaves them as they are."""
    if not variables:
        return run

    def quiet(data):
        with Scope(variables, [v.raw for v in variables]):
            return run(data)

    return quiet


class _Called:
    """A function of a batch in the place of a Step."""

    jit, guard = False, None

    def __init__(self, function, kind: str):
        self.function, self.kind = function, kind

    def __call__(self, batch):
        return self.function(batch)

    def close(self) -> None: ...


def _logs(logs, kind: str):
    if kind == "predict":
        return logs
    if logs is None:
        raise ValueError(f"{kind}_step returned None. It must return a dict of logs, such as {{'loss': loss}}.")
    return {k: getattr(v, "raw", v) for k, v in logs.items()} if isinstance(logs, dict) else {"loss": logs}


def _takes_state(step) -> bool:
    """Whether a user's step is in Keras-on-JAX's form: it takes (state, data), or whatever it is given, and hands that on."""
    told = list(inspect.signature(step).parameters.values())
    named = [p for p in told if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if not named:
        return any(p.kind == p.VAR_POSITIONAL for p in told)
    return named[0].name == "state" or sum(p.default is p.empty for p in named) > 1


def _pack(data):
    return data_module.pack_x_y_sample_weight(*data)


def _symbol(array, shape) -> KerasTensor:
    """A symbolic tensor for an array of the data, which may be sparse."""
    return KerasTensor(shape, _dtype(array), sparse=isinstance(array, data_module.SparseRows))


def _dtype(array) -> str:
    kind = getattr(array.dtype, "kind", "")
    return "string" if kind in ("O", "S", "U", "T") else dtypes.standardize(array.dtype)


def _device_room() -> float:
    """How many bytes of data may stay on an accelerator: a quarter of its memory."""
    return (jax.devices()[0].memory_stats() or {}).get("bytes_limit", float("inf")) / 4


def _narrow(array):
    """A host array in a dtype that JAX has: 64 bits become 32 once, not batch by batch."""
    return dtypes.narrow(np.asarray(array), "The data")


def _to_device(array):
    """A host array on the device."""
    return jax.device_put(_narrow(array)) if isinstance(array, np.ndarray) else array
