"""Loops and branches whose bodies assign Variables; operators; errors; and what Keras gets wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cornu
from cornu import KerasTensor, Variable, functional, ops, random

X = np.arange(6, dtype="float32").reshape(2, 3)


def counting(value=0.0):
    counter = Variable(value)
    return counter, lambda by=1.0: counter.assign_add(by)


LOOPS = {"scan": lambda count: ops.scan(lambda c, x: (c + count(), x), 0.0, np.ones(3, "float32")),
         "map": lambda count: ops.map(lambda x: x + count(), np.ones(3, "float32")),
         "fori_loop": lambda count: ops.fori_loop(0, 3, lambda i, x: x + count(), 0.0),
         "while_loop": lambda count: ops.while_loop(lambda x: x < 5.5, lambda x: x + count(), 0.0)}


@pytest.mark.parametrize("name", LOOPS)
def test_a_body_may_assign_variables(name):
    counter, count = counting()
    LOOPS[name](count)
    assert float(counter.value) == 3.0


@pytest.mark.parametrize("name", LOOPS)
def test_under_jit_the_new_values_come_out(name):
    counter, count = counting()
    _, (value,) = jax.jit(functional(lambda: LOOPS[name](count), [counter]))([jnp.zeros(())])
    assert float(value) == 3.0 and float(counter.value) == 0.0


def test_only_the_chosen_branch_assigns():
    counter, count = counting()
    ops.cond(True, lambda: count(5.0), lambda: count(7.0))
    ops.switch(1, [lambda x: x, lambda x: x + count(2.0), lambda x: x], 1.0)
    assert float(counter.value) == 7.0


def test_seeds_draw_anew_in_every_step():
    seed = random.SeedGenerator(1)
    _, drawn = ops.scan(lambda c, x: (c, random.normal((), seed=seed)), 0.0, length=3)
    expected = [random.normal((), seed=s) for s in [random.SeedGenerator(1)] for _ in range(3)]
    np.testing.assert_allclose(drawn, expected, rtol=1e-6)


def test_gradients_go_through_loops():
    gradient = jax.grad(lambda w: ops.scan(lambda c, x: (c * w + x, c), 0.0, jnp.ones(3))[0])(2.0)
    assert float(gradient) == pytest.approx(5.0)  # of 1 + w + w^2


def test_a_branch_over_symbolic_tensors():
    x, flag = KerasTensor((None, 3)), KerasTensor((), "bool")
    assert ops.cond(flag, lambda: x + 1, lambda: x).shape == (None, 3)
    assert ops.while_loop(lambda x: ops.sum(x) < 9, lambda x: x + 1, x).shape == (None, 3)
    assert ops.scan(lambda c, t: (c + t, c), KerasTensor((3,)), KerasTensor((5, 3)))[1].shape == (5, 3)


OPERATORS = {
    "x + 1": "add", "1 + x": "add", "x - 1": "subtract", "1 - x": "subtract", "x * 2": "multiply", "x / 2": "divide",
    "2 / x": "divide", "x // 2": "floor_divide", "x % 2": "mod", "x ** 2": "power", "2 ** x": "power", "-x": "negative",
    "abs(x)": "absolute", "x < 1": "less", "x <= 1": "less_equal", "x > 1": "greater", "x >= 1": "greater_equal",
    "x == 1": "equal", "x != 1": "not_equal", "x @ w": "matmul", "x[:, 0]": "get_item", "a + x": "add",
    "a @ w": "matmul",
    "a > x": "less", "(x > 1) & (x < 3)": "logical_and", "(x > 1) | (x < 0)": "logical_or", "~(x > 1)": "logical_not",
    "(x > 1) ^ (x < 3)": "logical_xor", "round(x)": "round", "x.reshape((-1,))": "reshape"}


@pytest.mark.parametrize("text", OPERATORS)
def test_operators_record_operations(text):
    a, w = X + 1, np.ones((3, 2), "float32")
    x = cornu.Input(batch_shape=(2, 3))
    w_ = cornu.Input(batch_shape=(3, 2)) if text == "a @ w" else w
    y = eval(text, {"x": x, "a": a, "w": w_})
    model = cornu.Model([x, w_] if text == "a @ w" else x, y)
    expected = eval(text, {"x": jnp.asarray(X), "a": a, "w": w})
    np.testing.assert_allclose(model([X, w] if text == "a @ w" else X), expected, rtol=1e-6)
    assert y.call.operation.fn.__name__ in (OPERATORS[text], {"less": "greater"}.get(OPERATORS[text]))


@pytest.mark.parametrize("call, words", [
    (lambda: ops.scan(lambda c, x: (c, x), 0), "length"), (lambda: ops.while_loop(1, lambda x: x, 0), "callable"),
    (lambda: ops.while_loop(lambda x: x < 3, lambda x: (x, x), 0), "shape|structure"),
    (lambda: ops.cond(True, lambda: jnp.ones(2), lambda: jnp.ones(3)), "same"),
    (lambda: ops.switch(0, []), "one branch"), (lambda: ops.where(X > 1, X), "both"),
    (lambda: ops.sparse_categorical_crossentropy([3], np.ones((1, 3))), "between 0 and 2"),
    (lambda: ops.binary_crossentropy(X, X[0]), "same shape"), (lambda: ops.nonzero(KerasTensor((3,))), "nonzero"),
    (lambda: ops.unique(KerasTensor((3,))), "size"),
    (lambda: ops.matmul(KerasTensor((None, 3)), KerasTensor((4, 2))), "matmul"),
    (lambda: ops.convert_to_numpy(KerasTensor((3,))), "symbolic"), (lambda: ops.rearrange(X, "a b -> a"), "both sides"),
    (lambda: ops.cholesky(-np.eye(2)), "positive definite"), (lambda: ops.unstack(KerasTensor((None, 3))), "num"),
    (lambda: ops.conv(X[None], np.ones((2, 2, 4))), "channels"), (lambda: ops.image.resize(X, (2, 2)), "axes"),
    (lambda: ops.image.crop_images(X[None, :, :, None], 1), "exactly two"), (lambda: ops.one_hot([1], 2, foo=1), "foo"),
    (lambda: random.normal((None, 2)), "known")])
def test_errors_say_what_is_wrong(call, words):
    with pytest.raises((ValueError, TypeError), match=words):
        call()


def test_cdist_has_a_gradient_at_zero():
    assert np.isfinite(jax.grad(lambda a: ops.cdist(a, a).sum())(jnp.asarray(X))).all()


def test_cross_entropy_in_16_bits_is_finite():
    assert np.isfinite(float(ops.binary_crossentropy(jnp.zeros((), "float16"), jnp.ones((), "float16"))))


def test_gaussian_blur_spreads_along_both_axes():
    image = np.zeros((1, 7, 7, 2), "float32")
    image[0, 3, 3, 0] = 1
    blurred = np.asarray(ops.image.gaussian_blur(image, (3, 3), (1.0, 1.0)))
    assert blurred[..., 1].max() == 0 and blurred.sum() == pytest.approx(1)
    np.testing.assert_allclose(blurred[0, :, 3, 0], blurred[0, 3, :, 0])


def test_affine_transform_takes_the_projective_part():
    scale = np.float32([2, 0, 0, 0, 2, 0, 0, 0]) / 2
    points = np.float32([[0, 0], [3, 0], [0, 2], [3, 2]]), np.float32([[1, 0], [3, 0], [0, 2], [2, 2]])
    image = np.random.RandomState(0).rand(3, 4, 1).astype("float32")
    np.testing.assert_allclose(ops.image.affine_transform(image, scale), image, atol=1e-6)
    from cornu.ops.warping import homography

    matrix = homography(jnp.asarray(points[1]), jnp.asarray(points[0])).reshape(-1)[:8]
    expected = ops.image.perspective_transform(image, *points)
    np.testing.assert_allclose(ops.image.affine_transform(image, matrix), expected, atol=1e-5)


def test_rearrange_with_other_axes():
    x = np.arange(24).reshape(2, 3, 4)
    assert np.array_equal(ops.rearrange(x, "b ... -> ... b"), np.moveaxis(x, 0, -1))
    assert ops.rearrange(KerasTensor((None, 6, 3)), "b (h w) c -> b h w c 1", h=2).shape == (None, 2, 3, 3, 1)


def test_beam_search_finds_the_most_probable_labelling():
    logits, steps = np.random.RandomState(1).randn(1, 4, 3).astype("float32"), np.array([4])
    paths, scores = ops.ctc_decode(logits, steps, strategy="beam_search", beam_width=50, top_paths=3)
    for path, score in zip(np.asarray(paths)[:, 0], np.asarray(scores)[0]):
        loss = ops.ctc_loss(np.maximum(path, 0)[None], logits, [(path >= 0).sum()], steps)
        assert float(loss[0]) == pytest.approx(-score, rel=1e-4)


def test_sparse_arrays_are_made_and_taken():
    codes = ops.one_hot([0, 2], 3, sparse=True)
    assert codes.nse == 2 and np.array_equal(ops.add(codes, 1.0), np.eye(3)[[0, 2]] + 1)
    assert np.array_equal(ops.convert_to_tensor(codes, sparse=False), np.eye(3)[[0, 2]])
    assert ops.convert_to_tensor(codes) is codes and ops.is_tensor(codes)


def test_lists_may_hold_variables():
    assert np.array_equal(ops.stack([Variable(1.0), 2.0]), ops.array([Variable(1.0), 2.0]))


def test_an_unknown_size_may_be_handed_on():
    x = cornu.Input((3, 4))
    assert ops.reshape(x, (ops.shape(x)[0], -1)).shape == ops.reshape(x, (ops.shape(x)[0], 12)).shape == (None, 12)


@pytest.mark.long
def test_in_64_bits():
    import subprocess
    import sys

    code = ("import cornu, numpy as np; cornu.config.set_floatx('float64'); o = cornu.ops; "
            "assert o.mean([1, 2]).dtype == o.zeros(2).dtype == o.sigmoid(np.arange(3)).dtype == 'float64'; "
            "assert o.arange(3.0).dtype == 'float64' and o.add(o.cast(1, 'float32'), 1.0).dtype == 'float32'")
    subprocess.run([sys.executable, "-c", code], check=True)
