"""Keras's dtype rules, asked of Keras itself: nothing is computed, dtypes are inferred on both sides."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ops_table import find

from cornu import KerasTensor, dtypes, ops

FEW = ["bool", "int8", "uint8", "int32", "float16", "bfloat16", "float32", True, 1, 1.0]
ALL = [*FEW, "int16", "uint16", "uint32", "complex64"]
FLOAT8 = ["float8_e4m3fn", "float8_e5m2"]
UNARY = ("abs arccos arctan cbrt ceil clip conj copy cos cumprod cumsum deg2rad diff exp exp2 expm1 floor imag "
         "isfinite log log1p log2 logical_not mean median max argmax negative prod reciprocal real relu relu6 round "
         "sign sin sort sqrt square std sum tanh trace transpose tril trunc var elu gelu leaky_relu selu softplus softsign "
         "nansum ones_like zeros_like all any average count_nonzero ptp logsumexp norm hard_tanh softmax ravel").split()
BINARY = ("add subtract multiply divide true_divide floor_divide mod maximum minimum power equal greater less "
          "logical_and logical_or where matmul dot fmod divide_no_nan append concatenate stack outer inner "
          "tensordot").split()
BITWISE = "bitwise_and bitwise_or bitwise_xor left_shift right_shift gcd lcm".split()
PAIRED = {"concatenate": lambda f, x, y: f([x, y]), "stack": lambda f, x, y: f([x, y]),
          "where": lambda f, x, y: f(jnp.ones((2, 2), bool), x, y),
          "tensordot": lambda f, x, y: f(x, y, axes=1)}
# Keras refuses what works here (float8 in some functions, integers in sigmoid, booleans in sums of logarithms).
KINDER = "refused"


def dtype_of(call, *values):
    """The dtype that a call gives, or "refused"."""
    arrays = [jax.ShapeDtypeStruct((2, 2), v) for v in values if isinstance(v, str)]

    def run(*arrays):
        found = iter(arrays)
        return call(*(next(found) if isinstance(v, str) else v for v in values))

    try:
        return jax.tree.leaves(jax.eval_shape(run, *arrays))[0].dtype
    except Exception:  # noqa: BLE001  whatever the reason
        return KINDER


def assert_same(name, *values):
    import keras

    if name == "clip":
        calls = [lambda x, f=find(name, m): f(x, 0, 1) for m in (ops, keras.ops)]
    else:
        calls = [lambda *a, f=find(name, m): PAIRED.get(name, lambda f, *a: f(*a))(f, *a) for m in (ops, keras.ops)]
    ours, theirs = (dtype_of(call, *values) for call in calls)
    assert ours == theirs or theirs is KINDER, (name, values, ours, theirs)


@pytest.mark.parametrize("name", UNARY)
def test_one_tensor(name):
    for dtype in [d for d in ALL if isinstance(d, str)] + FLOAT8:
        if (name, dtype) != ("var", "complex64"):  # a variance is real: here it is, in Keras it is not
            assert_same(name, dtype)


def pairs(kinds):
    return [(a, b) for a in kinds for b in kinds if isinstance(a, str) or isinstance(b, str)]


@pytest.mark.parametrize("name", BINARY)
def test_two_tensors(name):
    for pair in pairs(FEW):
        assert_same(name, *pair)


@pytest.mark.long
@pytest.mark.parametrize("name", BINARY)
def test_two_tensors_of_all_dtypes(name):
    for pair in pairs(ALL + FLOAT8):
        assert_same(name, *pair)


@pytest.mark.parametrize("name", BITWISE)
def test_integers(name):
    for pair in pairs(["int8", "int16", "int32", "uint8", "uint16", "uint32", 1]):
        assert_same(name, *pair)


@pytest.mark.parametrize("dtype", FLOAT8)
def test_float8_is_kept(dtype):
    x = jnp.ones((2, 2), dtype)
    assert ops.add(x, x).dtype == ops.reshape(x, (4,)).dtype == dtype and ops.cast(x, "float32").dtype == "float32"


def test_result_type_is_the_dtype_of_a_sum():
    for a, b in pairs(["bool", "int8", "uint16", "bfloat16", "float32"]):
        assert dtypes.result_type(a, b) == ops.add(jnp.ones((), a), jnp.ones((), b)).dtype


# Dtypes that an operation does not take ------------------------------------------------------------------------------

INT, FLOAT, BOOL, COMPLEX = (np.ones((2, 2), d) for d in ("int32", "float32", "bool", "complex64"))
REFUSED = {
    **{(name, "integers"): [(INT, FLOAT), (FLOAT, INT), (FLOAT, FLOAT), (INT, COMPLEX)] for name in (
        "bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift left_shift right_shift gcd lcm").split()},
    **{(name, "integers"): [(FLOAT,), (COMPLEX,)] for name in ("bitwise_invert", "bitwise_not")},
    **{(name, "integers"): [(FLOAT, FLOAT), (INT, FLOAT), (FLOAT, COMPLEX)] for name in ("take", "ldexp")},
    ("take_along_axis", "integers"): [(FLOAT, FLOAT, 0)],
    ("get_item", "integers"): [(FLOAT, FLOAT)],
    ("repeat", "integers"): [(FLOAT, FLOAT)],
    ("bincount", "integers"): [(FLOAT[0],)],
    **{(name, "real numbers"): [(COMPLEX,)] for name in (
        "argmax argmin cbrt ceil erf erfc erfinv fabs floor i0 isneginf isposinf median nanargmax nanargmin nanmedian rfft "
        "signbit sparse_sigmoid trunc view_as_complex").split()},
    **{(name, "real numbers"): [(FLOAT, COMPLEX), (COMPLEX, COMPLEX)] for name in (
        "floor_divide fmod heaviside hypot mod nextafter polar binary_crossentropy categorical_crossentropy").split()},
    **{(name, "numbers"): [(BOOL,)] for name in ("negative", "ptp", "round", "sign")},
    **{(name, "numbers"): [(BOOL, BOOL)] for name in ("subtract", "kron")},
    ("cross", "numbers"): [(np.ones(3, bool), np.ones(3, bool))],
}
CASES_REFUSED = [pytest.param(name, words, args, id="-".join([name, *(getattr(a, "dtype", np.dtype(int)).name for a in args)]))
                 for (name, words), rows in REFUSED.items() for args in rows]


@pytest.mark.parametrize("name, words, args", CASES_REFUSED)
def test_a_dtype_that_is_not_taken_is_named(name, words, args):
    with pytest.raises((TypeError, ValueError), match=rf"^{name} takes {words}.*\. Received: \w+ of dtype \w+") as caught:
        getattr(ops, name)(*args)
    assert "jax" not in str(caught.value) and caught.value.__cause__ is None


# Found when it is run: what depends on values, and `argmax` of complex numbers, whose shape JAX infers without asking.
WHEN_RUN = ("repeat", "bincount", "argmax", "argmin", "nanargmax", "nanargmin")


@pytest.mark.parametrize("name, words, args", [c for c in CASES_REFUSED if c.values[0] not in WHEN_RUN])
def test_a_dtype_that_is_not_taken_is_named_while_a_model_is_built(name, words, args):
    symbols = [KerasTensor(a.shape, a.dtype.name) if hasattr(a, "shape") else a for a in args]
    with pytest.raises(ValueError, match=rf"{name} takes {words}.*\. Received: \w+ of dtype \w+"):
        getattr(ops, name)(*symbols)


def test_an_error_of_the_caller_s_own_function_stays_his():
    with pytest.raises(TypeError, match="does not accept dtype"):
        ops.map(lambda x: jnp.bitwise_and(x, 1.5), FLOAT)
