"""Python's import system asks here first: `keras` and `tensorflow.keras` are answered with cornu.

This file is also run by itself, before cornu is imported and whether or not it will ever be: it
needs the standard library only.
"""

import importlib
import importlib.machinery
import os
import sys

KERAS_VERSION = "3.15.1"  # of the Keras whose interface cornu has


class Finder:
    """A finder for `sys.meta_path`; all names but those of keras and tensorflow go past it."""

    stands_for_keras = True  # also true of a finder that was made from another copy of this file

    def find_spec(self, name, path=None, target=None):
        """The spec of a module of keras or tensorflow; None for all others."""
        if name.partition(".")[0] in ("keras", "tensorflow"):
            # Always answered here: a real Keras that is installed too must never mix with cornu.
            return importlib.import_module("cornu.doors.answers").find_spec(name)
        return None

    def find_distributions(self, context=None):
        """What `importlib.metadata.version("keras")` reads; lists of all packages leave it out."""
        if (getattr(context, "name", None) or "").lower() == "keras":
            yield _distribution()

    def invalidate_caches(self):
        """Nothing is kept."""


def _distribution():
    from importlib import metadata

    class Keras(metadata.Distribution):
        """The metadata of the Keras that cornu stands for."""

        def read_text(self, filename):
            lines = "Metadata-Version: 2.1", "Name: keras", f"Version: {KERAS_VERSION}"
            return "\n".join(lines) + "\n" if filename == "METADATA" else None

        def locate_file(self, path):
            return os.path.join(os.path.dirname(__file__), path)

    return Keras()


def is_installed() -> bool:
    """Whether `keras` means cornu in this process."""
    return any(getattr(finder, "stands_for_keras", False) for finder in sys.meta_path)


def install() -> None:
    """From now on `keras` and `tensorflow.keras` are cornu in this process."""
    if not is_installed():
        sys.meta_path.insert(0, Finder())


def forget_another_keras() -> bool:
    """Drop a Keras that was imported before from `sys.modules`; True where there was one."""
    if "keras" not in sys.modules or getattr(sys.modules["keras"], "is_cornu", False):
        return False
    for name in [n for n in sys.modules if n == "keras" or n.startswith("keras.")]:
        del sys.modules[name]
    return True


def hand_on() -> None:
    """Processes that are started from here get the finder too, through PYTHONPATH."""
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "startup")
    path = os.environ.get("PYTHONPATH", "")
    if here not in path.split(os.pathsep):
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [here, path]))
