"""Trainer: compile, fit, evaluate, predict; one loop with three uses."""

import collections
import inspect
import warnings

import jax
import jax.numpy as jnp
import numpy as np

from cornu import check, config, context, data as data_module, dtypes, metrics, optimizers, registry, tree
from cornu.callbacks import CallbackList, Logs, Progbar
from cornu.data import ArraySource, source_of, unpack_x_y_sample_weight
from cornu.lowering import prepare_cpu
from cornu.random import make_default_seed
from cornu.symbolic import KerasTensor, infer
from cornu.training import checks
from cornu.training.compiled import CompiledLoss, CompiledMetrics
from cornu.training.step import Step, interrupts
from cornu.variable import Scope, structure, value_and_grad

_IN_FLIGHT = 32  # steps that may wait on the device before the loop waits for the oldest


class Trainer:
    """The part of a Model that trains it. Override `train_step`, `compute_loss` ... to train in another way."""

    compiled = False
    stop_training = False
    optimizer = None
    run_eagerly = False
    history = None
    _loss = _metrics_compiled = _loss_tracker = None

    # compile -----------------------------------------------------------------------------------------------------

    def compile(self, optimizer="rmsprop", loss=None, loss_weights=None, metrics=None, weighted_metrics=None,
                run_eagerly=False, steps_per_execution=1, jit_compile="auto", auto_scale_loss=True):
        """Say how to train.

        Args:
            optimizer: a name, config or Optimizer.
            loss: a name, function or Loss; a list or dict of them for several outputs.
            loss_weights: a factor for each output's loss.
            metrics: names, functions or Metrics to report; by output for several outputs.
            weighted_metrics: those that take sample weights into account.
            run_eagerly: run the steps without compiling, for debugging.
            steps_per_execution: how many steps are run in one call of the device.
            jit_compile: "auto" or True compiles the steps; False runs them like run_eagerly.
            auto_scale_loss: under mixed_float16, wrap the optimizer into a LossScaleOptimizer.

        Raises ValueError for unknown names, with the nearest known ones.
        """
        import cornu.metrics as metrics_module

        check.one_of("jit_compile", jit_compile, ("auto", True, False))
        loss_fn = None if loss is None else CompiledLoss(loss, loss_weights)
        compiled_metrics = CompiledMetrics(metrics, weighted_metrics, loss)
        optimizer = optimizers.get(optimizer)
        if auto_scale_loss and self.dtype_policy.name == "mixed_float16" and not isinstance(
                optimizer, optimizers.LossScaleOptimizer):
            optimizer = optimizers.LossScaleOptimizer(optimizer, name="loss_scale_optimizer")
        self.optimizer, self.loss, self.loss_weights = optimizer, loss, loss_weights
        self.steps_per_execution = check.positive("steps_per_execution", steps_per_execution)
        self.run_eagerly, self.jit_compile, self.auto_scale_loss = bool(run_eagerly), jit_compile, auto_scale_loss
        object.__setattr__(self, "_loss", loss_fn)
        object.__setattr__(self, "_metrics_compiled", compiled_metrics)
        object.__setattr__(self, "_loss_tracker", metrics_module.Mean(name="loss"))
        self._compile_told = {"optimizer": optimizer, "loss": loss, "loss_weights": loss_weights, "metrics": metrics,
                              "weighted_metrics": weighted_metrics, "run_eagerly": run_eagerly,
                              "steps_per_execution": steps_per_execution, "jit_compile": jit_compile}
        object.__setattr__(self, "_steps", {})
        self.stop_training = False
        self.compiled = True

    def get_compile_config(self) -> dict | None:
        """What `compile` was told, for the file."""
        if not self.compiled:
            return None
        return {k: registry.serialize(v) for k, v in self._compile_told.items()}

    def compile_from_config(self, config: dict) -> None:
        """Compile as a file says."""
        config = {k: registry.deserialize(v) if k != "optimizer" else optimizers.get(v) for k, v in config.items()}
        self.compile(**config)
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)

    @property
    def metrics(self) -> list:
        """The loss tracker, the outputs' losses, the compiled metrics, and those in the model's attributes."""
        found = []
        if self.compiled:
            found = [self._loss_tracker, *(self._loss.metrics if self._loss else ()), *self._metrics_compiled.metrics]
        return list({id(m): m for m in [*found, *super().metrics]}.values())

    @property
    def metrics_names(self) -> list:
        return [m.name for m in self.metrics]

    def reset_metrics(self) -> None:
        """Start every metric anew."""
        for metric in self.metrics:
            metric.reset_state()

    def _require_compiled(self, what: str) -> None:
        if not self.compiled:
            raise ValueError(f"Call model.compile(optimizer=..., loss=...) before model.{what}().")

    # the steps, in plain text --------------------------------------------------------------------------------------

    def train_step(self, data):
        """Forward, backward, update and metrics of one batch; returns the logs. Override it to train otherwise."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        variables = self.trainable_variables

        def loss_fn():
            y_pred = self(x, training=True)
            loss = self._compute_loss(x, y, y_pred, sample_weight, True)
            return self.optimizer.scale_loss(loss), loss, y_pred, _masks_of(y_pred)

        if variables:
            (_, loss, y_pred, masks), gradients = value_and_grad(loss_fn, variables)
            self.optimizer.apply(gradients, variables)
        else:
            _, loss, y_pred, masks = loss_fn()
        _put_masks(y_pred, masks)
        self._loss_tracker.update_state(loss, sample_weight=_samples(x))
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def test_step(self, data):
        """Forward pass, loss and metrics of one batch; returns the logs."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self(x, training=False)
        loss = self._compute_loss(x, y, y_pred, sample_weight, False)
        self._loss_tracker.update_state(loss, sample_weight=_samples(x))
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def predict_step(self, data):
        """The outputs for one batch."""
        return self(unpack_x_y_sample_weight(data)[0], training=False)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The total loss: the compiled one plus those that layers and regularizers added."""
        total = None
        if self._loss is not None:
            total = self._loss(y, y_pred, sample_weight, self._output_names())
        for value in self.losses:
            value = jnp.asarray(value)
            total = value if total is None else total + value.astype(total.dtype)
        if total is None:
            raise ValueError("There is nothing to minimize: compile() was given no loss, and no layer added one. "
                             "Pass `loss` to compile(), or call add_loss in a layer.")
        return jnp.mean(total) if total.ndim else total

    def _compute_loss(self, x, y, y_pred, sample_weight, training):
        if "training" in inspect.signature(type(self).compute_loss).parameters:
            return self.compute_loss(x, y, y_pred, sample_weight, training=training)
        return self.compute_loss(x, y, y_pred, sample_weight)

    def compute_metrics(self, x, y, y_pred, sample_weight=None) -> dict:
        """Update the compiled metrics with a batch and return all results."""
        if self._metrics_compiled is not None and y is not None:
            self._metrics_compiled.update_state(y, y_pred, sample_weight, self._output_names())
        return self.get_metrics_result()

    def get_metrics_result(self) -> dict:
        """The values of all metrics by name."""
        results = {}
        compiled = self._metrics_compiled
        if compiled is not None:
            results = {m.name: m.result() for m in [self._loss_tracker, *(self._loss.metrics if self._loss else ())]}
            results |= compiled.result()
        known = {id(m) for m in compiled.metrics} if compiled is not None else set()
        for metric in self.metrics:
            if id(metric) not in known and metric.name not in results:
                value = metric.result()
                results.update(value if isinstance(value, dict) else {metric.name: value})
        flat = {}
        for name, value in results.items():
            flat.update(value if isinstance(value, dict) else {name: value})
        return flat

    def _output_names(self):
        return self.output_names if self.graph is not None else None

    def stateless_compute_loss(self, trainable_variables, non_trainable_variables, metrics_variables, x=None, y=None,
                               y_pred=None, sample_weight=None, training=True):
        """`compute_loss` as a pure function: `(loss, (trainable, non_trainable, metrics) values)`."""
        groups = [self.trainable_variables, self.non_trainable_variables, self.metrics_variables]
        values = [[getattr(v, "raw", v) for v in g] for g in (trainable_variables, non_trainable_variables, metrics_variables)]
        with Scope(sum(groups, []), sum(values, [])) as scope:
            loss = self.compute_loss(x, y, y_pred, sample_weight, training=training)
            return loss, tuple([scope.values[id(v)] for v in g] for g in groups)

    # the compiled steps ----------------------------------------------------------------------------------------------

    def _step(self, kind: str) -> Step:
        """The step of a kind for the model's present variables (which of them are trainable counts)."""
        known = self.__dict__.setdefault("_steps", {})
        found = known.get(kind)
        if found is not None and found[0] == structure["version"] and found[1] == self.run_eagerly:
            return found[2]
        step = self._find_step(kind, known)
        known[kind] = (structure["version"], self.run_eagerly, step)
        return step

    def _find_step(self, kind: str, steps: dict) -> Step:
        trainable, others, running = self.trainable_variables, self.non_trainable_variables, self.metrics_variables
        changing, fixed = list(others), list(trainable)
        if kind != "predict":
            changing += running
        if kind == "train":
            optimizer = [v for o in self._optimizers() for v in o.variables]
            changing, fixed = [*trainable, *changing, *optimizer], []
        key = (kind, tuple(map(id, changing)), tuple(map(id, fixed)), self.run_eagerly)
        if key not in steps:
            steps[key] = Step(self._runner(kind), changing, fixed, kind,
                              jit=not self.run_eagerly and getattr(self, "jit_compile", "auto") is not False)
        return steps[key]

    def _optimizers(self) -> list:
        """Every optimizer in the model's attributes (a GAN has two)."""
        found = [v for v in self.__dict__.values() if isinstance(v, optimizers.Optimizer)]
        return list({id(o): o for o in found}.values())

    def _runner(self, kind: str):
        method = getattr(self, f"{kind}_step")
        packed = type(self) is not Trainer and getattr(type(self), f"{kind}_step") is not getattr(Trainer, f"{kind}_step")

        def run(data):
            return _logs(method(_pack(data) if packed else data), kind)

        if list(inspect.signature(method).parameters)[:1] != ["state"]:
            return run

        def run_stateful(data):  # Keras-on-JAX's form: train_step(self, state, data) -> (logs, state)
            groups = [self.trainable_variables, self.non_trainable_variables]
            if kind == "train":
                groups.append(list(self.optimizer.variables))
            if kind != "predict":
                groups.append(self.metrics_variables)
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
        own = {"train": Trainer.train_step, "test": Trainer.test_step, "predict": Trainer.predict_step}[kind]
        custom = getattr(type(self), f"{kind}_step") is not own
        if not self.built and type(self).call is not Trainer:
            self._build_from(x)
        for optimizer in self._optimizers() if kind == "train" else ():
            if optimizer is self.optimizer and not optimizer.built:
                optimizer.build(self.trainable_variables)
        if kind == "predict":
            return
        if custom:
            signature = tree.map_structure(lambda a: None if a is None else KerasTensor(a.shape, _dtype(a)), (x, y, weight))
            if not self.__dict__.get("_traced_steps", {}).get(kind):  # makes what a user's own step makes on first use
                infer(lambda data: (self._runner(kind)(data), None)[1], (signature,), {}, f"{kind}_step")
                self.__dict__.setdefault("_traced_steps", {})[kind] = True
        elif y is not None:
            self._bind_metrics(x, y)

    def _build_from(self, x) -> None:
        shapes = tree.map_structure(lambda a: None if a is None else KerasTensor((None, *a.shape[1:]), _dtype(a)), x)
        symbolic = [t for t in tree.flatten(shapes) if t is not None]
        if any(t.dtype == "string" for t in symbolic):
            self(x)
        else:
            self._maybe_build((shapes,), {})
            if not all(layer.built for layer in self._flatten_layers()):
                infer(self._traced, (shapes,), {}, self.name)

    def _bind_metrics(self, x, y) -> None:
        """Make the compiled losses' and metrics' variables, from the shapes of targets and outputs."""
        loss, compiled = self._loss, self._metrics_compiled
        if (loss is None or loss.by_name is not None) and compiled.made is not None:
            return
        if self.graph is not None:
            y_pred = self.graph.output_structure
        else:
            shapes = tree.map_structure(lambda a: KerasTensor((None, *a.shape[1:]), _dtype(a)), x)
            y_pred = infer(self._traced, (shapes,), {}, self.name)
        targets = tree.map_structure(lambda a: KerasTensor((None, *a.shape[1:]), _dtype(a)), y)
        if loss is not None:
            from cornu.training.compiled import named_outputs

            loss.bind(list(named_outputs(y_pred, self._output_names())))
        compiled.bind(targets, y_pred, self._output_names())

        def update(y, y_pred):
            compiled.update_state(y, y_pred, None, self._output_names())

        infer(update, (targets, y_pred), {}, "metrics")  # metrics that make their variables on first use make them now

    # the loop --------------------------------------------------------------------------------------------------------

    def _run(self, kind: str, source, callbacks, seed=0, epoch=0, limit=None, collect=None):
        """Run a step on every batch of a source; returns the last logs. The heart of fit, evaluate and predict."""
        step = self._step(kind)
        began, ended = (getattr(callbacks, f"on_{kind}_batch_{edge}") for edge in ("begin", "end"))
        hears_begin, hears_end = (bool(callbacks.listeners[f"on_{kind}_batch_{edge}"]) for edge in ("begin", "end"))
        flying, output = collections.deque(), None
        for index, output in self._outputs(kind, step, source, seed, epoch, limit, began if hears_begin else None):
            if collect is not None:
                collect(output)
            if hears_end:
                ended(index, Logs({"outputs": output} if kind == "predict" else output))
            flying.append(output)
            if len(flying) > _IN_FLIGHT:
                jax.block_until_ready(flying.popleft())
            if kind == "train" and self.stop_training:
                break
        if output is None:
            raise ValueError(f"The data gave no batch for {kind}ing: it is empty or used up.")
        return output

    def _outputs(self, kind, step, source, seed, epoch, limit, began):
        """Pairs of the last batch's number and the step's output, one per dispatch."""
        count = getattr(self, "steps_per_execution", 1) if kind == "train" else 1
        if isinstance(source, ArraySource):
            index = 0
            held = self._resident(source, kind) if step.jit and not source.text else None
            for turn, start, stop in source.passes(epoch, limit):
                if held is not None:
                    yield from self._resident_outputs(step, source, held, (seed, turn), (start, stop), index, count, began)
                else:
                    yield from self._streamed(step, source.epoch(seed, turn, start, stop), index, began)
                index += stop - start
            return
        yield from self._streamed(step, source.epoch(seed, epoch, limit=limit), 0, began)

    def _streamed(self, step, batches, index, began):
        for index, batch in enumerate(batches, index):
            if began is not None:
                began(index, Logs())
            yield index, step(self._adapt(batch))

    def _resident_outputs(self, step, source, arrays, turn, part, index, count, began):
        """The batches start to stop of one pass over arrays on the device, `count` of them per dispatch."""
        order = source.order(*turn)
        order = None if order is None else jax.device_put(order)
        (start, stop), size = part, source.batch_size
        cursor = jax.device_put(np.int32(start * size))
        whole = min(source.samples // size, stop)
        rest = source.samples - whole * size if stop > whole else 0
        while start < whole:
            now = count if start + count <= whole else 1
            if began is not None:
                began(index, Logs())
            output, cursor = step.gathered(arrays, order, cursor, size, now)
            if rest and index == 0:  # the last, smaller batch: its executable is made while the epoch runs
                step.prepare_gathered(arrays, order, rest)
            start, index = start + now, index + now
            yield index - 1, output
        if rest:
            if began is not None:
                began(index, Logs())
            yield index, step.gathered(arrays, order, cursor, rest)[0]

    def _resident(self, source, kind: str):
        """The source's arrays on the device, or None where they do not fit there or lie in a file."""
        if getattr(source, "held", None) is None:
            data = source.data[:1] + (None, None) if kind == "predict" else source.data
            leaves = [a for a in tree.flatten(data) if a is not None]
            size = sum(a.nbytes for a in leaves)
            if any(isinstance(a, np.memmap) for a in leaves) or size > _device_room():
                return None
            source.held = jax.tree.map(_to_device, self._adapt(data))
        return source.held

    def _adapt(self, batch):
        """Fit images to a model that declares flat inputs, as old tutorials do."""
        x = batch[0]
        if self.graph is None or not hasattr(x, "shape") or len(self.graph.inputs) != 1:
            return batch
        wanted = self.graph.inputs[0].shape
        if len(wanted) == 2 and x.ndim > 2 and wanted[1] == int(np.prod(x.shape[1:])) and x.shape[-1] != wanted[1]:
            if not self.__dict__.get("_told_flattened"):
                self._told_flattened = True
                warnings.warn(f"Samples of shape {tuple(x.shape[1:])} were flattened to ({wanted[1]},), the input that model "
                              f"{self.name!r} declares. Add a Flatten layer to silence this.", stacklevel=2)
            x = x.reshape(x.shape[0], wanted[1])
            return (x, *batch[1:])
        return batch

    # fit -------------------------------------------------------------------------------------------------------------

    def fit(self, x=None, y=None, batch_size=None, epochs=1, verbose="auto", callbacks=None, validation_split=0.0,
            validation_data=None, shuffle=True, class_weight=None, sample_weight=None, initial_epoch=0,
            steps_per_epoch=None, validation_steps=None, validation_batch_size=None, validation_freq=1):
        """Train on the data for a number of epochs; returns the History.

        Args:
            x: inputs: arrays, nested lists or dicts of them, frames, or something that gives batches.
            y: targets, likewise; not with data that brings its own.
            batch_size: samples per step, 32 if None.
            epochs: the number of the last epoch.
            verbose: 0 for silence, 1 for a progress bar, 2 for a line per epoch; "auto" is 1.
            callbacks: Callback objects.
            validation_split: the share of the samples, at their end, that is held out for validation.
            validation_data: (x, y) or (x, y, sample_weight), or something that gives batches.
            shuffle: whether the samples' order changes every epoch; "batch" moves whole batches.
            class_weight: weights of the classes by number.
            sample_weight: a weight per sample.
            initial_epoch: the epoch to start from.
            steps_per_epoch: batches per epoch; None for all.
            validation_steps: batches of validation data; None for all.
            validation_batch_size: samples per validation step; batch_size if None.
            validation_freq: validate every so many epochs, or after the listed epochs (counted from 1).

        Raises ValueError for data that does not fit, before any weight is changed.
        """
        self._require_compiled("fit")
        epochs = check.positive("epochs", min(epochs, config.max_epochs() or epochs), zero=True)
        verbose = _verbosity(verbose)
        if validation_split and validation_data is None:
            (x, y, sample_weight), validation_data = data_module.split((x, y, sample_weight), validation_split)
        source = source_of(x, y, sample_weight, batch_size, shuffle, steps_per_epoch, class_weight)
        validation = self._validation(validation_data, batch_size if validation_batch_size is None else validation_batch_size,
                                      validation_steps)
        self._check_data(source, "train")
        if validation is not None:
            self._check_data(validation, "test")
        self._prepare(self._adapt(source.first()), "train")
        if validation is not None:
            self._check_shapes(self._adapt(validation.first()), self._adapt(source.first()))
        limit = _limit(steps_per_epoch)
        steps = source.steps if limit is None else min(limit, source.steps or limit)
        callbacks = CallbackList(callbacks, add_history=True, add_progbar=verbose != 0, model=self, verbose=verbose,
                                 epochs=epochs, steps=steps, log_names=self._log_names(validation is not None))
        self.stop_training, seed, logs = False, make_default_seed(), {}
        with interrupts:
            callbacks.on_train_begin()
            for epoch in range(initial_epoch, epochs):
                self.reset_metrics()
                callbacks.on_epoch_begin(epoch)
                logs = Logs(self._run("train", source, callbacks, seed, epoch, limit))
                logs = Logs({**dict.copy(logs), **self._validate(validation, epoch, validation_freq, validation_steps, callbacks)})
                callbacks.on_epoch_end(epoch, logs)
                if self.stop_training:
                    break
            for optimizer in self._optimizers():
                optimizer.finalize_variable_values(self.trainable_variables)
            callbacks.on_train_end(logs)
        return self.history

    def _log_names(self, validates: bool):
        """The names that training will log, where that is known beforehand; None for a train_step of the user's own."""
        if type(self).train_step is not Trainer.train_step or type(self).compute_metrics is not Trainer.compute_metrics \
                or type(self).get_metrics_result is not Trainer.get_metrics_result:
            return None
        names = sorted(jax.eval_shape(lambda: {k: getattr(v, "raw", v) for k, v in self.get_metrics_result().items()}))
        return names + [f"val_{n}" for n in names] * validates

    def _validation(self, data, batch_size, steps):
        if data is None:
            return None
        x, y, weight = data if isinstance(data, tuple) and len(data) == 3 else unpack_x_y_sample_weight(data)
        return source_of(x, y, weight, batch_size, False, steps)

    def _validate(self, source, epoch, frequency, steps, callbacks) -> dict:
        due = (epoch + 1) % frequency == 0 if isinstance(frequency, int) else epoch + 1 in frequency
        if source is None or not due:
            return {}
        trained = [(v, v._value) for v in self.metrics_variables]
        result = self._evaluate(source, callbacks, steps)
        for variable, value in trained:
            variable._value = value
        return {f"val_{name}": value for name, value in result.items()}

    def _check_data(self, source, kind: str) -> None:
        """Find what is wrong with the data before any step: NaN, text for numbers, labels out of range."""
        if isinstance(source, ArraySource):
            checks.check_arrays(source.data, self, kind)

    def _check_shapes(self, batch, trained) -> None:
        """Try validation data of another shape than the training data before the first step, not after an epoch."""
        def shapes(x):
            return tree.map_structure(lambda a: None if a is None else (a.shape[1:], str(a.dtype)), x)

        if str(shapes(batch[0])) != str(shapes(trained[0])) and not any(map(data_module.is_text, tree.flatten(batch[0]))):
            inputs = tree.map_structure(lambda a: None if a is None else KerasTensor((None, *a.shape[1:]), _dtype(a)), batch[0])
            infer(self._traced, (inputs,), {"training": False}, self.name)

    # evaluate and predict ----------------------------------------------------------------------------------------------

    def evaluate(self, x=None, y=None, batch_size=None, verbose="auto", sample_weight=None, steps=None, callbacks=None,
                 return_dict=False, **kwargs):
        """Loss and metrics on the data: a number, a list (loss first), or a dict."""
        if kwargs:
            raise ValueError(f"evaluate: unknown arguments {sorted(kwargs)}.")
        self._require_compiled("evaluate")
        verbose = _verbosity(verbose)
        source = source_of(x, y, sample_weight, batch_size, False, steps)
        self._check_data(source, "test")
        if not isinstance(callbacks, CallbackList):
            callbacks = CallbackList(callbacks, add_progbar=verbose != 0, model=self, verbose=verbose, epochs=1,
                                     steps=source.steps if steps is None else min(steps, source.steps or steps))
        with interrupts:
            logs = self._evaluate(source, callbacks, steps)
        logs = {k: _number(v) for k, v in logs.items()}
        return logs if return_dict else self._listed(logs)

    def _evaluate(self, source, callbacks, steps) -> dict:
        self._prepare(self._adapt(source.first()), "test")
        self.reset_metrics()
        callbacks.on_test_begin()
        logs = Logs(self._run("test", source, callbacks, limit=_limit(steps)))
        callbacks.on_test_end(logs)
        return dict.copy(logs)

    def _listed(self, logs: dict):
        """Logs as Keras's list: the loss, then the metrics in the order of `compile`; a number when it is alone."""
        compiled = [m.name for m in (self._loss.metrics if self._loss else ())] + self._metrics_compiled.names_of_results()
        order = [k for k in ("loss", *compiled) if k in logs]
        values = [logs[k] for k in dict.fromkeys([*order, *logs])]
        return values[0] if len(values) == 1 else values

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """The outputs for all samples, as NumPy arrays in the outputs' structure."""
        verbose = _verbosity(verbose)
        known = self.__dict__.get("_predicts")  # the short way for a few rows of a kind that was seen before
        if known is not None and callbacks is None and isinstance(x, np.ndarray) and known == (
                structure["version"], x.shape, x.dtype) and len(x) <= (batch_size or 32):
            return self._predict_once((x, None, None), verbose)
        source = source_of(x, None, None, batch_size, False, steps)
        first = self._adapt(source.first())
        self._check_data(source, "predict")
        self._prepare(first, "predict")
        if source.steps == 1 and not callbacks and isinstance(source, ArraySource) and not source.text:
            output = self._predict_once(first, verbose)
            if isinstance(x, np.ndarray) and (first[0].shape, first[0].dtype) == (x.shape, x.dtype):
                object.__setattr__(self, "_predicts", (structure["version"], x.shape, x.dtype))
            return output
        callbacks = CallbackList(callbacks, add_progbar=verbose != 0, model=self, verbose=verbose, epochs=1,
                                 steps=source.steps if steps is None else min(steps, source.steps or steps))
        parts = []
        with interrupts:
            callbacks.on_predict_begin()
            self._run("predict", source, callbacks, limit=_limit(steps), collect=parts.append)
            callbacks.on_predict_end()
        return tree.map_structure(lambda *p: np.concatenate([np.asarray(a) for a in p]), *parts)

    def _predict_once(self, batch, verbose):
        """The short way for data of one batch."""
        bar = Progbar(1, verbose=verbose) if verbose else None
        output = jax.tree.map(np.asarray, self._step("predict")((batch[0], None, None)))
        if bar is not None:
            bar.update(1)
        return output

    # single batches ----------------------------------------------------------------------------------------------------

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        """One training step; returns the loss and metrics of this batch."""
        self._require_compiled("train_on_batch")
        return self._on_batch("train", x, y, sample_weight, class_weight, return_dict)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """One evaluation step; returns the loss and metrics of this batch."""
        self._require_compiled("test_on_batch")
        return self._on_batch("test", x, y, sample_weight, None, return_dict)

    def predict_on_batch(self, x):
        """The outputs for one batch."""
        source = ArraySource((x, None, None), 2**31 - 1)
        batch = self._adapt(source.first())
        self._prepare(batch, "predict")
        return tree.map_structure(np.asarray, self._step("predict")(batch))

    def _on_batch(self, kind, x, y, sample_weight, class_weight, return_dict):
        if class_weight is not None:
            if sample_weight is not None:
                raise ValueError("Give either class_weight or sample_weight, not both.")
            sample_weight = data_module.class_weights_for(y, class_weight)
        source = ArraySource((x, y, sample_weight), 2**31 - 1)
        self._check_data(source, kind)
        batch = self._adapt(source.first())
        self._prepare(batch, kind)
        self.reset_metrics()
        logs = {k: _number(v) for k, v in self._step(kind)(batch).items()}
        return logs if return_dict else self._listed(logs)


def _logs(logs, kind: str):
    if kind == "predict":
        return logs
    if logs is None:
        raise ValueError(f"{kind}_step returned None. It must return a dict of logs, such as {{'loss': loss}}.")
    return {k: getattr(v, "raw", v) for k, v in logs.items()} if isinstance(logs, dict) else {"loss": logs}


def _pack(data):
    return data_module.pack_x_y_sample_weight(*data)


def _samples(x):
    return next((a.shape[0] for a in tree.flatten(x) if a is not None and a.ndim), 1)


def _masks_of(y_pred):
    masks = tree.map_structure(context.mask_of, y_pred)
    return masks if any(m is not None for m in tree.flatten(masks)) else None


def _put_masks(y_pred, masks) -> None:
    if masks is not None:
        for output, mask in zip(tree.flatten(y_pred), tree.flatten(masks)):
            if mask is not None:
                context.put_mask(output, mask)


def _dtype(array) -> str:
    kind = getattr(array.dtype, "kind", "")
    return "string" if kind in ("O", "S", "U", "T") else dtypes.standardize(array.dtype)


def _number(value):
    return float(value) if getattr(value, "ndim", None) == 0 else value


def _verbosity(verbose) -> int:
    check.one_of("verbose", verbose, ("auto", 0, 1, 2, True, False))
    return (1 if config.is_interactive_logging_enabled() else 2) if verbose == "auto" else int(verbose)


def _limit(steps):
    most = config.max_steps_per_epoch()
    return most if steps is None else check.positive("steps", min(steps, most or steps))


def _device_room() -> float:
    """How many bytes of data may stay on the device: all on a CPU, a quarter of an accelerator's memory."""
    stats = jax.devices()[0].memory_stats() or {}
    return stats.get("bytes_limit", float("inf")) / 4 if jax.default_backend() != "cpu" else float("inf")


def _to_device(array):
    """A host array on the device; on a CPU without a copy where its address allows it."""
    return jax.device_put(array) if isinstance(array, np.ndarray) else array

