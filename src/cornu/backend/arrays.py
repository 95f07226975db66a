"""The functions of Keras's older backend that make, change and read tensors and variables."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import sparse as jax_sparse

from cornu import config, context, dtypes, ops, tree
from cornu import variable as variables
from cornu.layers import Input
from cornu.models import Function
from cornu.symbolic import KerasTensor, is_keras_tensor, op, shape_of
from cornu.variable import Variable



def _sizes(x):
    """The shape of a tensor, or of a list or number that stands for one."""
    return shape_of(x) if hasattr(x, "shape") else np.shape(x)


cast = ops.cast
dtype = ops.dtype
name_scope = context.name_scope
shape = ops.shape
transpose = ops.transpose


def arange(start, stop=None, step=1, dtype="int32"):
    """Evenly spaced integers: up to `start` where `stop` is None."""
    if stop is None:
        start, stop = 0, ops.maximum(start, 0) if not isinstance(start, int) else max(start, 0)
    return ops.arange(start, stop, step, dtype)


def cast_to_floatx(x):
    """x in the dtype of `floatx()`: a NumPy array stays one."""
    if isinstance(x, (Variable, jax.Array, KerasTensor)):
        return ops.cast(x, config.floatx())
    return np.asarray(x, dtype=jnp.dtype(config.floatx()))


def concatenate(tensors, axis=-1):
    """Tensors put one after the other along an axis."""
    return ops.concatenate(tensors, axis)


def constant(value, dtype=None, shape=None, name=None):
    """A tensor of the value, filled to the shape where it is one number; `name` says nothing."""
    del name
    tensor = ops.convert_to_tensor(value, dtype or config.floatx())
    if shape is None:
        return tensor
    return ops.broadcast_to(tensor, shape) if tensor.size == 1 else ops.reshape(tensor, shape)


def _held(value, name=None):
    """A Variable of the value; the value itself while a function is traced, which makes none."""
    return value if variables.in_scope() else Variable(value, dtype=value.dtype, name=name)


def variable(value, dtype=None, name=None, constraint=None):
    """A Variable; sparse values are made dense.

    Args:
        value: its first value.
        dtype: its dtype, `floatx()` by default.
        name: its name.
        constraint: what an optimizer applies to it after every update.
    """
    made = Variable(to_dense(value), dtype=dtype or config.floatx(), name=name)
    if constraint is not None:
        made.constraint = constraint
    return made


def zeros(shape, dtype=None, name=None):
    """A Variable of zeros; a tensor where a function is traced."""
    return _held(ops.zeros(shape, dtype or config.floatx()), name)


def ones(shape, dtype=None, name=None):
    """A Variable of ones; a tensor where a function is traced."""
    return _held(ops.ones(shape, dtype or config.floatx()), name)


def eye(size, dtype=None, name=None):
    """A Variable of the unit matrix; a tensor where a function is traced."""
    rows, columns = (size, size) if isinstance(size, int) else size
    return _held(ops.eye(rows, columns, dtype=dtype or config.floatx()), name)


def zeros_like(x, dtype=None, name=None):
    """A tensor of zeros like x; `name` tells nothing here."""
    del name
    return ops.zeros_like(x, dtype)


def ones_like(x, dtype=None, name=None):
    """A tensor of ones like x; `name` tells nothing here."""
    del name
    return ops.ones_like(x, dtype)


def identity(x, name=None):
    """x; `name` tells nothing here."""
    del name
    return ops.convert_to_tensor(x) if not is_keras_tensor(x) else x


def placeholder(shape=None, ndim=None, dtype=None, sparse=False, name=None):
    """A symbolic tensor: an `Input` whose shape is whole, batch included."""
    if shape is None and ndim is None:
        raise ValueError("placeholder: say its `shape`, or `ndim` for one of unknown sizes.")
    sizes = tuple(shape) if shape is not None else (None,) * ndim
    return Input(batch_shape=sizes, dtype=dtype, sparse=sparse, name=name)


# Shapes -----------------------------------------------------------------------------------------


def int_shape(x):
    """The shape as a tuple, None for unknown sizes; None for what has no shape."""
    return tuple(shape_of(x)) if hasattr(x, "shape") else None


def ndim(x) -> int:
    """How many dimensions x has."""
    return len(_sizes(x))


def count_params(x) -> int:
    """How many numbers a variable holds."""
    return int(np.prod(_sizes(x)))


def expand_dims(x, axis=-1):
    """x with one more axis, of size 1."""
    return ops.expand_dims(x, axis)


def squeeze(x, axis):
    """x without an axis of size 1."""
    return ops.squeeze(x, axis)


def stack(x, axis=0):
    """Tensors of one shape along a new axis."""
    return ops.stack(x, axis)


def reshape(x, shape):
    """x in another shape."""
    return ops.reshape(x, shape)


def flatten(x):
    """x as one row of numbers."""
    return ops.reshape(x, (-1,))


def batch_flatten(x):
    """Each sample of x as one row of numbers."""
    sizes = _sizes(x)[1:]
    return ops.reshape(x, (-1, int(np.prod(sizes)) if None not in sizes else -1))


def permute_dimensions(x, pattern):
    """x with its axes in another order."""
    return ops.transpose(x, tuple(pattern))


def repeat(x, n):
    """Every row of (batch, size) n times: (batch, n, size). Raises ValueError for other ranks."""
    if len(_sizes(x)) != 2:
        raise ValueError(f"repeat takes a tensor (batch, size). Received shape: {_sizes(x)}")
    return ops.repeat(ops.expand_dims(x, 1), n, axis=1)


def repeat_elements(x, rep, axis):
    """Every slice along an axis `rep` times, one after the other."""
    return ops.repeat(x, rep, axis=axis)


def reverse(x, axes):
    """x backwards along an axis or several."""
    return ops.flip(x, axes if isinstance(axes, int) else tuple(axes))


def tile(x, n):
    """x repeated n times along each axis."""
    return ops.tile(x, [n] if isinstance(n, int) else n)


def gather(reference, indices):
    """The rows of `reference` with these indices."""
    return ops.take(reference, indices, axis=0)


def one_hot(indices, num_classes):
    """A 1 at the place of each index, in `floatx()`."""
    return ops.one_hot(ops.cast(indices, "int32"), num_classes)


# Sparse tensors ---------------------------------------------------------------------------------


def is_sparse(tensor) -> bool:
    """Whether a tensor keeps its nonzero values only."""
    return isinstance(tensor, jax_sparse.JAXSparse) or bool(getattr(tensor, "sparse", False))


def to_dense(tensor):
    """A sparse tensor with all its values; others as they are."""
    if isinstance(tensor, jax_sparse.JAXSparse):
        return tensor.todense()
    return tensor.toarray() if hasattr(tensor, "toarray") else tensor


# Values -----------------------------------------------------------------------------------------


def get_value(x):
    """The value of a variable or tensor as a NumPy array; anything else as it is."""
    return np.array(x) if isinstance(x, (Variable, jax.Array)) else x


def eval(x):
    """The value as a NumPy array, of sparse tensors too."""
    return get_value(to_dense(x))


def batch_get_value(tensors) -> list:
    """The values of several tensors."""
    return [get_value(x) for x in tensors]


def set_value(x, value) -> None:
    """Give a variable another value."""
    x.assign(np.asarray(value, dtype=jnp.dtype(x.dtype)))


def batch_set_value(tuples) -> None:
    """Give several variables, each in a pair with its value, other values."""
    for x, value in tuples:
        set_value(x, value)


def update(x, new_x):
    """Assign to a variable."""
    return _assigned(x, new_x)


def update_add(x, increment):
    """Add to a variable."""
    return _assigned(x, x + increment)


def update_sub(x, decrement):
    """Subtract from a variable."""
    return _assigned(x, x - decrement)


def moving_average_update(x, value, momentum):
    """Move a variable towards a value: x momentum + value (1 - momentum)."""
    return _assigned(x, x * momentum + ops.cast(value, x.dtype) * (1 - momentum))


def _assigned(x, value):
    x.assign(value)
    return x


def print_tensor(x, message="", summarize=3):
    """x, printed with a message when it is computed; `summarize` values of each axis's ends."""

    @op
    def printed(x):
        def show(value):
            text = np.array2string(np.asarray(value), threshold=2 * summarize, edgeitems=summarize)
            print(message, text)

        jax.debug.callback(show, x)
        return x

    return printed(x)


def stop_gradient(variables):
    """The tensors, through which no gradient flows."""
    return tree.map_structure(ops.stop_gradient, variables)


def gradients(loss, variables):
    """Always an error: gradients of symbolic tensors need TensorFlow 1's graphs."""
    raise RuntimeError(
        "K.gradients takes gradients of symbolic tensors, which eager computation does not have. "
        "Write the loss as a function: `loss, gradients = cornu.value_and_grad(fn, variables)`, or "
        "jax.grad for inputs."
    )


# Training or inference --------------------------------------------------------------------------


class LearningPhase(int):
    """0 or 1; among the inputs of `function` it stands for the argument `training`."""


def learning_phase():
    """Whether this is training, as 0 or 1: what the call that is running was told."""
    current = context.current()
    return LearningPhase(bool(current is not None and current.training))


def set_learning_phase(value) -> None:
    """0 is what holds outside `fit` anyway. Raises ValueError for 1: training is an argument."""
    if value:
        raise ValueError(
            "set_learning_phase(1): training is an argument of each call here. Call layers and "
            "models with `training=True`; `fit` does so itself."
        )


@contextlib.contextmanager
def learning_phase_scope(value):
    """A `with` block in which layers are called with this `training`, where a call says none."""
    token = context.enter(context.CallContext(training=bool(value)))
    try:
        yield
    finally:
        context.leave(token)


def in_train_phase(x, alt, training=None):
    """x in training, else `alt`; both may be functions, of which only one is called."""
    training = learning_phase() if training is None else training
    if isinstance(training, (bool, int, np.bool_)):
        chosen = x if training else alt
        return chosen() if callable(chosen) else chosen
    return switch(training, x, alt)


def in_test_phase(x, alt, training=None):
    """x in inference, else `alt`."""
    return in_train_phase(alt, x, training)


def switch(condition, then_expression, else_expression):
    """One expression where the condition holds, the other elsewhere.

    Args:
        condition: one truth value, or a tensor of them with the first axes of the expressions.
        then_expression, else_expression: tensors, or functions without arguments that give them.
    """
    if isinstance(condition, (bool, int, np.bool_)):
        condition = np.asarray(condition)
    rank = len(_sizes(condition))
    made = [callable(e) for e in (then_expression, else_expression)]
    if rank == 0 and not is_keras_tensor(condition):
        then, other = [e if f else (lambda e=e: ops.convert_to_tensor(e))
                       for e, f in zip((then_expression, else_expression), made, strict=True)]
        return ops.cond(ops.cast(condition, "bool"), then, other)
    then, other = [e() if f else e
                   for e, f in zip((then_expression, else_expression), made, strict=True)]
    extra = len(_sizes(then)) - rank
    condition = ops.cast(condition, "bool")
    if extra > 0:
        condition = ops.reshape(condition, (*ops.shape(condition), *(1,) * extra))
    return ops.where(condition, then, other)


def function(inputs, outputs, updates=None, name=None, **kwargs):
    """A function from symbolic inputs to outputs that computes with NumPy arrays.

    Args:
        inputs: symbolic tensors; `learning_phase()` among them stands for `training`.
        outputs: symbolic tensors computed from them, one or a list.
        updates: must be empty: variables are assigned by `update` here.
        name: its name.

    Returns: a function of a list of arrays, which gives a list of arrays (or one array).

    Raises ValueError for updates and for other arguments.

    >>> import numpy as np
    >>> x = Input((2,))
    >>> function([x], [x * 2])([np.ones((1, 2))])
    [array([[2., 2.]], dtype=float32)]
    """
    if updates or kwargs:
        raise ValueError(
            f"K.function: {'updates' if updates else ', '.join(kwargs)} needs TensorFlow 1's "
            "graphs. Assign variables by K.update when they should change."
        )
    items = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    places = [i for i, x in enumerate(items) if not isinstance(x, LearningPhase)]
    graph = Function([items[i] for i in places], outputs, name)

    def run(values):
        values = list(values) if isinstance(values, (list, tuple)) else [values]
        told = [v for i, v in enumerate(values) if i not in places]
        with learning_phase_scope(told[0]) if told else contextlib.nullcontext():
            found = graph([ops.convert_to_tensor(values[i]) for i in places])
        return tree.map_structure(np.array, found)

    return run


# Names and dtypes -------------------------------------------------------------------------------


_uids: dict = {}


def get_uid(prefix: str = "") -> int:
    """A running number for a prefix, from 1.

    >>> get_uid("an example"), get_uid("an example")
    (1, 2)
    """
    _uids[prefix] = _uids.get(prefix, 0) + 1
    return _uids[prefix]


def reset_uids() -> None:
    """Let the running numbers of `get_uid` begin anew."""
    _uids.clear()


def is_float_dtype(dtype) -> bool:
    """Whether a dtype is a floating one; `float32`, but not `int8`."""
    return dtypes.is_float(dtype)


def is_int_dtype(dtype) -> bool:
    """Whether a dtype is one of integers; `uint8`, but not `bool`."""
    return dtypes.is_int(dtype)


__all__ = [
    "LearningPhase", "arange", "batch_flatten", "batch_get_value", "batch_set_value", "cast",
    "cast_to_floatx", "concatenate", "constant", "count_params", "dtype", "eval",
    "expand_dims", "eye", "flatten", "function", "gather", "get_uid", "get_value", "gradients",
    "identity", "in_test_phase", "in_train_phase", "int_shape", "is_float_dtype", "is_int_dtype",
    "is_sparse", "learning_phase", "learning_phase_scope", "moving_average_update", "name_scope",
    "ndim", "one_hot", "ones", "ones_like", "permute_dimensions", "placeholder", "print_tensor",
    
    "repeat", "repeat_elements", "reset_uids",
    "reshape", "reverse", "set_learning_phase", "set_value", "shape", "squeeze", "stack",
    "stop_gradient", "switch", "tile", "to_dense", "transpose", "update",
    "update_add", "update_sub", "variable", "zeros", "zeros_like",
]
