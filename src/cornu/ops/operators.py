"""The operators of KerasTensor, and random numbers from symbolic arguments: each records the op of the same meaning."""

from cornu import frames, random
from cornu.ops import numpy_elementwise as elementwise
from cornu.ops.numpy_products import matmul
from cornu.ops.numpy_shape import get_item, reshape, squeeze
from cornu.symbolic import _UFUNC_OPERATORS, KerasTensor, op

# The logical ops answer for & | ^ ~ as well, for booleans; Keras does the same.
_BINARY = {"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "floordiv": "floor_divide",
           "mod": "mod", "pow": "power", "and": "logical_and", "or": "logical_or", "xor": "logical_xor"}
_COMPARISONS = {"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"}
_UNARY = {"neg": "negative", "abs": "absolute", "invert": "logical_not"}


def _attach(name, method):
    method.__name__ = f"__{name}__"
    setattr(KerasTensor, method.__name__, frames.filtered(method))


def _attach_binary(name, fn):
    _attach(name, lambda self, other: fn(self, other))
    _attach("r" + name, lambda self, other: fn(other, self))


for _name, _op in _BINARY.items():
    _attach_binary(_name, getattr(elementwise, _op))
_attach_binary("matmul", matmul)
for _name, _op in (_COMPARISONS | _UNARY).items():
    _function = getattr(elementwise, _op)
    _attach(_name, (lambda fn: lambda self, *others: fn(self, *others))(_function))

def _attach_equality(name, fn, same: bool):
    """`==`: the op, whose truth, where Python asks for it, is whether both are one tensor (`tensor in tensors`)."""
    def compare(self, other):
        found = fn(self, other)
        if isinstance(other, KerasTensor) and isinstance(found, KerasTensor):
            found._same = (self is other) == same
        return found

    _attach(name, compare)


_attach_equality("eq", elementwise.equal, True)
_attach_equality("ne", elementwise.not_equal, False)

# `array + tensor`: NumPy asks the tensor for its own answer to the ufunc.
for _ufunc in ("add subtract multiply divide true_divide floor_divide mod power less less_equal greater greater_equal "
               "equal not_equal").split():
    _UFUNC_OPERATORS[_ufunc] = getattr(elementwise, _ufunc)
_UFUNC_OPERATORS |= {"remainder": elementwise.mod, "matmul": matmul, "bitwise_and": elementwise.logical_and,
                     "bitwise_or": elementwise.logical_or, "bitwise_xor": elementwise.logical_xor}

KerasTensor.__hash__ = object.__hash__  # == is an op, so tensors are told apart by identity
_attach("pos", lambda self: self)
_attach("round", lambda self, ndigits=None: elementwise.round(self, ndigits or 0))
_attach("getitem", lambda self, key: get_item(self, key))


def _reshape(self, newshape):
    """The op `reshape`."""
    return reshape(self, newshape)


def _squeeze(self, axis=None):
    """The op `squeeze`."""
    return squeeze(self, axis)


KerasTensor.reshape, KerasTensor.squeeze = _reshape, _squeeze

# random.py stands on a lower floor than symbolic tensors: here its functions learn to take them.
for _name in "normal uniform randint truncated_normal categorical dropout shuffle gamma binomial beta".split():
    setattr(random, _name, op(getattr(random, _name)))
