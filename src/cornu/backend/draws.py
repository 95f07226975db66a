"""The functions of Keras's older backend that draw random numbers."""

from cornu import config, ops, random
from cornu import variable as variables
from cornu.backend.arrays import variable
from cornu.symbolic import op

_generators: dict = {}


def _seed(seed):
    """A generator for each seed, so that calls with one seed differ, in the same way in each run.

    Inside a traced function there is the global generator, whose state the function carries along.
    """
    if seed is None or variables.in_scope():
        return None
    return _generators.setdefault(seed, random.SeedGenerator(seed))


def random_normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    """Draw from the normal distribution."""
    return random.normal(shape, mean, stddev, dtype, _seed(seed))


def random_uniform(shape, minval=0.0, maxval=1.0, dtype=None, seed=None):
    """Draw evenly from [minval, maxval)."""
    return random.uniform(shape, minval, maxval, dtype, _seed(seed))


def random_bernoulli(shape, p=0.0, dtype=None, seed=None):
    """Draw ones with probability p, and zeros."""
    drawn = random.uniform(shape, 0.0, 1.0, "float32", _seed(seed))
    return ops.cast(drawn < p, dtype or config.floatx())


random_binomial = random_bernoulli


def truncated_normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    """Draw from the normal distribution, anew where it is beyond two standard deviations."""
    return random.truncated_normal(shape, mean, stddev, dtype, _seed(seed))


def random_normal_variable(shape, mean, scale, dtype=None, name=None, seed=None):
    """A Variable drawn from the normal distribution of standard deviation `scale`."""
    return variable(random_normal(shape, mean, scale, dtype, seed), dtype, name)


def random_uniform_variable(shape, low, high, dtype=None, name=None, seed=None):
    """A Variable drawn evenly from [low, high)."""
    return variable(random_uniform(shape, low, high, dtype, seed), dtype, name)


@op
def _dropped(x, level, noise_shape, seed):
    return random.dropout(x, level, noise_shape, seed)


def dropout(x, level, noise_shape=None, seed=None):
    """x with a share `level` of its values set to 0 and the others divided by 1 - level."""
    return _dropped(x, level, noise_shape, _seed(seed))


__all__ = [
    "dropout", "random_bernoulli", "random_binomial", "random_normal", "random_normal_variable",
    "random_uniform", "random_uniform_variable", "truncated_normal",
]
