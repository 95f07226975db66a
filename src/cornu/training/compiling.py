"""compile(), and the training, test and prediction steps in plain, stateful text."""

import inspect

import jax.numpy as jnp

from cornu import check, context, errors, frames, optimizers, registry, tree
from cornu import metrics as metrics_module
from cornu.data import unpack_x_y_sample_weight
from cornu.training import freezing
from cornu.training.compiled import CompiledLoss, CompiledMetrics
from cornu.variable import Scope, functional, value_and_grad


class Compiling:
    """What `compile` was told, and the steps in plain text: override `train_step`, `compute_loss` ... to train otherwise."""

    compiled = False
    stop_training = stop_evaluating = stop_predicting = False
    optimizer = None
    run_eagerly = False
    steps_per_execution = "auto"
    history = None
    _loss = _metrics_compiled = _loss_tracker = _guard = None

    # compile -----------------------------------------------------------------------------------------------------

    @errors.filtered
    def compile(self, optimizer="rmsprop", loss=None, loss_weights=None, metrics=None, weighted_metrics=None,
                run_eagerly=False, steps_per_execution="auto", jit_compile="auto", auto_scale_loss=True, debug_nans=False):
        """Say how to train.

        Args:
            optimizer: a name, config or Optimizer.
            loss: a name, function or Loss; a list or dict of them for several outputs.
            loss_weights: a factor for each output's loss.
            metrics: names, functions or Metrics to report; by output for several outputs.
            weighted_metrics: those that take sample weights into account.
            run_eagerly: run the steps without compiling, for debugging.
            steps_per_execution: how many steps are run in one call of the device, and between two batch events; "auto" is as
                many as fit a short slice of time where no callback listens to batches, and 1 where one does.
            jit_compile: "auto" or True compiles the steps; False runs them like run_eagerly.
            auto_scale_loss: under mixed_float16, wrap the optimizer into a LossScaleOptimizer.
            debug_nans: wait for every step, and where its loss or a new weight is NaN or infinite, take back the step and
                raise FloatingPointError with the first layer, the step and the sample.

        Raises ValueError for unknown names, with the nearest known ones.
        """
        check.one_of("jit_compile", jit_compile, ("auto", True, False))
        loss_fn = None if loss is None else CompiledLoss(loss, loss_weights)
        compiled_metrics = CompiledMetrics(metrics, weighted_metrics, loss)
        optimizer = optimizers.get(optimizer)
        if auto_scale_loss and self.dtype_policy.name == "mixed_float16" and not isinstance(
                optimizer, optimizers.LossScaleOptimizer):
            optimizer = optimizers.LossScaleOptimizer(optimizer, name="loss_scale_optimizer")
        self.optimizer, self.loss_weights = optimizer, loss_weights
        if loss is not None or not self._keeps_own_loss():
            self.loss = loss
        self.steps_per_execution = steps_per_execution if steps_per_execution == "auto" else check.positive(
            "steps_per_execution", steps_per_execution)
        self.run_eagerly, self.jit_compile, self.auto_scale_loss = bool(run_eagerly), jit_compile, auto_scale_loss
        object.__setattr__(self, "_loss", loss_fn)
        object.__setattr__(self, "_metrics_compiled", compiled_metrics)
        object.__setattr__(self, "_loss_tracker", metrics_module.Mean(name="loss"))
        self._compile_told = {"optimizer": optimizer, "loss": loss, "loss_weights": loss_weights, "metrics": metrics,
                              "weighted_metrics": weighted_metrics, "run_eagerly": run_eagerly,
                              "steps_per_execution": steps_per_execution, "jit_compile": jit_compile}
        object.__setattr__(self, "_guard", "all" if debug_nans else None)
        object.__setattr__(self, "_steps", {})
        self.stop_training = False
        self.__dict__["_bound_untried"] = False
        self.compiled = True
        freezing.note(self)

    def _keeps_own_loss(self) -> bool:
        """Whether the model's constructor set `self.loss` for steps of its own."""
        return "loss" in self.__dict__ and not self.compiled

    def get_compile_config(self) -> dict | None:
        """What `compile` was told, for the file: "auto" steps per execution, which Keras does not know, are left out."""
        if not self.compiled:
            return None
        return {k: registry.serialize(v) for k, v in self._compile_told.items() if (k, v) != ("steps_per_execution", "auto")}

    def compile_from_config(self, config: dict) -> None:
        """Compile as a file says; one step per execution, as Keras writes by default, means "auto"."""
        if not registry.is_builtin(type(self).compile):
            frames.warn(f"Model {self.name!r} is not compiled: its class {type(self).__name__} has a `compile` of its own, "
                        "whose arguments a file does not hold. Call it after loading, or define compile_from_config "
                        "(and get_compile_config).")
            return
        config = {k: v for k, v in config.items() if (k, v) != ("steps_per_execution", 1)}
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

    def train_step(self, state=None, data=None):
        """Forward, backward, update and metrics of one batch; returns the logs. Override it to train otherwise.

        `train_step(data)` changes the model's variables. `train_step(state, data)` is Keras-on-JAX's form: the state is
        the values of (trainable, non-trainable, optimizer's, metrics') variables, and `(logs, new_state)` is returned.
        """
        if state is not None and data is not None:
            return self._pure_step("train", state, data)
        x, y, sample_weight = unpack_x_y_sample_weight(state if data is None else data)
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

    def test_step(self, state=None, data=None):
        """Forward pass, loss and metrics of one batch; returns the logs.

        `test_step(state, data)` takes the values of (trainable, non-trainable, metrics') variables and returns
        `(logs, new_state)`, as Keras does on JAX.
        """
        if state is not None and data is not None:
            return self._pure_step("test", state, data)
        x, y, sample_weight = unpack_x_y_sample_weight(state if data is None else data)
        y_pred = self(x, training=False)
        loss = self._compute_loss(x, y, y_pred, sample_weight, False)
        self._loss_tracker.update_state(loss, sample_weight=_samples(x))
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def predict_step(self, state=None, data=None):
        """The outputs for one batch.

        `predict_step(state, data)` takes the values of (trainable, non-trainable) variables and returns the outputs and
        the new non-trainable values, as Keras does on JAX.
        """
        if state is not None and data is not None:
            outputs, new = self._pure_step("predict", state, data)
            return outputs, new[1]
        return self(unpack_x_y_sample_weight(state if data is None else data)[0], training=False)

    def state_variables(self, kind: str) -> list:
        """The groups of variables whose values are the state of a step: "train", "test" or "predict"."""
        groups = [self.trainable_variables, self.non_trainable_variables]
        if kind == "train":
            groups.append(list(self.optimizer.variables))
        if kind != "predict":
            groups.append(self.metrics_variables)
        return groups

    def _pure_step(self, kind: str, state, data) -> tuple:
        """A built-in step on given values: its result, and the new values in the groups of the state."""
        groups = self.state_variables(kind)
        if [len(values) for values in state] != [len(group) for group in groups]:
            raise ValueError(f"{kind}_step: the state has {[len(values) for values in state]} values; the model's groups of "
                             f"variables have {[len(group) for group in groups]}. Build the model and its optimizer first.")
        step = getattr(Compiling, f"{kind}_step")
        result, new = functional(lambda: step(self, data), sum(groups, []))([v for values in state for v in values])
        left = iter(new)
        return result, tuple([next(left) for _ in group] for group in groups)

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
            only = None if self._loss is None else self._loss.only_output()
            self._metrics_compiled.update_state(y, y_pred, sample_weight, self._output_names(), only)
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
