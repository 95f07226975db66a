"""The names under which old scripts ask for the optimizers of Keras 2: the rules are the same as today's."""

from cornu.optimizers.adam import Adam, Adamax, Nadam
from cornu.optimizers.adaptive import Adadelta, Adagrad, Ftrl, RMSprop
from cornu.optimizers.optimizer import Optimizer
from cornu.optimizers.sgd import SGD

__all__ = ["Adadelta", "Adagrad", "Adam", "Adamax", "Ftrl", "Nadam", "Optimizer", "RMSprop", "SGD"]
