"""The names of Keras 2's optimizers, which Keras 3 has no more: each says which class to use."""


class Optimizer:
    """Always an ImportError that names the class of today.

    >>> SGD(0.1)
    Traceback (most recent call last):
    ImportError: optimizers.legacy.SGD is gone with Keras 2. Use optimizers.SGD, with a schedule in place of decay.
    """

    def __init__(self, *args, **kwargs):
        name = type(self).__name__
        raise ImportError(f"optimizers.legacy.{name} is gone with Keras 2. Use optimizers.{name}, with a schedule in place of decay.")


class Adagrad(Optimizer): ...
class Adam(Optimizer): ...
class Ftrl(Optimizer): ...
class RMSprop(Optimizer): ...
class SGD(Optimizer): ...
