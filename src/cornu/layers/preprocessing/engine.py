"""What layers that prepare data hold as `self.backend`: all operations in one place, for layers derived from them."""

from cornu import config, dtypes, ops, random
from cornu.ops import image, linalg, math, nn, numpy
from cornu.variable import Variable


class Engine:
    """The operations, and their groups `numpy`, `random`, `image`, `nn`, `linalg` and `math`.

    Keras's layers choose TensorFlow's operations inside `tf.data`; here there is one engine, so that `set_backend`
    only takes its name.
    """

    name = "jax"
    numpy, random, image, nn, linalg, math = numpy, random, image, nn, linalg, math
    core = ops
    Variable = Variable
    floatx, epsilon = staticmethod(config.floatx), staticmethod(config.epsilon)
    standardize_dtype = staticmethod(dtypes.standardize)

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(ops, name)

    def set_backend(self, backend: str) -> None:
        """Choose the engine. Raises ValueError for any but "jax"."""
        if backend != self.name:
            raise ValueError(f"The engine of cornu is 'jax'; there is no other. Received: {backend!r}")

    def reset(self) -> None:
        """Go back to the engine of the library, which it never leaves."""


ENGINE = Engine()
