"""Symbolic tensors and the graph: KerasTensor, Call (a node), `op`, and shapes inferred by JAX itself.

A function marked `@op` computes on arrays; given a KerasTensor it records a Call and returns KerasTensors whose
shapes come from `jax.eval_shape`, with the sizes that are None as symbols.

A long file, since tensors, nodes and the inference know each other.
"""
# long because: symbolic tensors, nodes and inference know each other's insides

import functools
import inspect
import linecache
import sys

import jax
import numpy as np

from cornu import context, dtypes, errors, names, sparse, tree
from cornu.registry import Configurable, add_special, serialize
from cornu.rematerialization import current as current_remat
from cornu.rematerialization import remat
from cornu.sizes import TRIALS, Sizes, about_symbols, cleaned, common
from cornu.trials import Trial
from cornu.variable import Scope, Variable

_ATTEMPTS = 24  # how often a shape inference is done again with what the last error has taught


class KerasTensor:
    """A tensor without values, from which models are built: a shape (with None), a dtype, and where it comes from.

    Args:
        shape: a tuple of sizes; None where a size is not known yet.
        dtype: the dtype's name.
        sparse: whether it stands for sparse tensors (`jax.experimental.sparse.BCOO`).
        ragged: kept as told; there are no ragged tensors under JAX.
        record_history: whether calls on it are recorded in a graph.
        name: its name.

    Raises ValueError for a tensor that is both sparse and ragged.

    >>> KerasTensor((None, 3)).shape
    (None, 3)
    """

    @errors.filtered
    def __init__(self, shape, dtype="float32", sparse=False, ragged=False, record_history=True, name=None,
                 ragged_rank=None, row_splits_dtype=None):
        if shape is not None:
            shape = tuple(None if d is None or not isinstance(d, (int, np.integer)) else int(d) for d in shape)
        if sparse and ragged:
            raise ValueError("A KerasTensor cannot be both sparse and ragged. Received: sparse=True, ragged=True")
        self._shape, self._dtype = shape, dtypes.standardize(dtype)
        self._sparse, self._ragged, self.record_history = bool(sparse), bool(ragged), record_history
        self.ragged_rank, self.row_splits_dtype = ragged_rank, row_splits_dtype
        self.name = name or names.auto_name("keras_tensor")
        self.call, self.index = None, 0

    shape = property(lambda self: self._shape)
    dtype = property(lambda self: self._dtype)
    sparse = property(lambda self: self._sparse)
    ragged = property(lambda self: self._ragged)
    ndim = property(lambda self: len(self.shape))
    rank = ndim

    @property
    def size(self):
        return None if None in self.shape else int(np.prod(self.shape))

    @property
    def _keras_history(self):
        return History(self.call.operation, self.call.operation._inbound_nodes.index(self.call), self.index)

    def _serialize_symbolic(self) -> dict:
        history = self._keras_history
        return {"class_name": "__keras_tensor__", "config": {
            "shape": list(self.shape), "dtype": self.dtype,
            "keras_history": [history.operation.name, history.node_index, history.tensor_index]}}

    def __repr__(self):
        kind = ", sparse=True" if self.sparse else ""
        return f"<KerasTensor shape={self.shape}, dtype={self.dtype}{kind}, name={self.name}>"

    def __iter__(self):
        raise NotImplementedError("A symbolic tensor has no values to iterate over. Use cornu.ops.unstack.")

    def __len__(self):
        raise TypeError("A symbolic tensor has no len(): its first size may be unknown. Use its .shape.")

    def __bool__(self):
        if (same := getattr(self, "_same", None)) is not None:
            return same  # of `tensor in tensors`
        raise TypeError(f"{self} has no value, so it cannot be used as a truth value (in `if`, `and`, `while`). "
                        "Use cornu.ops.where or cornu.ops.cond, or put the code into a layer's call.")

    def __array_ufunc__(self, ufunc, *args, **kwargs):
        if any(isinstance(a, np.ndarray) for a in args) and ufunc.__name__ in _UFUNC_OPERATORS:
            return _UFUNC_OPERATORS[ufunc.__name__](*args[1:])  # `array + tensor`: the op answers
        raise _not_an_array(f"numpy.{ufunc.__name__}", ufunc.__name__)

    def __array_function__(self, func, types, args, kwargs):
        raise _not_an_array(f"numpy.{func.__name__}", func.__name__)

    def __array__(self, dtype=None, copy=None):
        raise _not_an_array(*_caller("numpy"))

    def __jax_array__(self):
        raise _not_an_array(*_caller("jax"))

    def __float__(self):
        raise _not_an_array("float()", "cast")

    def __int__(self):
        raise _not_an_array("int()", "cast")


_UFUNC_OPERATORS: dict = {}  # NumPy's name of an operator -> the op, filled by ops/operators.py


def _caller(package: str) -> tuple[str, str]:
    """What a user's line called with a symbolic tensor, read from the line itself (compiled functions have no frame)."""
    frame = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in ("numpy", "jax", "cornu"):
        frame = frame.f_back
    name = "asarray"
    if frame is not None:
        line, _, start, end = list(frame.f_code.co_positions())[frame.f_lasti // 2]
        called = linecache.getline(frame.f_code.co_filename, line or 0)[start:end].partition("(")[0]
        if called and all(part.isidentifier() for part in called.split(".")):
            return called, called.rpartition(".")[2]
    return f"{'jax.numpy' if package == 'jax' else package}.{name}", name


class NoValues(TypeError, ValueError):
    """A symbolic tensor stands where values are needed; Keras raises ValueError for that."""


def _not_an_array(what: str, name: str) -> TypeError:
    return NoValues(f"{what} was given a KerasTensor, which has no values: it stands for the inputs of a model that "
                     f"is being built.\nUse `cornu.ops.{_OPS_NAMES.get(name, name)}` here (it takes symbolic tensors), "
                     "or put the code into the `call` of a layer of your own.")


_OPS_NAMES = {"asarray": "convert_to_tensor", "array": "convert_to_tensor", "astype": "cast"}


class History:
    """Where a symbolic tensor comes from: the operation, which of its calls, which of that call's outputs."""

    def __init__(self, operation, node_index, tensor_index):
        self.operation, self.node_index, self.tensor_index = operation, node_index, tensor_index

    def __iter__(self):
        return iter((self.operation, self.node_index, self.tensor_index))


class Call:
    """A node of the graph: one call of an operation, with its arguments and its outputs."""

    __slots__ = ("operation", "args", "kwargs", "inputs", "outputs", "output_structure")

    def __init__(self, operation, args, kwargs, outputs):
        self.operation, self.args, self.kwargs = operation, args, kwargs
        self.inputs = [x for x in tree.flatten((args, kwargs)) if isinstance(x, KerasTensor)]
        self.output_structure, self.outputs = outputs, [o for o in tree.flatten(outputs) if isinstance(o, KerasTensor)]
        operation._inbound_nodes.append(self)
        for index, output in enumerate(self.outputs):
            output.call, output.index = self, index

    input_tensors = property(lambda self: self.inputs)
    output_tensors = property(lambda self: self.outputs)

    @property
    def parent_nodes(self) -> list:
        return list(dict.fromkeys(x.call for x in self.inputs if x.call is not None))

    def __repr__(self):
        return f"<Call of {self.operation.name}>"


class Operation(Configurable):
    """What stands at a node of a graph: a layer, or a function of `cornu.ops`.

    Subclasses define `call` and may define `compute_output_spec`; calling the operation on symbolic tensors records
    the call.
    """

    def __init__(self, name: str | None = None):
        self.name = names.auto_name(type(self).__name__) if name is None else name
        if not isinstance(self.name, str) or "/" in self.name:
            raise ValueError(f"A name is a string without '/'. Received: name={name!r}")
        self._inbound_nodes = []
        if (scope := current_remat()) is not None:
            self._remat = scope

    _remat = None  # the RematScope in which it was made

    def __call__(self, *args, **kwargs):
        if any_symbolic(args, kwargs):
            return self.symbolic_call(*args, **kwargs)
        return self.call(*args, **kwargs) if self._remat is None else self._remat.call(self, args, kwargs)

    def rematerialized_call(self, layer_call, *args, **kwargs):
        """The call as the RematScope around asks for it: with inner values that the backward pass computes again, or as it is.

        Args:
            layer_call: a function, as a rule `self.call`.
            args, kwargs: what it will be called with.
        """
        return layer_call if current_remat() is None and self._remat is None else remat(layer_call)

    def symbolic_call(self, *args, **kwargs):
        outputs = self.compute_output_spec(*args, **kwargs)
        Call(self, args, kwargs, outputs)
        return outputs

    def compute_output_spec(self, *args, **kwargs):
        """The symbolic outputs of a call, inferred from `call`."""
        return infer(self.call, args, kwargs, self.name)

    def call(self, *args, **kwargs):
        raise NotImplementedError(f"{type(self).__name__} does not define `call`.")

    def get_config(self) -> dict:  # the name that was made up is told too, so that it comes back
        """The constructor's arguments. Raises NotImplementedError where they cannot be told."""
        params = inspect.signature(type(self).__init__).parameters.values()
        if any(p.kind is p.VAR_POSITIONAL for p in params):
            raise NotImplementedError(f"{type(self).__name__}.__init__ takes *args, so its config cannot be derived. Define "
                                      "get_config(self) to return every argument.")
        try:
            config = super().get_config()
        except TypeError as error:
            raise NotImplementedError(f"{type(self).__name__}: {error}\nDefine get_config(self).") from None
        named = any(p.name == "name" or p.kind is p.VAR_KEYWORD for p in params)
        return {**config, "name": self.name} if named else config

    @property
    def input(self):
        """The symbolic input of the operation's first call."""
        return _one(self._first_call().inputs)

    @property
    def output(self):
        """The symbolic output of the operation's first call."""
        return self._first_call().output_structure

    def _first_call(self) -> Call:
        if not self._inbound_nodes:
            raise AttributeError(f"Layer {self.name!r} was never called on a symbolic tensor, so it has no input or "
                                 "output. Build the model with Input, or call the layer on one.")
        return self._inbound_nodes[0]


def _one(items):
    return items[0] if len(items) == 1 else list(items)


class OpCall(Operation):
    """A function of `cornu.ops` at one node of a graph."""

    def __init__(self, fn, name: str | None = None):
        super().__init__(name or names.auto_name(getattr(fn, "graph_name", fn.__name__)))
        self.fn, self._remat = fn, None  # the scope is for layers and operations of one's own

    def call(self, *args, **kwargs):
        return self.fn(*args, **kwargs)

    def compute_output_spec(self, *args, **kwargs):
        spec = getattr(self.fn, "spec", None)
        return super().compute_output_spec(*args, **kwargs) if spec is None else spec(*args, **kwargs)


def keras_mask(x):
    """The mask that the layers before have left on an array, as an operation of a graph."""
    call = context.current()
    mask = context.mask_of(x) if call is None else call.mask_of(x)
    if mask is None:
        raise ValueError(f"A tensor of shape {tuple(x.shape)} has no mask here, though it had one when the model was built.")
    return mask


def _spec_of_mask(x):
    mask = getattr(x, "_keras_mask", None)
    if mask is None:
        raise ValueError(f"{x} has no mask: no layer before it makes one.")
    return KerasTensor(mask.shape, mask.dtype)


keras_mask.spec = _spec_of_mask


def put_mask(x, mask) -> None:
    """Give a symbolic tensor its mask, as a node of the graph: models may be built from masks as well."""
    x._keras_mask = mask
    if mask.call is None:
        Call(OpCall(keras_mask), (x,), {}, mask)


def any_symbolic(args, kwargs=None) -> bool:
    """Whether a KerasTensor stands among the arguments, at any depth."""
    for value in args:
        if isinstance(value, KerasTensor):
            return True
        if isinstance(value, (list, tuple, dict)) and any_symbolic(value.values() if isinstance(value, dict) else value):
            return True
    return bool(kwargs) and any_symbolic(kwargs.values())


def op(fn):
    """Decorator: the function also takes symbolic tensors.

    >>> @op
    ... def twice(x):
    ...     return x * 2
    >>> twice(KerasTensor((None, 3))).shape
    (None, 3)
    """

    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        try:
            if any_symbolic(args, kwargs):
                outputs = _infer_once(wrapper, args, kwargs)
                Call(OpCall(wrapper), args, kwargs, outputs)
                return outputs
            if sparse.any_sparse(args, kwargs):
                return sparse.apply(fn.__name__, fn, args, kwargs)
            try:
                return fn(*args, **kwargs)
            except (TypeError, ValueError) as error:
                if (clear := errors.about_dtypes(error, fn, args, kwargs)) is None:
                    raise
                raise clear from None
        except Exception as error:
            errors.user_frames(error)
            raise

    return wrapper


# Shape inference -------------------------------------------------------------------------------------------------


def infer(fn, args, kwargs, name: str = "", guess: bool = False):
    """What the function gives for symbolic arguments, as KerasTensors; values it computes otherwise are kept.

    Unknown sizes are symbols; where one meets another size it is that size. With `guess`, an unknown size may also be
    taken from another argument where the error does not say what meets what.

    Raises ValueError where the shapes do not fit.
    """
    leaves, treedef = jax.tree.flatten((args, kwargs), is_leaf=lambda x: x is None or isinstance(x, (KerasTensor, Variable)))
    sizes = Sizes([x.shape for x in leaves if isinstance(x, KerasTensor)])
    reported = None
    for _ in range(_ATTEMPTS):
        try:
            return _evaluate(fn, leaves, treedef, sizes)
        except Exception as error:
            if reported is None or about_symbols(reported):
                reported = error
            if not sizes.learn(error):
                break
    if sizes.unknown() and not isinstance(reported, (NameError, ImportError)):
        found, failure = _by_trials(fn, leaves, treedef, sizes, guess)
        if failure is None:
            return found
        reported = failure if about_symbols(reported) else reported
    raise _as_value_error(reported, name, args, kwargs) from None


def _by_trials(fn, leaves, treedef, sizes, guess):
    """The outputs by concrete sizes, and None; or None, and why there are none."""
    failure = None
    for given in [sizes, *([Sizes(sizes.shapes)] if sizes.found else []), *(_guesses(leaves, sizes) if guess else ())]:
        try:
            return _joined(fn, leaves, treedef, given), None
        except Exception as error:
            failure = failure or error
    return None, failure


def _joined(fn, leaves, treedef, sizes):
    """What two trials of concrete sizes give, with None for the sizes in which they differ.

    Layers that are built on the way are built for the shapes that both trials have in common: they are unbuilt after
    each of the first two, and built in a third.
    """
    trials, outputs, failures = [], [], []
    for sizes.trial in TRIALS:
        with Trial() as trial:
            try:
                outputs.append(_evaluate(fn, leaves, treedef, sizes))
            except Exception as error:
                failures.append(error)
        trials.append(trial)
        if failures and len(failures) == 1 and len(trials) == 2:
            raise failures[0]
    if failures:
        raise _common_error(*failures)
    if trials[0].built:
        sizes.trial = TRIALS[0]
        with Trial(known=trials):
            outputs[0] = _evaluate(fn, leaves, treedef, sizes)
    if len(tree.flatten(outputs[0])) != len(tree.flatten(outputs[1])):
        raise ValueError("How many outputs there are depends on a size that is unknown (None).")
    return tree.map_structure(_join, *outputs)


def _common_error(one, other):
    """The first of two errors, without the trial sizes in which they differ."""
    if type(one) is type(other) and one.args and isinstance(one.args[0], str):
        one.args = (common(str(one), str(other)), *one.args[1:])
        pairs = zip(getattr(one, "__notes__", ()), getattr(other, "__notes__", ()))
        notes = [common(a, b) for a, b in pairs]
        if notes:
            one.__notes__ = notes
    return one


def _guesses(leaves, sizes):
    """Sizes in which one unknown size is another tensor's: for errors that name no symbol."""
    shaped = [x.shape for x in leaves if hasattr(x, "shape")]
    known = [d for shape in shaped for d in shape if isinstance(d, int) and d > 1]
    for name in sizes.names() if len(shaped) > 1 else ():
        for value in list(dict.fromkeys(known))[:4]:
            guess = Sizes(sizes.shapes)
            guess.apart = sizes.apart
            guess.bind(name, value)
            yield guess


_known: dict = {}  # what an op gave for the same shapes and settings: a trace costs a millisecond, a look-up 20 us


def _infer_once(fn, args, kwargs):
    """`infer` of a pure function, remembered by shapes, dtypes and plain settings."""
    leaves, treedef = jax.tree.flatten((args, kwargs), is_leaf=lambda x: x is None or isinstance(x, (KerasTensor, Variable)))
    signs = [("tensor", x.shape, x.dtype, x.sparse) if isinstance(x, KerasTensor) else (type(x), x) for x in leaves]
    if not all(isinstance(x, (KerasTensor, int, float, str, bool, type(None))) for x in leaves):
        return infer(fn, args, kwargs, fn.__name__, guess=True)
    key = (fn, treedef, tuple(signs), dtypes.config.floatx(), dtypes.config.image_data_format(),
           jax.config.jax_enable_x64)
    if key not in _known:
        if len(_known) > 4096:
            _known.clear()
        _known[key] = infer(fn, args, kwargs, fn.__name__, guess=True)
    return tree.map_structure(lambda x: KerasTensor(x.shape, x.dtype, x.sparse) if isinstance(x, KerasTensor) else x, _known[key])


def _as_value_error(error, name, args, kwargs):
    """The error as a user can read it: JAX's as a ValueError, and None for every size that was a symbol."""
    notes = [cleaned(note) for note in getattr(error, "__notes__", ())]
    if isinstance(error, (TypeError, IndexError, ZeroDivisionError)) and "KerasTensor" not in str(error) \
            or about_symbols(error):
        shapes = ", ".join(str(x.shape) for x in tree.flatten((args, kwargs)) if isinstance(x, KerasTensor))
        message = errors.hint_for(error) or cleaned(str(error).split("\n--------------------")[0])
        found = ValueError(f"{name}: cannot be computed for inputs of shape {shapes}.\n{message}")
        found.__dict__.update(error.__dict__)  # the note that says in which layer
        error = found.with_traceback(error.__traceback__)
    elif error.args and isinstance(error.args[0], str):
        error.args = (cleaned(error.args[0]), *error.args[1:])
    if notes:
        error.__notes__ = notes
    return error


def dry(fn, *args):
    """What `fn` gives, in shapes and dtypes only, and the variables that it writes (which are left as they are)."""
    written = []

    def body(*args):
        with Scope(collects=True) as scope:
            output = fn(*args)
            written[:] = scope.written.values()
            return output

    return jax.eval_shape(body, *args), written


def _evaluate(fn, leaves, treedef, sizes):
    shapes = dict(zip([i for i, x in enumerate(leaves) if isinstance(x, KerasTensor)], sizes.all()))
    where = [i for i in shapes if leaves[i].dtype != "string"]
    structs = [jax.ShapeDtypeStruct(shapes[i], leaves[i].dtype) for i in where]
    leaves = [_words(shapes[i]) if i in shapes and i not in where else x for i, x in enumerate(leaves)]
    kept = []

    def abstract(*values):
        filled = list(leaves)
        for i, value in zip(where, values):
            filled[i] = sparse.stand_in(value) if leaves[i].sparse else value
        call_args, call_kwargs = treedef.unflatten(filled)
        with Scope(collects=True):
            flat, outdef = jax.tree.flatten(fn(*call_args, **call_kwargs), is_leaf=lambda x: x is None or isinstance(x, Variable) or sparse.is_sparse(x))
        flat = [x.value if isinstance(x, Variable) else x for x in flat]
        are_sparse, flat = list(map(sparse.is_sparse, flat)), sparse.to_dense(flat)
        kept[:] = [outdef, [None if isinstance(x, jax.Array) else x for x in flat], are_sparse]
        return [x for x in flat if isinstance(x, jax.Array)]

    found = iter(jax.eval_shape(abstract, *structs))
    outdef, others, are_sparse = kept
    outputs = [x if x is not None else next(found, None) for x in others]
    return outdef.unflatten([_tensor(x, s) for x, s in zip(outputs, are_sparse)])


class Words(np.ndarray):
    """Strings in the place of a symbolic tensor of strings, which JAX cannot trace: layers need not know them."""


def _words(shape) -> Words:
    if not all(isinstance(d, int) for d in shape):
        raise TypeError("strings have no symbolic sizes")  # concrete sizes decide
    return np.full(shape, "", object).view(Words)


def _tensor(x, is_sparse=False):
    if isinstance(x, np.ndarray) and x.dtype == object:
        return KerasTensor(x.shape, "string")
    if isinstance(x, jax.ShapeDtypeStruct):
        return KerasTensor(tuple(d if isinstance(d, int) else None for d in x.shape), x.dtype.name, is_sparse)
    return None if isinstance(x, (np.ndarray,)) else x if isinstance(x, (int, float, str, bool, type(None))) else None


def _join(a, b):
    if not isinstance(a, KerasTensor):
        return a if a == b else None
    if len(a.shape) != len(b.shape):
        raise ValueError("The rank of the output depends on the batch size, so it has no symbolic shape.")
    return KerasTensor(tuple(m if m == n else None for m, n in zip(a.shape, b.shape)), a.dtype, a.sparse)


def is_keras_tensor(x) -> bool:
    """Whether the value is a symbolic tensor."""
    return isinstance(x, KerasTensor)


def shape_of(x) -> tuple:
    """The shape of an array or symbolic tensor, with None for sizes that are symbols."""
    return tuple(int(d) if isinstance(d, (int, np.integer)) else None for d in x.shape)


def shapes_of(value):
    """The shapes of tensors in their structure; None for what has none."""
    if isinstance(value, dict):
        return {k: shapes_of(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [shapes_of(v) for v in value]
    return shape_of(value) if hasattr(value, "shape") else None


def has_tensor(value) -> bool:
    """Whether the value is an array, a Variable or a symbolic tensor, or holds one at any depth."""
    if isinstance(value, (list, tuple, dict)):
        return any(map(has_tensor, value.values() if isinstance(value, dict) else value))
    return isinstance(value, (jax.Array, np.ndarray, KerasTensor, Variable)) or sparse.is_sparse(value)


def _no_tensor(config):
    raise ValueError("A symbolic tensor in a config has a meaning only inside a functional model's own config.")


add_special("__keras_tensor__", _no_tensor)
tree.register_leaf(KerasTensor)


def _refuse(tensor):
    raise _not_an_array(*_caller("jax"))


# jnp functions flatten their arguments first: so the error can name the function and what to use instead.
jax.tree_util.register_pytree_node(KerasTensor, _refuse, lambda *_: None)
__all__ = ["Call", "KerasTensor", "OpCall", "Operation", "any_symbolic", "dry", "has_tensor", "infer", "is_keras_tensor", "op",
           "serialize", "shape_of", "shapes_of"]
