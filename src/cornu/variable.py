"""Variables, and the one door from objects that change to pure functions.

`functional(fn, variables)` gives a pure function: while it runs, a scope lends each variable a value. Reads ask the
innermost scope first; writes go to the scope that lent the variable. When it ends, or fails, the scope is discarded:
the stored arrays are never touched, so no tracer leaks and no error can damage a model.

A long file, since scopes and variables know each other, and a variable is all that an array is.
"""
# long because: scopes, variables and the door to purity know each other's insides

import contextvars
import math
from typing import Any, Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
try:
    from jax._src.core import get_opaque_trace_state
except ImportError:  # the public way imports all of jax.extend with it, 30 ms
    from jax.extend.core import get_opaque_trace_state

from cornu import context, dtypes, errors, frames, names, tree

_scope: contextvars.ContextVar = contextvars.ContextVar("cornu_scope", default=None)


# Takes over variables that are made while a file is read (see awaiting.py).
awaiting: contextvars.ContextVar = contextvars.ContextVar("cornu_awaiting", default=None)
_MOST_NUMBERS = 1 << 23  # in tables and in the state of metrics, which no file holds


def room_for(owner: str, *sizes) -> None:
    """Called before so many numbers are made that no file holds: ValueError where a file asks for too many of them."""
    taken = awaiting.get()
    if taken is None:
        return
    taken.numbers += math.prod(map(int, sizes))
    if taken.numbers > _MOST_NUMBERS:
        raise ValueError(f"{owner} asks for {math.prod(map(int, sizes)):,} numbers, which would fill the memory: files may ask "
                         f"for {_MOST_NUMBERS:,} of them in all that they do not hold.")


# Counts what may change which variables a model has or trains: what is found by walking may be kept while it stands.
# "settings" counts other changes of layers that are built, such as another rate or activation.
structure = {"version": 0, "settings": 0}
assigned = [0]  # counts what is assigned to variables, by whomever but a compiled step


class NotLent(RuntimeError):
    """A variable was assigned in a scope that did not lend it."""

    def __init__(self, variable: "Variable"):
        self.variable = variable
        super().__init__(
            f"Variable {variable.path!r} was assigned inside a function that JAX traces, but it is not among the "
            "variables that the function was given.\nInside jax.jit, jax.grad and the like, list it in "
            "`functional(fn, variables)`, or keep it as an attribute of the model so that training finds it.")


class Scope:
    """Values on loan for the span of a `with` block.

    A write to a variable that this scope did not lend goes outwards, unless the scope `collects` such writes
    (`value_and_grad` hands them on afterwards; shape inference drops them).
    """

    __slots__ = ("values", "outer", "collects", "written", "added", "trace", "_token")

    def __init__(self, variables: Sequence = (), values: Sequence = (), collects: bool = False):
        self.values = {id(v): value for v, value in zip(variables, values, strict=True)}
        self.collects, self.written, self.added = collects, {}, []

    def __enter__(self) -> "Scope":
        self.outer = _scope.get()
        self.trace = get_opaque_trace_state(convention="nnx")
        self._token = _scope.set(self)
        return self

    def __exit__(self, *error) -> None:
        _scope.reset(self._token)

    def write(self, variable: "Variable", value) -> None:
        scope = self
        while scope is not None and id(variable) not in scope.values and not scope.collects:
            scope = scope.outer
        if scope is None:
            raise NotLent(variable)
        if scope.trace != get_opaque_trace_state(convention="nnx"):
            raise RuntimeError(
                f"Variable {variable.path!r} was assigned inside an inner JAX transformation (the body of a scan, "
                "while, cond, vmap or checkpoint), where the new value would be lost or leak.\nUse cornu's own "
                "`ops.scan`, `ops.while_loop`, `ops.cond` or `remat`, or pass the body through "
                "`functional(fn, variables)` and return the new values.")
        if id(variable) not in scope.values:
            scope.written[id(variable)] = variable
        scope.values[id(variable)] = value


class StatelessScope(Scope):
    """Within it, variables have the given values, and what is assigned stays in the scope.

    Args:
        state_mapping: pairs of variable and value.
        collect_losses: whether losses that layers add are collected in `losses`.
        initialize_variables: must be True: new variables always get their values at once.

    >>> v = Variable(1.0)
    >>> with StatelessScope([(v, jnp.array(2.0))]) as scope:
    ...     _ = v.assign(v + 1)
    >>> float(scope.get_current_value(v)), float(v)
    (3.0, 1.0)
    """

    __slots__ = ("collect_losses",)

    def __init__(self, state_mapping=None, collect_losses: bool = False, initialize_variables: bool = True):
        if not initialize_variables:
            raise ValueError("StatelessScope: variables are always initialized at once; pass initialize_variables=True.")
        pairs = [(variable, _as_value(variable, value)) for variable, value in state_mapping or ()]
        super().__init__([v for v, _ in pairs], [value for _, value in pairs], collects=True)
        self.collect_losses = bool(collect_losses)

    def add_loss(self, loss) -> None:
        """Collect a loss."""
        self.added.append((None, loss))

    @property
    def losses(self) -> list:
        """The losses that were added, if they are collected."""
        return [loss for _, loss in self.added] if self.collect_losses else []

    def add_update(self, update) -> None:
        """Give a variable a value: `(variable, value)`."""
        variable, value = update
        self.values[id(variable)] = _as_value(variable, value)

    def get_current_value(self, variable: "Variable"):
        """The value that a variable has in the scope; None where the scope has none for it."""
        return self.values.get(id(variable))


def _as_value(variable, value):
    if not isinstance(variable, Variable):
        raise ValueError(f"StatelessScope maps Variables to values. Received as a variable: {variable!r:.80}")
    value = jnp.asarray(getattr(value, "raw", value), variable._value.dtype)
    if value.shape != variable.shape:
        raise ValueError(f"Variable {variable.path!r} has shape {variable.shape}; the scope was given a value of shape "
                         f"{tuple(value.shape)} for it.")
    return value


class SymbolicScope(Scope):
    """Within it, assignments are dropped at its end, as where shapes are inferred."""

    __slots__ = ()

    def __init__(self):
        super().__init__(collects=True)


def in_scope() -> bool:
    """Whether values are on loan: inside `functional`, a training step, or shape inference."""
    return _scope.get() is not None


def scope_losses() -> list | None:
    """The losses that layers added in the innermost scope as (layer, value) pairs; None outside scopes."""
    scope = _scope.get()
    return None if scope is None else scope.added


def _read(output):
    """The output with every Variable replaced by its value, while the scope still lends it."""
    return jax.tree.map(lambda x: x.value if isinstance(x, Variable) else x, output,
                        is_leaf=lambda x: isinstance(x, Variable))


def functional(fn: Callable, variables: Sequence["Variable"]) -> Callable:
    """Make a pure function of one that reads and assigns variables.

    Args:
        fn: any function, method or layer.
        variables: those that it may assign, and those whose values shall come from outside. Others are read only.

    Returns:
        `pure(values, *args, **kwargs) -> (output, new_values)`, both value lists in the order of `variables`.

    >>> counter = Variable(jnp.zeros(()))
    >>> pure = functional(lambda step: counter.assign_add(step), [counter])
    >>> jax.jit(pure)([jnp.ones(())], 2.0)[1]
    [Array(3., dtype=float32)]
    """
    variables = list(variables)

    def pure(values, *args, **kwargs):
        values = [v.raw if isinstance(v, Variable) else v for v in values]
        with Scope(variables, values) as scope:
            output = _read(fn(*args, **kwargs))
            return output, [scope.values[id(v)] for v in variables]

    return pure


def value_and_grad(fn: Callable, variables: Sequence["Variable"]) -> tuple[Any, list]:
    """Run `fn()`, and differentiate its loss with respect to the variables.

    Args:
        fn: takes nothing; returns a scalar loss, or a tuple `(loss, anything...)`. It may assign variables.
        variables: those to differentiate by; their dtype must be floating.

    Returns:
        What `fn` returned, and the list of gradients.

    >>> w = Variable(jnp.array(3.0))
    >>> value_and_grad(lambda: w.value ** 2, [w])
    (Array(9., dtype=float32), [Array(6., dtype=float32)])
    """
    variables, written = list(variables), []

    def loss_fn(values):
        with Scope(variables, values, collects=True) as scope:
            output = _read(fn())
            loss = output[0] if isinstance(output, tuple) else output
            written[:] = [(v, scope.values[i]) for i, v in scope.written.items()]
            assigned = [v for v, start in zip(variables, values) if scope.values[id(v)] is not start]
            written.extend((v, scope.values[id(v)]) for v in assigned)
            new_values, written[:] = [value for _, value in written], [v for v, _ in written]
            return loss, (output, new_values)

    (_, (output, new_values)), gradients = jax.value_and_grad(loss_fn, has_aux=True)([v.raw for v in variables])
    for variable, value in zip(written, new_values):
        variable._write(value)  # as it was kept in there: a metric's sum with what rounding takes off
    return output, gradients


@tree.register_leaf
class Variable:
    """An array with a name, which may be assigned.

    Args:
        initializer: an array, or a function `(shape, dtype) -> array` (then `shape` is needed), or an initializer's
            name once `cornu.initializers` is loaded.
        shape: the shape, for a function.
        dtype: the dtype; by default that of the array, or floatx.
        trainable: whether optimizers change it.
        autocast: whether layers under a mixed precision policy read it in their compute dtype.
        aggregation: how replicas' values are joined: "none", "mean", "sum", "only_first_replica".
        synchronization: "auto", "none", "on_write" or "on_read"; JAX keeps replicas equal under every one of them.
        layout: the tensor layout for distribution over devices, or None.
        name: its name; made up if None.

    Raises ValueError for a shape that does not fit the initializer, or a name with a slash.

    >>> v = Variable([1.0, 2.0], name="v")
    >>> v.assign_add([1.0, 1.0])
    Array([2., 3.], dtype=float32)
    """

    resolve_initializer: Callable | None = None  # set by initializers.py, a higher floor
    of_seed = False  # whether it is the state of a SeedGenerator, which steps find wherever it is kept: see random.py

    @errors.filtered
    def __init__(self, initializer, shape=None, dtype=None, trainable: bool = True, autocast: bool = True,
                 aggregation: str = "none", synchronization: str = "auto", layout=None, name: str | None = None):
        self.name = names.auto_name(type(self).__name__) if name is None else name
        if not isinstance(self.name, str) or "/" in self.name:
            raise ValueError(f"A variable's name is a string without '/'. Received: name={name!r}")
        if aggregation not in (None, "none", "mean", "sum", "only_first_replica"):
            raise ValueError(f"Unknown aggregation {aggregation!r}: none, mean, sum or only_first_replica.")
        if synchronization not in (None, "none", "auto", "on_write", "on_read"):
            raise ValueError(f"Unknown synchronization {synchronization!r}: none, auto, on_write or on_read.")
        self.path = "/".join((*context.name_path(), self.name))
        self._trainable, self.autocast = bool(trainable), bool(autocast)
        self.made_trainable = self._trainable
        structure["version"] += 1
        self.aggregation, self.synchronization, self._layout = aggregation or "none", synchronization or "none", layout
        self._regularizer = self._constraint = None
        self._overwrite_with_gradient = False
        if isinstance(initializer, str) and Variable.resolve_initializer:
            initializer = Variable.resolve_initializer(initializer)
        with jax.core.eval_context():  # a layer may be built inside a trace: its weights are still arrays
            if callable(initializer):
                if shape is None:
                    raise ValueError(f"Variable {self.name!r}: an initializer function needs `shape`.")
                shape = standardize_shape(shape)
                awaited = awaiting.get()
                if awaited is not None and layout is None and type(self) is Variable:
                    return awaited.take(self, initializer, shape, dtypes.standardize(dtype))
                value = initializer(shape, dtype=dtypes.standardize(dtype))
            else:
                value = initializer.value if isinstance(initializer, Variable) else initializer
                if isinstance(value, np.ndarray):
                    value = dtypes.native(value)
                dtype = _default_dtype(value) if dtype is None else dtype
            another = value is initializer or isinstance(initializer, Variable)  # somebody else's array
            value = own_array(value, dtypes.standardize(dtype), copy=another)
            if shape is not None and tuple(value.shape) != standardize_shape(shape):
                raise ValueError(f"Variable {self.name!r}: the initial value has shape {tuple(value.shape)}, "
                                 f"not the stated {tuple(shape)}.")
        self._value = value if layout is None else _place(value, layout)

    # reading ---------------------------------------------------------------------------------------------------

    @property
    def raw(self):
        """The value in the variable's own dtype, whatever the compute dtype around."""
        scope, key = _scope.get(), id(self)
        while scope is not None:
            if key in scope.values:
                return scope.values[key]
            scope = scope.outer
        return self._value

    @property
    def value(self):
        """The array; inside a layer under mixed precision, in the layer's compute dtype."""
        value = self.raw
        call = context.current()
        if call is not None and call.compute_dtype is not None and self.autocast \
                and value.dtype != call.compute_dtype and jnp.issubdtype(value.dtype, jnp.floating):
            return value.astype(call.compute_dtype)
        return value

    def numpy(self) -> np.ndarray:
        """A copy as a NumPy array."""
        return np.array(self.raw)

    shape = property(lambda self: tuple(self._value.shape))
    ndim = property(lambda self: self._value.ndim)
    size = property(lambda self: self._value.size)
    layout = property(lambda self: self._layout)

    @layout.setter
    def layout(self, layout):
        self._layout, self._value = layout, _place(self._value, layout)

    @property
    def dtype(self) -> str:
        return self._dtype_here(self._value.dtype.name)

    def _dtype_here(self, own: str) -> str:
        call = context.current()
        if call is not None and call.compute_dtype is not None and self.autocast and dtypes.is_float(own):
            return call.compute_dtype
        return own

    @property
    def trainable(self) -> bool:
        told = context.trains.get()
        return self._trainable if told is None else told.get(self, self._trainable)

    @trainable.setter
    def trainable(self, value) -> None:
        self._trainable = bool(value)
        structure["version"] += 1

    @property
    def regularizer(self):
        """What is called with the value and gives a penalty, or None."""
        return self._regularizer

    @regularizer.setter
    def regularizer(self, value) -> None:
        self._regularizer = _callable_or_none("regularizer", value)

    @property
    def constraint(self):
        """What is called with the value after every update and gives the one to keep, or None."""
        return self._constraint

    @constraint.setter
    def constraint(self, value) -> None:
        self._constraint = _callable_or_none("constraint", value)

    @property
    def overwrite_with_gradient(self) -> bool:
        """Whether the optimizer puts the gradient in the value's place."""
        return self._overwrite_with_gradient

    @overwrite_with_gradient.setter
    def overwrite_with_gradient(self, value) -> None:
        if not isinstance(value, bool):
            raise TypeError(f"Variable.overwrite_with_gradient is True or False. Received: {value!r}")
        self._overwrite_with_gradient = value

    # writing ---------------------------------------------------------------------------------------------------

    @frames.filtered
    def assign(self, value):
        """Set a new value of the same shape (it is cast to the variable's dtype); returns the value."""
        given = getattr(value, "raw", value)
        kept = self._kept(given)
        if kept is given and _scope.get() is None and not isinstance(kept, jax.core.Tracer):
            kept = own_array(kept, kept.dtype, copy=True)  # it may be another variable's, or its owner's for later
        return self._write(kept)

    def stored(self, value):
        """The value as it is stored outside of scopes, for `ownership.write`."""
        value = self._kept(getattr(value, "raw", value))
        return value if self._layout is None else _place(value, self._layout, may_alias=False)

    def _kept(self, value):
        """The value in the form in which it is stored."""
        return own_array(value, self._value.dtype)

    def _write(self, value):
        if value.shape != self._value.shape:
            raise ValueError(f"Variable {self.path!r} has shape {self.shape}; a value of shape {tuple(value.shape)} "
                             "cannot be assigned to it.")
        scope = _scope.get()
        if scope is not None:
            scope.write(self, value)
        elif isinstance(value, jax.core.Tracer):
            raise RuntimeError(
                f"Variable {self.path!r} was assigned inside a function that JAX traces; the value would leak out of "
                "it.\nPass the function through `functional(fn, variables)` and return the new values, or use "
                "`layer.stateless_call`.")
        else:
            assigned[0] += 1
            self._value = value if self._layout is None else _place(value, self._layout, may_alias=False)
        return value

    @frames.filtered
    def assign_add(self, value):
        """Add to the value; returns the sum."""
        return self._write(self._kept(self.raw + getattr(value, "raw", jnp.asarray(value)).astype(self._value.dtype)))

    @frames.filtered
    def assign_sub(self, value):
        """Subtract from the value; returns the difference."""
        return self._write(self._kept(self.raw - getattr(value, "raw", jnp.asarray(value)).astype(self._value.dtype)))

    # as an array -----------------------------------------------------------------------------------------------

    def __jax_array__(self):
        return self.value

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.value, dtype=dtype)

    def __len__(self):
        return len(self._value)

    def __iter__(self):
        return iter(self.value)

    def __getitem__(self, index):
        return self.value[index]

    def __bool__(self):
        if self.size != 1:
            raise TypeError(f"{self._named()} has {self.size} values, so it cannot be used as a truth value. Use cornu.ops.any "
                            "or cornu.ops.all.")
        return bool(self.value)

    def __int__(self):
        return int(self.value)

    def __float__(self):
        return float(self.value)

    def __index__(self):
        return self.value.__index__()

    def __getattr__(self, name):  # the methods and properties of an array: sum, mean, astype, T, at ...
        if name == "_value" and (state := self.__dict__.get("_flies_with")) is not None:
            try:
                return state.value_of(self)  # a step has taken it along: see ownership.py
            except AttributeError as error:  # which Python would take for a sign to ask here for whatever was read
                raise RuntimeError(f"Variable {self.path!r} could not be read: {error}") from error
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.value, name)

    def __deepcopy__(self, memo):
        copy = object.__new__(type(self))
        memo[id(self)] = copy
        copy.__dict__.update(self.__getstate__(), _value=jnp.array(self._value, copy=True))
        return copy

    def __getstate__(self) -> dict:
        value = self._value
        return {**{k: v for k, v in self.__dict__.items() if k != "_flies_with"}, "_value": value}

    def _named(self) -> str:
        return f"Variable path={self.path}, shape={self.shape}, dtype={self.dtype}"

    def __repr__(self):
        known = _scope.get() is None and isinstance(self._value, jax.Array) and not isinstance(self._value, jax.core.Tracer)
        return f"<{self._named()}, value={np.asarray(self._value)}>" if known else f"<{self._named()}>"


def _operator(name):
    def method(self, *others):
        others = [o.value if isinstance(o, Variable) else o for o in others]
        return getattr(self.value, name)(*others)

    method.__name__ = name
    return method


def _callable_or_none(name: str, value):
    if value is not None and not callable(value):
        raise ValueError(f"Variable.{name} is None or what can be called with the value. Received: {value!r:.80}")
    return value


def _logical(function, turned: bool):
    """`&`, `|`, `^` of Keras's variables, which ask for truth: the result is of dtype bool."""
    def method(self, other):
        other = other.value if isinstance(other, Variable) else other
        return function(other, self.value) if turned else function(self.value, other)

    return method


for _name, _function in (("and", jnp.logical_and), ("or", jnp.logical_or), ("xor", jnp.logical_xor)):
    setattr(Variable, f"__{_name}__", _logical(_function, False))
    setattr(Variable, f"__r{_name}__", _logical(_function, True))
for _name in ("add sub mul truediv floordiv mod pow matmul lshift rshift".split()):
    setattr(Variable, f"__{_name}__", _operator(f"__{_name}__"))
    setattr(Variable, f"__r{_name}__", _operator(f"__r{_name}__"))
for _name in "neg pos abs invert lt le gt ge eq ne round".split():
    setattr(Variable, f"__{_name}__", _operator(f"__{_name}__"))
Variable.__hash__ = object.__hash__

# jax.jit, jax.grad and jnp functions take Variables: they see the array, and give back bare arrays.
jax.tree_util.register_pytree_node(Variable, lambda v: ((v.value,), None), lambda _, children: children[0])


def standardize_shape(shape) -> tuple:
    """A shape as a tuple of integers. Raises ValueError for unknown or negative sizes."""
    try:
        dims = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
        shape = tuple(int(d) for d in dims)
    except TypeError:
        raise ValueError(f"A variable's shape is a tuple of integers. Received: shape={shape!r}") from None
    if any(d < 0 for d in shape):
        raise ValueError(f"A variable's shape has no negative sizes. Received: shape={shape!r}")
    return shape


def own_array(value, dtype, copy: bool = False):
    """The value as an array of the dtype, in a buffer of its own: a variable's buffer may be donated."""
    if isinstance(value, (np.ndarray, np.generic, int, float, bool)):  # no compilation, unlike jnp.asarray
        if isinstance(value, np.ndarray) and value.dtype.kind in "mMVO":
            value = dtypes.native(value)
        return jax.device_put(np.array(value, dtype=dtype))
    found = jnp.asarray(value, dtype=dtype)
    if not copy or found is not value:
        return found
    return jnp.array(found, copy=True) if isinstance(found, jax.core.Tracer) else jax.device_put(found, may_alias=False)


def filled(shape, number, dtype, like=None):
    """An array of one number; nothing is compiled for it, unlike `jnp.full`, which costs 20 ms for every shape.

    Args:
        like: an array beside which it is to lie.
    """
    if isinstance(like, jax.core.Tracer):
        return jnp.full(shape, number, dtype)
    sharding = getattr(like, "sharding", None)
    apart = None if isinstance(sharding, jax.sharding.SingleDeviceSharding) else sharding
    return jax.device_put(np.full(shape, number, jnp.dtype(dtype)), apart)


def _default_dtype(value) -> str:
    if hasattr(value, "dtype"):
        name = dtypes.standardize(value.dtype)
        return dtypes.config.floatx() if name == "float64" else name
    found = np.asarray(value).dtype
    return dtypes.config.floatx() if found.kind == "f" else {"i": "int32", "b": "bool"}.get(found.kind, found.name)


def _place(value, layout, may_alias=None):
    return jax.device_put(value, getattr(layout, "backend_layout", layout), may_alias=may_alias)
