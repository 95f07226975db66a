"""Models: Sequential, functional and subclassed."""

from cornu.models.model import Functional, Model
from cornu.models.sequential import Sequential

__all__ = ["Functional", "Model", "Sequential"]
