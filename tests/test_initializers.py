"""Initializers give Keras's numbers; activations, regularizers and constraints its values; all have its configs."""

import random as python_random

import jax.numpy as jnp
import numpy as np
import pytest

import cornu
from cornu import activations, constraints, initializers, random, regularizers

RANDOM = {"GlorotUniform": {}, "GlorotNormal": {}, "HeUniform": {}, "HeNormal": {}, "LecunUniform": {},
          "LecunNormal": {}, "RandomNormal": {"stddev": 2.0}, "RandomUniform": {"minval": 1.0, "maxval": 2.0},
          "TruncatedNormal": {},
          "Orthogonal": {"gain": 2.0}, "VarianceScaling": {"scale": 2.0, "mode": "fan_out", "distribution": "uniform"}}
CONSTANT = {"Zeros": {}, "Ones": {}, "Constant": {"value": 3.0}, "Identity": {"gain": 2.0}}
REGULARIZERS = {"L1": {"l1": 0.1}, "L2": {"l2": 0.1}, "L1L2": {"l1": 0.1, "l2": 0.2},
                "OrthogonalRegularizer": {"factor": 0.1, "mode": "columns"}}
CONSTRAINTS = {"MaxNorm": {"max_value": 1.5}, "MinMaxNorm": {"min_value": 0.5, "rate": 0.7}, "NonNeg": {},
               "UnitNorm": {"axis": 1}}
W = np.array([[1.0, -2.0, 0.5], [3.0, 0.0, -1.0]], "float32")


def keras():
    import keras

    return keras


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("shape", [(2, 3), (3, 3, 2, 4)])
def test_random_numbers_are_those_of_keras(name, shape):
    ours = getattr(initializers, name)(seed=3, **RANDOM[name])(shape)
    theirs = getattr(keras().initializers, name)(seed=3, **RANDOM[name])(shape)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", CONSTANT)
def test_constants_are_those_of_keras(name):
    modules = initializers, keras().initializers
    ours, theirs = (getattr(m, name)(**CONSTANT[name])((2, 3), "bfloat16") for m in modules)
    assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs)


@pytest.mark.parametrize("side", ["real", "imag"])
@pytest.mark.parametrize("window, scaling, periodic", [
    ("hann", "density", False), (None, "spectrum", True), ("hamming", "spectrum", True)])
def test_stft_is_that_of_keras(side, window, scaling, periodic):
    ours, theirs = (m.STFT(side, window, scaling, periodic)((6, 1, 5)) for m in (initializers, keras().initializers))
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("axes", [((0,), (1,)), ((0, 1), (2,))])
def test_fans_over_given_axes_are_those_of_keras(axes):
    ours, theirs = (m.HeNormal(1, *axes)((3, 4, 5)) for m in (initializers, keras().initializers))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_without_a_seed_python_decides():
    draws = []
    for module in (initializers, keras().initializers):
        python_random.seed(42)
        draws.append(np.asarray(module.GlorotUniform()((2, 3))))
    np.testing.assert_array_equal(*draws)


def test_a_seed_generator_gives_new_numbers_each_time():
    draw = initializers.HeNormal(random.SeedGenerator(1))
    assert not np.array_equal(draw((2, 2)), draw((2, 2)))
    assert np.array_equal(initializers.HeNormal(1)((2, 2)), initializers.HeNormal(1)((2, 2)))


@pytest.mark.parametrize("area, table", [("initializers", RANDOM), ("initializers", CONSTANT),
                                         ("regularizers", REGULARIZERS), ("constraints", CONSTRAINTS)])
def test_configs_go_both_ways(area, table):
    for name, arguments in table.items():
        ours, theirs = (getattr(getattr(m, area), name)(**arguments) for m in (cornu, keras()))
        written, read = getattr(cornu, area).serialize(ours), getattr(keras(), area).serialize(theirs)
        assert {k: v for k, v in written.items() if k != "config"} == {k: v for k, v in read.items() if k != "config"}
        assert getattr(cornu, area).deserialize(read).get_config().keys() == written["config"].keys()
        for key, value in getattr(keras(), area).deserialize(written).get_config().items():
            assert value == pytest.approx(written["config"][key])


@pytest.mark.parametrize("name", REGULARIZERS)
def test_penalties_are_those_of_keras(name):
    ours, theirs = (getattr(m.regularizers, name)(**REGULARIZERS[name])(jnp.asarray(W)) for m in (cornu, keras()))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_constrained_weights_are_those_of_keras(name):
    ours, theirs = (getattr(m.constraints, name)(**CONSTRAINTS[name])(jnp.asarray(W)) for m in (cornu, keras()))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


ACTIVATIONS = sorted(set(activations.__dict__) & {f.__name__ for f in activations._FUNCTIONS})


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_those_of_keras(name):
    arguments = {"glu": (np.float32([[-2, -1, 1, 3]]),), "threshold": (W, 0.2, 7.0)}.get(name, (W,))
    if name != "sparsemax":  # Keras's results do not sum to 1
        ours, theirs = (getattr(m.activations, name)(*map(np.asarray, arguments)) for m in (cornu, keras()))
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    assert activations.get(name) is getattr(activations, name)
    assert activations.deserialize(activations.serialize(activations.get(name))) is activations.get(name)


@pytest.mark.parametrize("arguments", [{"negative_slope": 0.1}, {"max_value": 2.0}, {"threshold": 0.6},
                                       {"negative_slope": 0.1, "max_value": 2.0, "threshold": 0.6}])
def test_relu_with_arguments_is_that_of_keras(arguments):
    ours, theirs = (m.activations.relu(W, **arguments) for m in (cornu, keras()))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_sparsemax_is_the_nearest_point_of_the_simplex():
    points = np.random.RandomState(0).dirichlet(np.ones(3), 4000)
    found = np.asarray(activations.sparsemax(W))
    assert np.allclose(found.sum(-1), 1) and (found >= 0).all()
    assert (np.square(found - W).sum(-1) <= np.square(points[:, None] - W).sum(-1).min(0) + 1e-6).all()


@pytest.mark.parametrize("area, identifier, name", [
    ("initializers", "he_normal", "HeNormal"), ("initializers", "HeNormal", "HeNormal"),
    ("initializers", "normal", "RandomNormal"),
    ("initializers", "zero", "Zeros"), ("initializers", "IdentityInitializer", "Identity"),
    ("initializers", initializers.Ones, "Ones"),
    ("regularizers", "l2", "L2"), ("regularizers", "l1l2", "L1L2"),
    ("regularizers", "OrthogonalRegularizer", "OrthogonalRegularizer"),
    ("constraints", "max_norm", "MaxNorm"), ("constraints", "UnitNorm", "UnitNorm"),
    ("constraints", constraints.NonNeg(), "NonNeg")])
def test_what_users_pass(area, identifier, name):
    assert type(getattr(cornu, area).get(identifier)).__name__ == name


def test_none_and_arrays():
    assert initializers.get(None) is regularizers.get(None) is constraints.get(None) is None
    assert activations.get(None) is activations.linear
    assert np.array_equal(initializers.get(W)((2, 3)), W)
    assert np.array_equal(cornu.Variable("ones", shape=(2,)), [1, 1])


@pytest.mark.parametrize("call, words", [
    (lambda: activations.get("rellu"), "relu"), (lambda: initializers.get("he_norma"), "he_normal"),
    (lambda: initializers.get(3), "name, a callable"), (lambda: initializers.get(W)((3, 2)), "shape"),
    (lambda: initializers.HeNormal("a"), "seed"), (lambda: initializers.VarianceScaling(mode="x"), "fan_in"),
    (lambda: initializers.Orthogonal()((3,)), "two axes"), (lambda: initializers.Identity()((2, 2, 2)), "matrices"),
    (lambda: initializers.STFT(window="x"), "window"), (lambda: regularizers.L1(-1), "l1"),
    (lambda: regularizers.OrthogonalRegularizer()(W[0]), "matrices"), (lambda: constraints.MinMaxNorm(rate=2), "rate")])
def test_errors_say_what_is_wrong(call, words):
    with pytest.raises(ValueError, match=words):
        call()
