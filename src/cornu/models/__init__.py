"""Models: Sequential, functional and subclassed."""

from cornu.models.cloning import clone_model, model_from_json
from cornu.models.graph import Function
from cornu.models.model import Functional, Model
from cornu.models.sequential import Sequential


def __getattr__(name: str):
    if name in ("load_model", "save_model"):
        from cornu import saving

        return getattr(saving, name)
    raise AttributeError(f"module 'cornu.models' has no attribute {name!r}")


__all__ = ["Functional", "Model", "Sequential", "clone_model", "load_model", "model_from_json", "save_model"]
