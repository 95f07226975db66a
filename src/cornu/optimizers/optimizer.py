"""The base of optimizers: slots as Variables, and one pure rule.

Long because the base holds all that optimizers share: a rate, clipping, decay, averages, accumulation, files.
"""
# long because: the one base that all optimizers share

import functools
import inspect
import re
from typing import Any, Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from cornu import check, context, frames, names, registry
from cornu.lowering import in_turn, one_kernel
from cornu.optimizers.common import check_numbers, check_rate, mean, norm, old_arguments, scaled, when
from cornu.optimizers.schedules import LearningRateSchedule
from cornu.optimizers.slices import IndexedSlices, as_gradient, dense, is_sparse, values_of, with_values
from cornu.registry import Configurable
from cornu.trials import whole_or_not
from cornu.variable import Variable, filled, functional


def _wholly(build):
    """A class's `build` that makes all of the state or, where it fails, none."""

    @functools.wraps(build)
    def wrapper(self, *args, **kwargs):
        if self.built:
            return build(self, *args, **kwargs)
        with whole_or_not(self):
            return build(self, *args, **kwargs)

    return wrapper


class Optimizer(Configurable):
    """Base of optimizers. A subclass names its slots and defines one pure rule.

    `slots` names the arrays that the optimizer keeps for each variable (zeros at first; `slot_value` may say
    otherwise). `update(gradient, slots, learning_rate, step)` gets them in a dict, with the variable's own value under
    `"value"`, and returns what to subtract from the value and the dict of new slots; `step` counts updates from 1.
    A rule that computes the new value itself returns None as the first result and the new value under `"value"`.
    `prepare(learning_rate, step)` may compute once per step what all variables share: what it returns takes the
    place of both arguments. Keras's way of writing an optimizer (`build`, `update_step`, `self.assign`,
    `add_variable_from_reference`) works as well.

    Args:
        learning_rate: a number, a LearningRateSchedule, or a function without arguments.
        weight_decay: None, or the part of a weight that is taken off at every step, times the learning rate.
        clipnorm: None, or the largest norm that each single gradient may have.
        clipvalue: None, or the largest magnitude of a gradient's entries.
        global_clipnorm: None, or the largest norm of all gradients together.
        use_ema: whether to keep moving averages of the weights.
        ema_momentum: average = ema_momentum * average + (1 - ema_momentum) * weight.
        ema_overwrite_frequency: None (only when training ends), or after how many steps the weights are set to their
            averages.
        loss_scale_factor: None, or the factor by which `scale_loss` multiplies and gradients are divided.
        gradient_accumulation_steps: None, or over how many calls gradients are averaged before one update.
        name: the optimizer's name, which starts its variables' paths.
        **kwargs: only `lr`, the old name of `learning_rate`.

    Raises ValueError for arguments outside their range and for unknown ones.

    >>> class SignedMomentum(Optimizer):
    ...     slots = ("momentum",)
    ...     def update(self, gradient, slots, learning_rate, step):
    ...         momentum = 0.9 * slots["momentum"] + gradient
    ...         return learning_rate * jnp.sign(momentum), {"momentum": momentum}
    >>> w = Variable([1.0, 2.0])
    >>> SignedMomentum(learning_rate=0.5).apply([jnp.array([3.0, -3.0])], [w])
    >>> w.numpy()
    array([0.5, 2.5], dtype=float32)
    """

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "build" in cls.__dict__:
            cls.build = _wholly(cls.build)

    averages_may_stand = False  # whether betas of 1 make sense
    leaves_rows_alone = False  # whether a row without gradient, and its slots, stay what they are: see IndexedSlices
    slots: tuple = ()  # names; a nested tuple is a group: the groups come one after the other in `variables`

    def __init__(self, learning_rate, weight_decay: float | None = None, clipnorm: float | None = None,
                 clipvalue: float | None = None, global_clipnorm: float | None = None, use_ema: bool = False,
                 ema_momentum: float = 0.99, ema_overwrite_frequency: int | None = None,
                 loss_scale_factor: float | None = None, gradient_accumulation_steps: int | None = None,
                 name: str | None = None, **kwargs):
        owner = type(self).__name__
        learning_rate = old_arguments(owner, kwargs, learning_rate)
        if sum(x is not None for x in (clipnorm, clipvalue, global_clipnorm)) > 1:
            raise ValueError(f"{owner}: only one of clipnorm, clipvalue and global_clipnorm can be set. Received: "
                             f"clipnorm={clipnorm}, clipvalue={clipvalue}, global_clipnorm={global_clipnorm}")
        if ema_overwrite_frequency is not None:
            check.positive("ema_overwrite_frequency", ema_overwrite_frequency, owner)
        if gradient_accumulation_steps is not None:
            if check.positive("gradient_accumulation_steps", gradient_accumulation_steps, owner) < 2:
                raise ValueError(f"{owner}: gradient_accumulation_steps must be an integer >= 2, or None. Received: 1")
        if name is not None and (not isinstance(name, str) or "/" in name):
            raise ValueError(f"{owner}: a name is a string without '/'. Received: name={name!r}")
        self.name = names.auto_name(owner) if name is None else name
        self.weight_decay, self.clipnorm = weight_decay, clipnorm
        self.clipvalue, self.global_clipnorm = clipvalue, global_clipnorm
        self.use_ema, self.ema_overwrite_frequency = use_ema, ema_overwrite_frequency
        self.ema_momentum = check.between("ema_momentum", ema_momentum, 0, 1, owner)
        self.loss_scale_factor, self.gradient_accumulation_steps = loss_scale_factor, gradient_accumulation_steps
        self.built, self._variables, self._trainable_variables = False, [], []
        self._slots: list = []  # by variable: a dict of slot name -> Variable
        self._averages, self._accumulators = [], []  # by variable
        self._index: dict = {}  # variable -> its place (a dict finds it by identity, and survives a copy)
        self._not_decayed, self._not_decayed_names = set(), []
        self._iterations = self.add_variable((), dtype="int32", aggregation="only_first_replica", name="iteration")
        self._learning_rate: Any = None
        self.learning_rate = learning_rate
        check_numbers(self)

    # the rule --------------------------------------------------------------------------------------------------

    def update(self, gradient, slots: dict, learning_rate, step) -> tuple:
        """The pure rule: returns what to subtract from the variable, and the new slots."""
        raise NotImplementedError(f"Optimizer {type(self).__name__} must define `update(self, gradient, slots, "
                                  "learning_rate, step)`, or `update_step(self, gradient, variable, learning_rate)`.")

    def prepare(self, learning_rate, step) -> tuple:
        """What all variables share in one step: the results are passed to `update` in place of the arguments."""
        return learning_rate, step

    def slot_value(self, name: str, value):
        """The first value of a slot, for a variable whose value is given."""
        return filled(value.shape, 0, value.dtype, like=value)

    def has_slot(self, name: str, variable: Variable) -> bool:
        """Whether the slot is kept for this variable."""
        return True

    # variables -------------------------------------------------------------------------------------------------

    @property
    def variables(self) -> list:
        """All state, in Keras's order: the step count, the learning rate, averages, accumulators, slots."""
        return list(self._variables)

    @property
    def iterations(self):
        """The number of updates so far (a Variable; with gradient accumulation an array)."""
        if self.gradient_accumulation_steps:
            return self._iterations.raw // self.gradient_accumulation_steps
        return self._iterations

    @property
    def has_schedule(self) -> bool:
        """Whether the learning rate follows a schedule or a function, and so cannot be set."""
        return not isinstance(self._learning_rate, Variable)

    @property
    def learning_rate(self):
        """The learning rate as a Variable, or its present value where it follows a schedule or a function."""
        if isinstance(self._learning_rate, LearningRateSchedule):
            return self._learning_rate(self._iterations.raw)
        return self._learning_rate() if self.has_schedule else self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        old, owner = self._learning_rate, type(self).__name__
        value = value.raw if isinstance(value, Variable) else value
        if callable(value) and not isinstance(value, type):
            self._variables = [v for v in self._variables if v is not old]
            self._learning_rate = value
            return
        check_rate(owner, value)
        if isinstance(old, Variable):
            old.assign(value)
        elif old is not None:
            raise TypeError(f"{owner} was given {type(old).__name__} as learning_rate, which decides the rate at every "
                            f"step, so it cannot be set to {value!r}.\nPass a number to the optimizer to set it later, "
                            "or assign another schedule.")
        else:
            self._learning_rate = self.add_variable((), lambda *_, **__: np.float32(value), "float32",
                                                    "only_first_replica", name="learning_rate")

    def add_variable(self, shape, initializer="zeros", dtype=None, aggregation: str = "none", layout=None,
                     name: str | None = None) -> Variable:
        """A new variable of the optimizer's own state."""
        with context.name_scope(self.name):
            variable = Variable(initializer, shape, dtype, trainable=False, aggregation=aggregation, layout=layout,
                                name=name)
        self._variables.append(variable)
        return variable

    def add_variable_from_reference(self, reference_variable: Variable, name: str | None = None,
                                    initializer="zeros") -> Variable:
        """A new state variable with the shape, dtype and layout of a model's variable."""
        shown = reference_variable.path.replace("/", "_") + f"_{name or 'slot'}"
        return self.add_variable(reference_variable.shape, initializer, reference_variable.dtype,
                                 layout=reference_variable.layout, name=shown)

    def add_optimizer_variables(self, trainable_variables: Sequence, name, initializer="zeros"):
        """For each variable one state variable; given lists of names and initializers, a tuple of such lists.

        A variable that is overwritten with its gradient needs none: None stands in its place.
        """
        if isinstance(name, str):
            return self.add_optimizer_variables(trainable_variables, [name], [initializer])[0]
        initializers = [initializer] * len(name) if isinstance(initializer, str) or callable(initializer) \
            else list(initializer)
        lists = tuple([] for _ in name)
        for variable in trainable_variables:
            for found, one, init in zip(lists, name, initializers, strict=True):
                found.append(None if variable.overwrite_with_gradient else
                             self.add_variable_from_reference(variable, one, init))
        return lists

    def build(self, variables: Sequence | None = None, var_list: Sequence | None = None) -> None:
        """Make the state for the given trainable variables; a second call does nothing.

        Args:
            variables: the variables that will be trained.
            var_list: another name of `variables`, which Keras's optimizers have.

        Raises TypeError unless one of both is given.
        """
        if (variables is None) == (var_list is None):
            raise TypeError(f"{type(self).__name__}.build needs the variables to train, under one name: `variables` or "
                            "`var_list`.")
        if not self.built:
            self._make_state(list(variables if var_list is None else var_list))
            self.built = True

    def _make_state(self, variables: list) -> None:
        """Averages, accumulators and slots for the variables; a subclass may add to them."""
        self._trainable_variables = variables
        self._index = {v: i for i, v in enumerate(self._trainable_variables)}
        self._averages = self.add_optimizer_variables(variables, "average") if self.use_ema else []
        if self.gradient_accumulation_steps:
            self._accumulators = [self.add_variable_from_reference(v, "gradient_accumulator") for v in variables]
        self._slots = [{} for _ in self._trainable_variables]
        for group in self.slots if self.slots and isinstance(self.slots[0], tuple) else (self.slots,):
            for variable, slots in zip(self._trainable_variables, self._slots):
                for name in group:
                    if not variable.overwrite_with_gradient and self.has_slot(name, variable):
                        slots[name] = self._add_slot(variable, name)

    build = _wholly(build)

    def adopt(self, variables: Sequence) -> None:
        """Make the state of variables that train from now on, such as those of a layer that was thawed.

        The state that there is stays. Its order becomes that of an optimizer which is built with all of them.
        """
        if not self.built or all(v in self._index for v in variables):
            return
        before, given = self._variables, set(variables)
        with whole_or_not(self):
            self.built, self._variables = False, list(before)
            self.build([*variables, *(v for v in self._trainable_variables if v not in given)])
            made, known = self._variables[len(before):], {}
            for variable in before:
                known.setdefault((variable.path, variable.shape), []).append(variable)
            for variable in made:
                if known.get((variable.path, variable.shape)):
                    variable.assign(known[variable.path, variable.shape].pop(0))
            again = {variable.path for variable in made}
            self._variables = [v for v in before if v.path not in again] + made

    def _add_slot(self, variable, name) -> Variable:
        with jax.core.eval_context():  # the stored array: the optimizer may be built inside a trace
            value = self.slot_value(name, variable._value)
        layout = variable.layout if value.shape == variable.shape else None
        return self.add_variable(value.shape, lambda *_, **__: value, value.dtype.name, layout=layout,
                                 name=f"{variable.path.replace('/', '_')}_{name}")

    def _get_variable_index(self, variable) -> int:
        return self._index[variable]

    def assign(self, variable, value) -> None:
        """Set a variable's value."""
        variable.assign(dense(value) if is_sparse(value) else value)

    def assign_add(self, variable, value) -> None:
        """Add to a variable's value."""
        if is_sparse(value):
            variable.assign(variable.raw + as_gradient(value))
        else:
            variable.assign_add(value)

    def assign_sub(self, variable, value) -> None:
        """Subtract from a variable's value."""
        if is_sparse(value):
            variable.assign(variable.raw - as_gradient(value))
        else:
            variable.assign_sub(value)

    # applying gradients ----------------------------------------------------------------------------------------

    @frames.filtered
    def apply_gradients(self, grads_and_vars) -> Variable:
        """Update variables from pairs of gradient and variable; returns the step count."""
        grads, variables = zip(*grads_and_vars)
        self.apply(list(grads), list(variables))
        return self._iterations

    @frames.filtered
    def apply(self, grads: Sequence, trainable_variables: Sequence | None = None) -> None:
        """Update variables from their gradients.

        Args:
            grads: one array (or IndexedSlices) for each variable; None where there is no gradient (the variable is left alone, with a
                warning).
            trainable_variables: the variables; by default those that the optimizer was built with.

        Raises ValueError when numbers or shapes differ, when every gradient is None, or for a variable that the
        optimizer was not built with.
        """
        grads = list(grads)
        if not grads:
            return
        pairs = self._pairs(grads, trainable_variables)
        for gradient, variable in pairs:
            if variable.overwrite_with_gradient:
                variable.assign(dense(gradient))
        pairs = [(g, v) for g, v in pairs if not v.overwrite_with_gradient]
        if pairs:
            grads, variables = map(list, zip(*pairs))
            if self.loss_scale_factor is not None:
                grads = [g / self.loss_scale_factor for g in grads]
            self._backend_apply_gradients(grads, variables)
            for variable in variables:
                if variable.constraint is not None:
                    variable.assign(variable.constraint(variable.raw))
        self._iterations.assign_add(1)

    def _backend_apply_gradients(self, grads: list, trainable_variables: list) -> None:
        """Accumulate or update, and move the averages: what subclasses for Keras override to change the gradients."""
        if self.gradient_accumulation_steps:
            self._accumulate(grads, trainable_variables)
        else:
            self._update_all(grads, trainable_variables)
            self._update_averages()

    def stateless_apply(self, optimizer_variables: Sequence, grads: Sequence, trainable_variables: Sequence) -> tuple:
        """Pure form of `apply`: takes and returns values, `(new_trainable_variables, new_optimizer_variables)`."""
        if not self.built:
            raise ValueError(f"{type(self).__name__} must be built before stateless_apply: call "
                             "optimizer.build(trainable_variables) first.")
        own, theirs = self.variables, self._trainable_variables
        for what, given, known in (("optimizer_variables", optimizer_variables, own),
                                   ("trainable_variables", trainable_variables, theirs)):
            if len(given) != len(known):
                raise ValueError(f"{type(self).__name__}.stateless_apply: argument `{what}` must have {len(known)} "
                                 f"values, as the optimizer has. Received: {len(given)}")
        values = [getattr(v, "raw", v) for v in (*trainable_variables, *optimizer_variables)]
        _, new = functional(lambda g: self.apply(g, theirs), [*theirs, *own])(values, grads)
        return new[:len(theirs)], new[len(theirs):]

    def scale_loss(self, loss):
        """The loss times `loss_scale_factor`; `apply` divides the gradients by it again."""
        return loss if self.loss_scale_factor is None else loss * self.loss_scale_factor

    def _pairs(self, grads, variables) -> list:
        """Gradients with their variables, checked."""
        owner = type(self).__name__
        if variables is None:
            if not self.built:
                raise ValueError(f"{owner}.apply: without `trainable_variables` the optimizer must be built. Call "
                                 "optimizer.build(trainable_variables) first.")
            variables = self._trainable_variables
        variables = list(variables)
        if len(variables) != len(grads):
            raise ValueError(f"{owner}.apply: {len(grads)} gradients were given for {len(variables)} variables.")
        if not self.built:
            self.build(variables)
        found = []
        for gradient, variable in zip(grads, variables):
            if not isinstance(variable, Variable) or variable not in self._index:
                raise ValueError(f"{owner} does not know variable {getattr(variable, 'path', variable)!r}: it was "
                                 "built with others. Make a new optimizer for a new set of variables.")
            if gradient is not None:
                if tuple(gradient.shape) != variable.shape:
                    raise ValueError(f"{owner}: the gradient of variable {variable.path!r} has shape "
                                     f"{tuple(gradient.shape)}, but the variable has shape {variable.shape}.")
                gradient = as_gradient(gradient)
                found.append((gradient.summed() if isinstance(gradient, IndexedSlices) else gradient, variable))
        if not found:
            raise ValueError(f"{owner}: there is no gradient for any variable. Does the loss depend on them?")
        if len(found) < len(grads):
            without = [v.path for g, v in zip(grads, variables) if g is None]
            frames.warn(f"There is no gradient for {len(without)} variables ({', '.join(without[:8])}); they stay "
                        "as they are. Does the loss depend on them?")
        return found

    def _update_all(self, grads, variables) -> None:
        """Clip, decay and update."""
        grads = [with_values(g, v) for g, v in zip(grads, self._clip([values_of(g) for g in grads]))]
        learning_rate = jnp.asarray(getattr(self.learning_rate, "raw", self.learning_rate), jnp.float32)
        parts = {}  # of the weights that decay takes off, by weight decay
        own_step, rate = not getattr(type(self).update_step, "by_rule", False), learning_rate
        if not own_step:
            rate, step = self.prepare(learning_rate, self._step())
        rule, rates = self._rule, [rate] * len(grads)
        if not own_step and any(isinstance(values_of(g), jax.core.Tracer) for g in grads):
            # While JAX traces, one trace of the rule serves all variables of a shape; a new function every time, since
            # the cache must not outlive the optimizer's present settings.
            rule, rates = jax.jit(one_kernel(self._rule)), in_turn(rate, [values_of(g) for g in grads])
        for gradient, variable, rate in zip(grads, variables, rates):
            decay = self._decay_of(variable)
            if decay is not None and decay not in parts:
                parts[decay] = decay * learning_rate
            part = parts.get(decay)
            if own_step:
                if part is not None:
                    variable.assign(variable.raw * (1 - part).astype(variable.raw.dtype))
                self.update_step(gradient.bcoo() if isinstance(gradient, IndexedSlices) else gradient, variable, rate)
            else:
                self._update_one(rule, gradient, variable, part, rate, step)

    def _step(self):
        """The number of this update, from 1, as float32."""
        return (getattr(self.iterations, "raw", self.iterations) + 1).astype(jnp.float32)

    def update_step(self, gradient, variable: Variable, learning_rate) -> None:
        """Update one variable and its slots; Keras's place for a rule that assigns."""
        learning_rate = jnp.asarray(getattr(learning_rate, "raw", learning_rate), jnp.float32)
        self._update_one(self._rule, as_gradient(gradient), variable, None, *self.prepare(learning_rate, self._step()))

    update_step.by_rule = True  # one that lacks this is a subclass's own: it is called for each variable

    def _update_one(self, rule, gradient, variable, decay, learning_rate, step) -> None:
        slots = self._slots[self._index[variable]]
        old = {name: slot.raw for name, slot in slots.items()}
        if isinstance(gradient, IndexedSlices):
            if self.leaves_rows_alone and decay is None:
                rule = _of_rows(rule, gradient)
            gradient = gradient.values if self.leaves_rows_alone and decay is None else gradient.todense()
        value, new = rule(variable.raw, gradient, old, decay, learning_rate, step)
        variable.assign(value)
        for name, slot in slots.items():
            if name in new:
                slot.assign(new[name])

    def _rule(self, value, gradient, slots, decay, learning_rate, step) -> tuple:
        """The rule with weight decay, in float32 at least: 16 bits would lose small updates and squares."""
        dtype = jnp.promote_types(value.dtype, jnp.float32)
        value, gradient = value.astype(dtype), gradient.astype(dtype)
        slots = {name: x.astype(dtype) if x.dtype.itemsize < 4 else x for name, x in slots.items()}
        if decay is not None:
            value = value - value * decay
        delta, new = self.update(gradient, {"value": value, **slots}, learning_rate, step)
        return new["value"] if delta is None else value - delta, new

    def _clip(self, grads) -> list:
        if self.clipvalue is not None:
            return [jnp.clip(g, -self.clipvalue, self.clipvalue) for g in grads]
        if self.clipnorm is not None:
            return [scaled(g, self.clipnorm / jnp.maximum(norm([g]), self.clipnorm)) for g in grads]
        if self.global_clipnorm is not None:
            factor = self.global_clipnorm / jnp.maximum(norm(grads), self.global_clipnorm)
            return [scaled(g, factor) for g in grads]
        return grads

    def _accumulate(self, grads, variables) -> None:
        """Add to the accumulators; at every n-th call update from their mean and clear them."""
        steps, own = self.gradient_accumulation_steps, [self._accumulators[self._index[v]] for v in variables]
        sums = [a.raw + g.astype(a.raw.dtype) for a, g in zip(own, grads)]
        for accumulator, total in zip(own, sums):
            accumulator.assign(total)

        def update():
            self._update_all([a.raw / steps for a in own], variables)
            self._update_averages()
            for accumulator in own:
                accumulator.assign(jnp.zeros_like(accumulator.raw))

        changed = self._trainable_variables if self.use_ema else variables
        when((self._iterations.raw + 1) % steps == 0, update, [*changed, *self._variables])

    # averages and decay ----------------------------------------------------------------------------------------

    def _update_averages(self) -> None:
        """Move the averages, if any, and set the weights to them every `ema_overwrite_frequency` steps."""
        if not self.use_ema:
            return
        iterations = getattr(self.iterations, "raw", self.iterations)
        momentum = jnp.where(iterations == 0, 0.0, self.ema_momentum)  # the first average is the weight
        frequency = self.ema_overwrite_frequency
        overwrite = frequency and (iterations + 1) % frequency == 0
        for variable, average in zip(self._trainable_variables, self._averages):
            if average is None or not variable.trainable:
                continue
            value = variable.raw
            average.assign(mean(average.raw, value, momentum))
            if frequency:
                variable.assign(jnp.where(overwrite, average.raw, value))

    def finalize_variable_values(self, var_list: Sequence) -> None:
        """Set the variables to their moving averages, at the end of training (with `use_ema`)."""
        if self.use_ema:
            for variable in var_list:
                average = self._averages[self._get_variable_index(variable)]
                if average is not None:
                    variable.assign(average.raw)

    def exclude_from_weight_decay(self, var_list: Sequence | None = None, var_names: Sequence | None = None) -> None:
        """Leave variables out of weight decay; to be called before training begins.

        Args:
            var_list: the variables.
            var_names: regular expressions searched in variables' names.
        """
        self._not_decayed |= set(var_list or ())
        self._not_decayed_names += [re.compile(name) for name in var_names or ()]

    def _decay_of(self, variable) -> float | None:
        """The weight decay of a variable."""
        excluded = variable in self._not_decayed or any(p.search(variable.name) for p in self._not_decayed_names)
        return None if excluded else self.weight_decay

    # files and configs -----------------------------------------------------------------------------------------

    def save_own_variables(self, store) -> None:
        """Write the variables into a store (a dict or an HDF5 group), under their numbers."""
        for i, variable in enumerate(self.variables):
            store[str(i)] = variable

    @frames.filtered
    def load_own_variables(self, store) -> None:
        """Read what `save_own_variables` wrote; where the number of variables differs, warn and read nothing."""
        if len(store) != len(self.variables):
            frames.warn(f"The state of optimizer {self.name!r} was not loaded: it has {len(self.variables)} "
                        f"variables, but {len(store)} were saved.")
            return
        for i, variable in enumerate(self.variables):
            variable.assign(store[str(i)])

    @frames.filtered
    def set_weights(self, weights: Sequence) -> None:
        """Set all variables from arrays in the order of `variables`."""
        if len(weights) != len(self.variables):
            raise ValueError(f"{type(self).__name__}: {len(weights)} arrays were given for {len(self.variables)} "
                             "variables.")
        for variable, value in zip(self.variables, weights):
            variable.assign(value)

    def _config_value(self, name: str):
        if name != "learning_rate":
            return getattr(self, name)
        rate = self._learning_rate
        return float(rate.numpy()) if isinstance(rate, Variable) else rate

    def get_config(self) -> dict:  # the present learning rate, not the first
        """The constructor's arguments, with the present learning rate, as values that JSON can hold."""
        return {**super().get_config(), "learning_rate": registry.serialize(self._config_value("learning_rate"))}

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> "Optimizer":
        """An optimizer like the one whose config this is."""
        if isinstance(config.get("learning_rate"), dict):
            rate = registry.deserialize(config["learning_rate"], custom_objects, "optimizers.schedules",
                                        "learning rate schedule")
            config = {**config, "learning_rate": rate}
        return cls(**config)


def _of_rows(rule: Callable, slices: IndexedSlices) -> Callable:
    """The rule for some rows of a variable and its slots; the others stay what they are."""
    def updated(value, gradient, slots, *rest):
        rows, new = rule(slices.take(value), gradient, {k: slices.take(v) for k, v in slots.items()}, *rest)
        return slices.put(value, rows), {k: slices.put(slots[k], v) for k, v in new.items() if k in slots}

    return updated


def with_options(init: Callable) -> Callable:
    """Give a constructor that hands **options to `Optimizer` those options in its signature, by position too."""
    own = list(inspect.signature(init).parameters.values())[:-1]
    taken = {p.name for p in own}
    base = [p for p in inspect.signature(Optimizer.__init__).parameters.values() if p.name not in taken]
    parameters = own + base

    @functools.wraps(init)
    def __init__(self, *args, **kwargs):
        if len(args) >= len(parameters) - 1:
            raise TypeError(f"{type(self).__name__} takes at most {len(parameters) - 2} arguments by position.")
        init(self, **dict(zip([p.name for p in parameters[1:]], args)), **kwargs)

    __init__.__signature__ = inspect.Signature(parameters)
    return __init__
