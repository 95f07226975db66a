"""Any optax transformation as an optimizer."""

import sys
from typing import Any, Callable, Sequence

import jax
import jax.numpy as jnp

from cornu import check, frames, registry
from cornu.optimizers.optimizer import Optimizer
from cornu.optimizers.slices import dense


class OptaxOptimizer(Optimizer):
    """An optax GradientTransformation whose state is kept in Variables; made by `from_optax`."""

    def __init__(self, transformation, arguments: dict | None = None, learning_rate=1.0, **options):
        self.transformation, self.arguments = transformation, dict(arguments or {})
        made = transformation
        if not hasattr(made, "init") and callable(made):
            made = made(**self.arguments)
        elif arguments:
            raise ValueError("from_optax: arguments need a function to be passed to, as in from_optax(optax.adam, "
                             "learning_rate=0.1); a ready transformation has them already.")
        if not hasattr(made, "init") or not hasattr(made, "update"):
            raise ValueError("from_optax: pass an optax GradientTransformation, or a function that makes one. "
                             f"Received: {transformation!r}")
        self._made = made
        super().__init__(learning_rate, **options)

    def _make_state(self, variables):
        super()._make_state(variables)
        with jax.core.eval_context():
            state = self._made.init([v.raw for v in variables])
        leaves, self._structure = jax.tree.flatten(state)
        self._state = [self._state_variable(x, i) for i, x in enumerate(map(jnp.asarray, leaves))]

    def adopt(self, variables: Sequence) -> None:
        """Nothing: optax's state is one tree, made for the variables that the optimizer was built with."""

    def _state_variable(self, value, i):
        copy = jnp.array(value, copy=True)
        return self.add_variable(value.shape, lambda *_, **__: copy, value.dtype.name, name=f"state_{i}")

    def _update_all(self, grads, variables) -> None:
        """One update of the whole tree; variables without a gradient count as having gradient 0 and stay."""
        known = {v: g for g, v in zip(self._clip([dense(g) for g in grads]), variables)}
        grads = [known[v].astype(v.raw.dtype) if v in known else jnp.zeros_like(v.raw)
                 for v in self._trainable_variables]
        learning_rate = jnp.asarray(getattr(self.learning_rate, "raw", self.learning_rate), jnp.float32)
        values = [v.raw for v in self._trainable_variables]
        state = self._structure.unflatten([s.raw for s in self._state])
        updates, state = self._made.update(grads, state, values)
        for variable, value, update in zip(self._trainable_variables, values, updates):
            if variable in known:
                decay = self._decay_of(variable)
                kept = value if decay is None else value * (1 - decay * learning_rate)
                variable.assign(kept + learning_rate * update)
        for slot, value in zip(self._state, jax.tree.leaves(state), strict=True):
            slot.assign(value)

    def _config_value(self, name: str) -> Any:
        if name != "transformation":
            return super()._config_value(name)
        known = self.transformation
        module = getattr(known, "__module__", None) or ""
        if isinstance(known, type) or not hasattr(known, "__name__"):
            return self.name  # a ready transformation is code: only its name can be written
        return f"optax.{known.__name__}" if module.partition(".")[0] == "optax" else known

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> "OptaxOptimizer":
        config, known = dict(config), config["transformation"]
        if isinstance(known, dict):
            config["transformation"] = registry.deserialize(known, custom_objects)
        elif known.startswith("optax."):
            config["transformation"] = _named(known.partition(".")[2])
        else:
            config["transformation"] = registry.get_registered_object(known, custom_objects)
            if config["transformation"] is None:
                raise ValueError(
                    f"Optimizer {known!r} was made from a ready optax transformation, which cannot be written to a "
                    f"file.\nPass it as custom_objects={{{known!r}: transformation}}, or load with compile=False and "
                    "compile again. from_optax(optax.adam, learning_rate=0.1) can be written.")
        return super().from_config(config, custom_objects)


@frames.filtered
def from_optax(transformation: Callable, *, name: str | None = None, scale: Any = 1.0, options: dict | None = None,
               **arguments) -> OptaxOptimizer:
    """Use an optax gradient transformation as an optimizer; its state is trained, saved and restored like the rest.

    Args:
        transformation: a GradientTransformation such as `optax.chain(...)`, or better a function that makes one, such
            as `optax.adam`: then the optimizer can be written into a file and read back.
        name: the optimizer's name.
        scale: what the updates are multiplied by: a number or a schedule. It is the optimizer's `learning_rate`, so
            that callbacks that change it work; the rate inside of the transformation is its own.
        options: the other arguments of `Optimizer`, such as `{"use_ema": True}`.
        **arguments: passed to the function that makes the transformation.

    Raises ValueError for anything that is not a transformation; ImportError without optax.

    >>> import optax
    >>> from cornu import Variable
    >>> w = Variable([1.0])
    >>> from_optax(optax.sgd, learning_rate=0.5).apply([jnp.ones(1)], [w])
    >>> w.numpy()
    array([0.5], dtype=float32)
    """
    _optax()
    return OptaxOptimizer(transformation, arguments, scale, name=name, **(options or {}))


# What a file may name: optax's optimizers, functions of numbers that give a transformation.
_OPTIMIZERS = frozenset((
    "adabelief adadelta adafactor adagrad adam adamax adamaxw adamw adan amsgrad fromage lamb lars lion nadam nadamw "
    "noisy_sgd novograd optimistic_adam optimistic_gradient_descent radam rmsprop rprop sgd sign_sgd sm3 yogi").split())


def _named(name: str) -> Callable:
    """The optimizer of optax that a config names; ValueError for what is none, or where the program does not use optax."""
    if name not in _OPTIMIZERS:
        raise check.unknown("optimizer of optax", name, _OPTIMIZERS)
    if "optax" not in sys.modules:
        raise ValueError(f"The config names optax.{name}, and no file makes a program import a package. `import optax` "
                         "before, or load with compile=False and compile again.")
    return getattr(_optax(), name)


def _optax():
    try:
        import optax
    except ImportError:
        raise check.missing_package("optax", "optax", "from_optax") from None
    return optax
