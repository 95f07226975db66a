"""The same seed gives the numbers of Keras; seeds count on; symbolic tensors are taken."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cornu
from cornu import KerasTensor, functional, lowering, random

DRAWS = {
    "normal": ((2, 3), 1.0, 2.0), "uniform": ((2, 3), -1.0, 2.0), "truncated_normal": ((2, 3), 1.0, 2.0),
    "randint": ((2, 3), 0, 100), "categorical": (np.float32([[1, 2, 3], [3, 0, 0]]), 4),
    "dropout": (np.ones((3, 4), "float32"), 0.4), "shuffle": (np.arange(10),), "gamma": ((2, 3), 2.0),
    "binomial": ((2, 3), 10.0, 0.4), "beta": ((2, 3), 2.0, 3.0)}


def keras():
    import keras

    return keras


@pytest.mark.parametrize("name", DRAWS)
def test_the_numbers_are_those_of_keras(name):
    ours, theirs = (getattr(m.random, name)(*DRAWS[name], seed=7) for m in (cornu, keras()))
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", DRAWS)
def test_a_generator_counts_on_as_in_keras(name):
    ours, theirs = (m.random.SeedGenerator(5) for m in (cornu, keras()))
    for _ in range(2):
        drawn = [getattr(m.random, name)(*DRAWS[name], seed=s) for m, s in ((cornu, ours), (keras(), theirs))]
        np.testing.assert_array_equal(*drawn)
    assert list(ours.state.value) == [5, 2]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_other_dtypes_are_those_of_keras(dtype):
    ours, theirs = (m.random.normal((5,), dtype=dtype, seed=1) for m in (cornu, keras()))
    assert ours.dtype == dtype and np.array_equal(ours, theirs)


def test_symbolic_tensors_are_taken():
    x = KerasTensor((None, 4))
    assert random.dropout(x, 0.5).shape == random.shuffle(x).shape == (None, 4)
    assert random.categorical(x, 3).shape == (None, 3)


def test_a_model_of_dropout_draws_anew():
    x = cornu.Input((50,))
    model = cornu.Model(x, random.dropout(x, 0.5, seed=random.SeedGenerator(1)))
    data = np.ones((1, 50), "float32")
    assert not np.array_equal(model(data), model(data))


def test_under_jit_the_state_comes_out():
    seed = random.SeedGenerator(1)
    drawn, (state,) = jax.jit(functional(lambda: random.normal((2,), seed=seed), [seed.state]))([seed.state.value])
    assert list(state) == [1, 1] and np.array_equal(drawn, random.normal((2,), seed=1))


def test_everything_dropped():
    assert not random.dropout(np.ones(4, "float32"), 1.0, seed=1).any()


@pytest.mark.parametrize("call, words", [
    (lambda: random.normal((2,), dtype="int32"), "float"), (lambda: random.randint((2,), 0, 3, dtype="float32"), "integer"),
    (lambda: random.SeedGenerator(-1), "seed"), (lambda: random.normal((2,), seed="a"), "seed"),
    (lambda: random.normal((None,)), "known")])
def test_errors_say_what_is_wrong(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("shape", [(), (1,), (1000,), (7, 11, 13), (3, 3, 3, 16), (2, 0)], ids=str)
def test_few_numbers_drawn_without_compiling_are_those_of_jax(shape):
    key = jnp.array([1337, 3], "uint32")
    for low, high in ((0.0, 1.0), (-0.0811, 0.0811), (-1.3, 2.7)):
        assert np.array_equal(random.uniform(shape, low, high, "float32", key), jax.random.uniform(key, shape, "float32", low, high))
    for dtype in ("float32", "bfloat16"):
        plain = jax.random.normal(key, shape, dtype) * jnp.asarray(0.3, dtype) + jnp.asarray(0.5, dtype)
        assert np.array_equal(random.normal(shape, 0.5, 0.3, dtype, key), plain)
        plain = jax.random.truncated_normal(key, -2.0, 2.0, shape, dtype) * jnp.asarray(0.3, dtype)
        assert np.array_equal(random.truncated_normal(shape, 0.0, 0.3, dtype, key), plain)


@pytest.mark.parametrize("shape", [(), (3,), (0, 4), (70, 2, 3)])
@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1])
def test_the_generator_written_here_gives_the_bits_of_jax(shape, seed):
    key = np.array([seed, seed // 3], "uint32")
    expected = jax.random.uniform(jnp.asarray(key), shape)
    for found in (lowering.uniform(jnp.asarray(key), shape), lowering.uniform_on_host(key, shape)):
        np.testing.assert_array_equal(found, expected)
    kept = cornu.random.dropout(np.ones(shape, "float32"), 0.3, seed=jnp.asarray(key)) != 0
    np.testing.assert_array_equal(kept, jax.random.bernoulli(jnp.asarray(key), 1 - 0.3, shape))


def test_limits_may_be_arrays_that_are_traced():
    key = jnp.asarray([3, 1], "uint32")
    drawn = jax.jit(lambda low, high: random.uniform((4,), low, high, seed=key))(jnp.zeros(4), jnp.ones(4))
    np.testing.assert_array_equal(drawn, jax.random.uniform(key, (4,)))
