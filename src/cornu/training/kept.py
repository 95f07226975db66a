"""How many executables a process keeps: of all steps of all models, those that were used least recently go.

Batches of ever other lengths would otherwise fill the memory with executables; one that is needed again is compiled anew, or
read from the disk.
"""

import itertools
import threading
import weakref

MOST = 256  # executables of a process; one of a large model takes some megabytes
_tick = itertools.count().__next__
_steps: weakref.WeakSet = weakref.WeakSet()
_lock = threading.Lock()


class Used(dict):
    """When each executable of a step was last used, by its key."""

    def now(self, key) -> None:
        self[key] = _tick()


def keep(step, key) -> None:
    """Take note of a step's new executable; the ones that are too many are forgotten, by `step.forget(key)`."""
    with _lock:
        _steps.add(step)
        step.used.now(key)
        known = [(when, one, k) for one in list(_steps) for k, when in list(one.used.items())]
        known.sort(key=lambda item: item[0])
        for _, one, k in known[:max(0, len(known) - MOST)]:
            one.forget(k)
