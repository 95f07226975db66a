"""Properties that every operation has, over the table: values and dtypes of Keras, static shapes, jit, gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import ops_table
import pytest
from ops_table import ROWS, find

import cornu
from cornu import KerasTensor, Variable, ops

CASES = [pytest.param(name, case, id=f"{name}{n or ''}")
         for name, cases in ROWS.items() for n, case in enumerate(cases)]
SLOW = {"ctc_decode1", "image.ssim"}


def without(flags, few=None):
    """The cases that have none of the flags; with `few`, all but the first ones of these operations are long."""
    cases = [p for p in CASES if not set(flags) & set(p.values[1].flags)]
    if few is None:
        return cases
    slow = {p.id for p in cases if p.id not in few or p.id in SLOW}
    return [pytest.param(*p.values, id=p.id, marks=[pytest.mark.long] * (p.id in slow)) for p in cases]


def arrays_of(case):
    """The case's array arguments, and a function that calls the operation with others in their place."""
    leaves, tree = jax.tree.flatten((case.args, case.kwargs))
    where = [n for n, x in enumerate(leaves) if isinstance(x, (np.ndarray, np.generic))]

    def call(fn, values):
        filled = list(leaves)
        for n, value in zip(where, values):
            filled[n] = value
        args, kwargs = tree.unflatten(filled)
        return fn(*args, **kwargs)

    return [leaves[n] for n in where], call


def assert_close(ours, theirs):
    ours, theirs = jax.tree.leaves(ours), jax.tree.leaves(theirs)
    assert [getattr(x, "dtype", None) for x in ours] == [getattr(x, "dtype", None) for x in theirs]
    for x, y in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(np.asarray(x), np.asarray(y), rtol=2e-4, atol=2e-5)


def test_every_operation_has_a_row():
    assert ops_table.names() == set(ROWS)


@pytest.mark.parametrize("name, case", without("K", few=ROWS))
def test_values_and_dtypes_are_those_of_keras(name, case):
    import keras

    ours, theirs = (find(name, library)(*case.args, **case.kwargs) for library in (ops, keras.ops))
    if name.startswith("empty"):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    else:
        assert_close(ours, theirs)


def shapes(x):
    return [(tuple(x.shape), str(x.dtype)) for x in jax.tree.leaves(x, is_leaf=lambda x: isinstance(x, KerasTensor))]


@pytest.mark.parametrize("name, case", without("S"))
def test_symbolic_shapes_are_the_concrete_ones(name, case):
    arrays, call = arrays_of(case)
    if arrays:
        symbols = [KerasTensor(x.shape, x.dtype.name) for x in arrays]
        concrete = jax.eval_shape(lambda: find(name)(*case.args, **case.kwargs))
        assert shapes(call(find(name), symbols)) == shapes(concrete)


@pytest.mark.parametrize("name, case", without("S"))
def test_an_unknown_batch_size_stays_unknown_or_is_right(name, case):
    arrays, call = arrays_of(case)
    if name not in NEEDS_SIZES and arrays and all(x.ndim > 1 for x in arrays):
        symbols = [KerasTensor((None, *x.shape[1:]), x.dtype.name) for x in arrays]
        found = shapes(call(find(name), symbols))
        concrete = shapes(jax.eval_shape(lambda: find(name)(*case.args, **case.kwargs)))
        assert [d for _, d in found] == [d for _, d in concrete]
        assert all(s in (t, None) for (x, _), (y, _) in zip(found, concrete) for s, t in zip(x, y, strict=True))


# The first axis is not a batch: its size decides how many tensors there are, or must fit another.
NEEDS_SIZES = {"unstack", "split", "array_split", "vsplit", "hsplit", "cross", "reshape", "linspace", "map_coordinates",
               "broadcast_to", "slice_update", "slice", "conv", "depthwise_conv", "separable_conv", "conv_transpose",
               "cholesky", "eigh", "cholesky_inverse", "det", "inv", "logdet", "slogdet", "eig", "lu_factor", "qr",
               "svd", "solve", "solve_triangular", "pinv", "matrix_rank", "dot", "matmul", "einsum", "tensordot",
               "norm",
               "image.map_coordinates", "image.perspective_transform", "digitize", "scatter_update", "scatter",
               "image.scale_and_translate", "view_as_complex", "fft2", "ifft2", "vander", "kron", "corrcoef", "inner"}


def scalar(output):
    floats = [x for x in jax.tree.leaves(output) if jnp.issubdtype(x.dtype, jnp.inexact)]
    return sum((jnp.sum(jnp.real(x)) for x in floats), jnp.zeros(()))


@pytest.mark.long
@pytest.mark.parametrize("name, case", without("J"))
def test_under_jit_the_values_are_the_same(name, case):
    arrays, call = arrays_of(case)
    if arrays:
        jitted = jax.jit(lambda values: call(find(name), values))(arrays)
        assert_close(jitted, find(name)(*case.args, **case.kwargs))


# Quotients, roots, branches and decompositions are where a gradient may fail to be finite.
SHARP = ("abs sqrt divide_no_nan power cdist normalize norm std var prod max sort sparsemax softmax "
         "log_softmax relu gelu elu selu softplus logsumexp binary_crossentropy categorical_crossentropy "
         "sparse_categorical_crossentropy ctc_loss dot_product_attention moments batch_normalization "
         "layer_normalization rms_normalization max_pool average_pool adaptive_max_pool conv conv_transpose "
         "svd qr det solve logdet hypot clip where scan polar angle image.rgb_to_hsv image.resize istft").split()


@pytest.mark.parametrize("name, case", without("GJ", few=SHARP))
def test_gradients_are_finite(name, case):
    arrays, call = arrays_of(case)
    floats = [x for x in arrays if x.dtype == np.float32]

    def loss(floats):
        found = iter(floats)
        return scalar(call(find(name), [next(found) if x.dtype == np.float32 else x for x in arrays]))

    if floats and name not in WITHOUT_GRADIENT:
        assert all(bool(jnp.all(jnp.isfinite(g))) for g in jax.tree.leaves(jax.jit(jax.grad(loss))(floats)))


WITHOUT_GRADIENT = {"nextafter", "while_loop", "heaviside"}
# Keras computes these on integers in integers, which convolves, normalizes and attends wrongly; here they become floats.
FLOATS_HERE = {"conv", "depthwise_conv", "separable_conv", "conv_transpose", "fold", "layer_normalization",
               "rms_normalization", "dot_product_attention", "image.sobel_edges", "image.ssim"}


def dtypes_of(name, library, case, dtype):
    """The dtypes of the results where the case's floats are of another dtype; None where it is refused."""
    arrays, call = arrays_of(case)
    structs = [jax.ShapeDtypeStruct(x.shape, dtype if x.dtype == np.float32 else x.dtype) for x in arrays]
    try:
        return [x.dtype for x in jax.tree.leaves(jax.eval_shape(lambda *v: call(find(name, library), v), *structs))]
    except Exception:  # noqa: BLE001  whatever the reason
        return None


@pytest.mark.parametrize("dtype", ["float16", *(pytest.param(d, marks=pytest.mark.long) for d in (
    "bfloat16", "int32", "uint8", "bool"))])
def test_dtypes_of_every_operation_are_those_of_keras(dtype):
    import keras

    wrong = []
    for name, case in (p.values for p in without("JK")):
        ours, theirs = (dtypes_of(name, library, case, dtype) for library in (ops, keras.ops))
        if ours != theirs and theirs is not None and not ("float" not in dtype and name in FLOATS_HERE):
            wrong.append((name, ours, theirs))
    assert not wrong


KINDS = {"numpy": np.asarray, "jax": jnp.asarray, "list": lambda x: x.tolist(), "variable": Variable}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["add", "mean", "softmax", "reshape", "concatenate", "where", "matmul", "take"])
def test_every_kind_of_array_is_taken(name, kind):
    arrays, call = arrays_of(ROWS[name][0])
    expected = call(find(name), arrays)
    np.testing.assert_allclose(call(find(name), [KINDS[kind](x) for x in arrays]), expected, rtol=1e-6)


@pytest.mark.long
@pytest.mark.parametrize("name, case", without("J"))
def test_every_operation_takes_jax_arrays_and_variables(name, case):
    """As it takes NumPy's, with the same values and dtypes."""
    arrays, call = arrays_of(case)
    if arrays and not name.startswith("empty"):
        expected = call(find(name), arrays)
        assert_close(call(find(name), [jnp.asarray(x) for x in arrays]), expected)
        assert_close(call(find(name), [Variable(x, dtype=x.dtype.name) for x in arrays]), expected)


def test_convert_to_numpy_of_a_read_only_array_may_be_written_to():
    frozen = np.ones(3)
    frozen.flags.writeable = False
    ops.convert_to_numpy(frozen)[0] = 2.0
    assert frozen[0] == 1.0


# Keys and repeats --------------------------------------------------------------------------------------------------

CUBE = np.arange(24.0).reshape(2, 3, 4)


@pytest.mark.parametrize("key", [np.s_[:, 17, :], np.s_[..., 5], np.s_[..., 5, ...], np.s_[:, :, :, :], 7, -3, np.s_[None, 1, 3],
                                 np.s_[0, ..., -5]])
@pytest.mark.parametrize("x, error", [(CUBE, IndexError), (KerasTensor((2, 3, 4)), ValueError)])
def test_an_index_beyond_its_axis_is_refused(key, x, error):
    with pytest.raises(error, match="get_item|indices"):
        ops.get_item(x, key)


@pytest.mark.parametrize("key", [np.s_[None, 1, None, ..., -1], np.s_[1, -3, 3], np.s_[1, [0, 1]], np.s_[-2], np.s_[:, 5:9],
                                 np.s_[..., None], np.s_[1, ..., ::-2]])
def test_an_index_within_its_axis_is_numpys(key):
    np.testing.assert_array_equal(ops.get_item(CUBE, key), CUBE[key])
    assert ops.get_item(KerasTensor((2, 3, 4)), key).shape == CUBE[key].shape


@pytest.mark.parametrize("repeats, axis", [(2, None), ([2], None), ([1, 2], 0), ([1, 0, 2], 1), (np.array([3]), 2), ((2, 2), 0)])
def test_repeats_are_numbers_for_symbolic_tensors_too(repeats, axis):
    expected = np.repeat(CUBE, repeats, axis)
    np.testing.assert_array_equal(ops.repeat(CUBE, repeats, axis), expected)
    assert ops.repeat(KerasTensor((2, 3, 4)), repeats, axis).shape == expected.shape


# Edges -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["diagonal", "trace"])
@pytest.mark.parametrize("axes", [(0, 0), (-1, 2), (1, -2)])
@pytest.mark.parametrize("x", [CUBE, KerasTensor((None, 3, 4))])
def test_a_diagonal_needs_two_axes(name, axes, x):
    with pytest.raises(ValueError, match=f"{name}: axis1 and axis2 must be two axes"):
        getattr(ops, name)(x, 0, *axes)


def test_nans_are_different_values():
    assert ops.unique(np.array([1, np.nan, 2, np.nan], "float32")).shape == (4,)


def test_a_size_that_is_none_stays():
    images, half = np.ones((2, 8, 8, 3), "float32"), np.float32([0.5, 0.5])
    arguments = (None, 4, 4, None), half, np.zeros(2, "float32"), (1, 2), "linear"
    assert ops.image.scale_and_translate(images, *arguments).shape == (2, 4, 4, 3)
    assert ops.image.scale_and_translate(KerasTensor((None, 8, 8, 3)), *arguments).shape == (None, 4, 4, 3)


@pytest.mark.parametrize("error", [TypeError, ValueError])
def test_a_symbolic_tensor_has_no_values(error):
    with pytest.raises(error, match="convert_to_numpy needs values"):
        ops.convert_to_numpy(KerasTensor((2,)))


@pytest.mark.parametrize("shape, axes, expected", [((None, 3), (0, 1), (None,)), ((None, 3, 4), (0, 1), (4, None)),
                                                   ((None, 4, 3), (1, 2), (None, 3)), ((2, None, 3), (-1, 1), (2, None))])
def test_a_diagonal_of_unknown_size_is_unknown(shape, axes, expected):
    assert ops.diagonal(KerasTensor(shape), 0, *axes).shape == expected
    assert len(shape) > 2 or ops.diag(KerasTensor(shape), 1).shape == expected


@pytest.mark.parametrize("offset", [-2, -1, 0, 1, 3])
def test_a_model_takes_diagonals_as_numpy_does(offset):
    x = cornu.Input((3,))
    model = cornu.Model(x, ops.diagonal(x, offset))
    for rows in (2, 5):
        data = np.arange(3.0 * rows, dtype="float32").reshape(rows, 3)
        np.testing.assert_array_equal(model(data), np.diagonal(data, offset))


def test_an_unknown_size_is_a_number_once_it_is_known():
    x = cornu.Input((3,))
    model = cornu.Model(x, ops.sum(x) / ops.cast(ops.size(x), "float32"))
    for found in (model, cornu.Model.from_config(model.get_config())):
        assert float(found(np.full((4, 3), 2.0))) == 2.0
    assert ops.size(KerasTensor((2, 3))) == 6
