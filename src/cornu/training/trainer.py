"""Trainer: fit, evaluate and predict."""

import contextlib
import threading

import jax
import numpy as np

from cornu import check, config, errors, frames, ownership, tree
from cornu import data as data_module
from cornu.callbacks import CallbackList, Logs, Progbar, backup_of
from cornu.data import ArraySource, closing, is_empty, source_of, unpack_x_y_sample_weight
from cornu.interrupts import interrupts
from cornu.random import make_default_seed
from cornu.symbolic import infer
from cornu.training import checks, freezing, front
from cornu.training.loop import Loop, _symbol
from cornu.training.run import once
from cornu.variable import structure


class Trainer(Loop):
    """The part of a Model that trains it."""

    # fit -------------------------------------------------------------------------------------------------------------

    @errors.filtered
    def fit(self, x=None, y=None, batch_size=None, epochs=1, verbose="auto", callbacks=None, validation_split=0.0,
            validation_data=None, shuffle=True, class_weight=None, sample_weight=None, initial_epoch=0,
            steps_per_epoch=None, validation_steps=None, validation_batch_size=None, validation_freq=1, resume=None):
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
            resume: a folder for the state of this run: it is saved there after every epoch, and where there is one already,
                training goes on from it, exact to the bit (see `callbacks.BackupAndRestore`).

        Raises ValueError for data that does not fit, before any weight is changed.
        """
        self._require_compiled("fit")
        epochs = check.positive("epochs", min(epochs, config.max_epochs() or epochs), zero=True)
        verbose = _verbosity(verbose)
        x = self._by_columns(x)
        if validation_split and validation_data is None:
            (x, y, sample_weight), validation_data = data_module.split((x, y, sample_weight), validation_split)
        source = source_of(x, y, sample_weight, batch_size, shuffle, steps_per_epoch, class_weight)
        validation = self._validation(validation_data, batch_size if validation_batch_size is None else validation_batch_size,
                                      validation_steps)
        backup, callbacks = backup_of(callbacks, resume)
        with interrupts, freezing.as_compiled(self), self._binding(), closing(source, validation, backup):
            backup.begin()
            self._check_data(source, "train")
            source = self._fronted(source)
            if validation is not None:
                self._check_data(validation, "test")
                validation = self._fronted(validation)
            self._prepare(self._adapt(source.first()), "train")
            if validation is not None:
                self._check_shapes(self._adapt(validation.first()), self._adapt(source.first()))
                self._prepare(self._adapt(validation.first()), "test")
            self._check_labels(source, validation)
            limit = _limit(steps_per_epoch)
            steps = source.steps if limit is None else min(limit, source.steps or limit)
            callbacks = CallbackList(callbacks, add_history=True, add_progbar=verbose != 0, model=self, verbose=verbose,
                                     epochs=epochs, steps=steps, log_names=self._log_names(validation is not None))
            self.stop_training = False
            with self._guarded_by(callbacks), callbacks.ended_by_errors():
                callbacks.on_train_begin()
                self.__dict__["_trained_by"] = threading.current_thread()
                seed, first, skip, logs = backup.resume(callbacks, (source, validation), make_default_seed(), initial_epoch)
                for epoch in range(first, 0 if backup.stopped else epochs):
                    if epoch > first and source.used_up():
                        frames.warn(f"The data was used up after {epoch} of {epochs} epochs, so training ends. Pass an iterable "
                                    "that can begin anew, or steps_per_epoch.")
                        break
                    if not skip:
                        self.reset_metrics()
                    callbacks.on_epoch_resume(epoch) if skip else callbacks.on_epoch_begin(epoch)
                    logs = Logs(self._run("train", source, callbacks, seed, epoch, limit, skip=skip, last=logs if skip else None))
                    logs = Logs({**dict.copy(logs), **self._validate(validation, epoch, validation_freq, validation_steps, callbacks)})
                    skip = 0
                    callbacks.on_epoch_end(epoch, logs)
                    if self.stop_training:
                        break
                callbacks.before_finalize()
                for optimizer in self._optimizers():
                    optimizer.finalize_variable_values(self.trainable_variables)
                callbacks.on_train_end(Logs(logs))
                self.__dict__.pop("_trained_by", None)
        return self.history

    def _log_names(self, validates: bool):
        """The names that training will log."""
        return self._names_of("train") + [f"val_{name}" for name in (self._names_of("test") if validates else ())]

    @contextlib.contextmanager
    def _guarded_by(self, callbacks):
        """Where a callback watches for NaN, steps whose loss is not finite are not taken."""
        before = self._guard
        if before is None and any(getattr(c, "guards_loss", False) for c in callbacks.callbacks):
            object.__setattr__(self, "_guard", "loss")
        try:
            yield
        finally:
            object.__setattr__(self, "_guard", before)

    def _validation(self, data, batch_size, steps):
        if data is None:
            return None
        if isinstance(data, (list, tuple)) and len(data) < 2 and self._loss is not None:
            raise ValueError("validation_data is (x, y) or (x, y, sample_weight), or something that gives batches. Received a "
                             f"{type(data).__name__} of {len(data)}: the targets are missing.")
        x, y, weight = data if isinstance(data, tuple) and len(data) == 3 else unpack_x_y_sample_weight(data)
        if is_empty(x):
            frames.warn("validation_data is empty, so nothing is validated.")
            return None
        return source_of(self._by_columns(x), y, weight, batch_size, False, steps)

    def _validate(self, source, epoch, frequency, steps, callbacks) -> dict:
        due = (epoch + 1) % frequency == 0 if isinstance(frequency, int) else epoch + 1 in frequency
        if source is None or not due:
            return {}
        variables = self.metrics_variables
        trained = ownership.read(variables)
        try:
            result = self._evaluate(source, callbacks, steps)
        finally:
            ownership.write(variables, trained)
        return {f"val_{name}": value for name, value in result.items()}

    def _check_data(self, source, kind: str) -> None:
        """Find what is wrong with the data before any step: NaN, text for numbers, labels out of range."""
        if isinstance(source, ArraySource):
            checks.check_arrays(source.data, self, kind)

    def _fronted(self, source):
        """The source with what comes before the compiled step computed: see front.py."""
        if not self.built and front.raw_text((first := source.first())[0]):
            self._build_from(first[0])
        found = front.front_of(self)
        return found.source(self, source) if isinstance(found, front.Front) else source

    def _check_labels(self, *sources) -> None:
        """The labels again, where the model's outputs are known only now that it is prepared."""
        for source in sources if self.graph is None else ():
            if isinstance(source, ArraySource) and source.data[1] is not None:
                checks.check_labels(source.data[1], self)

    def _check_shapes(self, batch, trained) -> None:
        """Try validation data of another shape than the training data before the first step, not after an epoch."""
        def shapes(x):
            return tree.map_structure(lambda a: None if a is None else (a.shape[1:], str(a.dtype)), x)

        if str(shapes(batch[0])) != str(shapes(trained[0])) and not any(map(data_module.is_text, tree.flatten(batch[0]))):
            inputs = tree.map_structure(lambda a: None if a is None else _symbol(a, (None, *a.shape[1:])), batch[0])
            infer(self._traced, (inputs,), {"training": False}, self.name)

    # evaluate and predict ----------------------------------------------------------------------------------------------

    @errors.filtered
    def evaluate(self, x=None, y=None, batch_size=None, verbose="auto", sample_weight=None, steps=None, callbacks=None,
                 return_dict=False, **kwargs):
        """Loss and metrics on the data: a number, a list (loss first), or a dict."""
        if kwargs:
            raise ValueError(f"evaluate: unknown arguments {sorted(kwargs)}.")
        self._require_compiled("evaluate")
        verbose = _verbosity(verbose)
        source = source_of(self._by_columns(x), y, sample_weight, batch_size, False, steps)
        self._check_data(source, "test")
        source = self._fronted(source)
        if not isinstance(callbacks, CallbackList):
            callbacks = CallbackList(callbacks, add_progbar=verbose != 0, model=self, verbose=verbose, epochs=1,
                                     steps=source.steps if steps is None else min(steps, source.steps or steps))
        with interrupts, self._binding(), closing(source), callbacks.ended_by_errors():
            logs = self._evaluate(source, callbacks, steps)
        logs = {k: _number(v) for k, v in logs.items()}
        return logs if return_dict else self._listed(logs)

    def _evaluate(self, source, callbacks, steps) -> dict:
        self._prepare(self._adapt(source.first()), "test")
        self._check_labels(source)
        start = self._metrics_anew()
        callbacks.on_test_begin()
        logs = Logs(self._run("test", source, callbacks, limit=_limit(steps), start=start))
        callbacks.on_test_end(logs)
        return dict.copy(logs)

    def _listed(self, logs: dict):
        """Logs as Keras's list: the loss, then the metrics in the order of `compile`; a number when it is alone."""
        compiled = [m.name for m in (self._loss.metrics if self._loss else ())] + self._metrics_compiled.names_of_results()
        order = [k for k in ("loss", *compiled) if k in logs]
        values = [logs[k] for k in dict.fromkeys([*order, *logs])]
        return values[0] if len(values) == 1 else values

    @errors.filtered
    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """The outputs for all samples, as NumPy arrays in the outputs' structure."""
        verbose = _verbosity(verbose)
        known = self.__dict__.get("_predicts")  # the short way for a few rows of a kind that was seen before
        if known is not None and callbacks is None and isinstance(x, np.ndarray) and known == (
                structure["version"], x.shape, x.dtype) and len(x) <= (batch_size or 32):
            return self._predict_once((x, None, None), verbose)
        x = self._by_columns(x)
        source = source_of(x, None, None, batch_size, False, steps)
        with interrupts, closing(source):
            return self._predict(x, source, verbose, steps, callbacks)

    def _predict(self, x, source, verbose, steps, callbacks):
        self._check_data(source, "predict")
        source = self._fronted(source)
        first = self._adapt(source.first())
        self._prepare(first, "predict")
        if source.steps == 1 and not callbacks and isinstance(source, ArraySource) and not source.text:
            output = self._predict_once(first, verbose)
            if isinstance(x, np.ndarray) and isinstance(first[0], np.ndarray) and (first[0].shape, first[0].dtype) == (x.shape, x.dtype):
                object.__setattr__(self, "_predicts", (structure["version"], x.shape, x.dtype))
            return output
        callbacks = CallbackList(callbacks, add_progbar=verbose != 0, model=self, verbose=verbose, epochs=1,
                                 steps=source.steps if steps is None else min(steps, source.steps or steps))
        parts = []
        with callbacks.ended_by_errors():
            callbacks.on_predict_begin()
            self._run("predict", source, callbacks, limit=_limit(steps), collect=parts.append)
            callbacks.on_predict_end()
        return tree.map_structure(_joined, *parts)

    def _predict_once(self, batch, verbose):
        """The short way for data of one batch."""
        bar = Progbar(1, verbose=verbose) if verbose else None
        with interrupts:
            output = jax.tree.map(np.array, once(self._step("predict"), (batch[0], None, None)))
        if bar is not None:
            bar.update(1)
        return output

    # single batches ----------------------------------------------------------------------------------------------------

    @errors.filtered
    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        """One training step; returns the loss and metrics of this batch."""
        self._require_compiled("train_on_batch")
        with freezing.as_compiled(self), self._binding():
            return self._on_batch("train", x, y, sample_weight, class_weight, return_dict)

    @errors.filtered
    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """One evaluation step; returns the loss and metrics of this batch."""
        self._require_compiled("test_on_batch")
        with self._binding():
            return self._on_batch("test", x, y, sample_weight, None, return_dict)

    @errors.filtered
    def predict_on_batch(self, x):
        """The outputs for one batch."""
        source = self._fronted(ArraySource((self._by_columns(x), None, None), 2**31 - 1))
        batch = self._adapt(source.first())
        self._prepare(batch, "predict")
        with interrupts:
            return tree.map_structure(np.array, once(self._step("predict"), batch))

    def _on_batch(self, kind, x, y, sample_weight, class_weight, return_dict):
        if class_weight is not None:
            if sample_weight is not None:
                raise ValueError("Give either class_weight or sample_weight, not both.")
            sample_weight = data_module.class_weights_for(y, class_weight)
        source = ArraySource((self._by_columns(x), y, sample_weight), 2**31 - 1)
        self._check_data(source, kind)
        source = self._fronted(source)
        batch = self._adapt(source.first())
        self._prepare(batch, kind)
        self._check_labels(source)
        if kind == "train":
            self.__dict__["_trained_by"] = threading.current_thread()
            self.reset_metrics()
        start = self._metrics_anew() if kind == "test" else None
        with interrupts:
            step = self._step(kind)
            logs = once(step, batch, start, self._trained_elsewhere)
            self.__dict__["_bound_untried"] = False
            self._watch(step, source, (0, 0, None, 0))
        logs = {k: _number(v) for k, v in logs.items()}
        return logs if return_dict else self._listed(logs)


def _joined(*parts):
    """The parts one after the other, in memory of the caller's own."""
    return np.array(parts[0]) if len(parts) == 1 else np.concatenate([np.asarray(part) for part in parts])


def _number(value):
    return float(value) if getattr(value, "ndim", None) == 0 else value


def _verbosity(verbose) -> int:
    check.one_of("verbose", verbose, ("auto", 0, 1, 2, True, False))
    return (1 if config.is_interactive_logging_enabled() else 2) if verbose == "auto" else int(verbose)


def _limit(steps):
    most = config.max_steps_per_epoch()
    return most if steps is None else check.positive("steps", min(steps, most or steps))
