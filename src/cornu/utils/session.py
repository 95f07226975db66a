"""The state of the process, and a dict of settings that can be frozen."""

import gc
import json

from cornu import dtypes, frames, names, random


@frames.filtered
def clear_session(free_memory: bool = True) -> None:
    """Start anew: automatic names count from the beginning, the global seed and dtype policy are forgotten.

    Args:
        free_memory: whether to collect garbage at once.

    >>> clear_session(free_memory=False)
    """
    names.reset()
    random.reset_global_seed()
    dtypes._global[0] = None
    if free_memory:
        gc.collect()


class Config(dict):
    """Settings as attributes and as keys; `freeze()` makes changes an error.

    >>> settings = Config(width=3)
    >>> settings.width = 4
    >>> settings.freeze().as_dict()
    {'width': 4}
    """

    __slots__ = ("_frozen",)

    def __init__(self, **kwargs):
        object.__setattr__(self, "_frozen", False)
        super().__init__(**kwargs)

    frozen = property(lambda self: self._frozen)

    def freeze(self) -> "Config":
        """Refuse changes from now on."""
        object.__setattr__(self, "_frozen", True)
        return self

    def unfreeze(self) -> "Config":
        """Allow changes again."""
        object.__setattr__(self, "_frozen", False)
        return self

    def as_dict(self) -> dict:
        """A plain dict of the settings."""
        return dict(self)

    def to_json(self) -> str:
        """The settings as JSON."""
        return json.dumps(dict(self))

    def _changing(self) -> None:
        if self._frozen:
            raise ValueError("This config is frozen, so its settings cannot be changed. Call unfreeze() first.")

    def __getattr__(self, name):
        if name in self:
            return self[name]
        raise AttributeError(f"The config has no setting {name!r}; it has {', '.join(map(repr, self)) or 'none'}.")

    def __setattr__(self, name, value):
        self[name] = value

    def get(self, keyname, value=None):
        """A setting, or `value` where there is none of that name."""
        return super().get(keyname, value)

    def __setitem__(self, key, value):
        self._changing()
        super().__setitem__(key, value)

    def __delitem__(self, key):
        self._changing()
        super().__delitem__(key)

    def pop(self, *args):
        self._changing()
        return super().pop(*args)

    def update(self, *args, **kwargs):
        self._changing()
        super().update(*args, **kwargs)

    def __repr__(self):
        return f"<Config {dict(self)!r}>"
