"""Who asks the import system for a module: an import or a look, a script or a package."""

import dis
import sys
import sysconfig


def _frames():
    """The frames above the door's own, innermost first."""
    frame = sys._getframe(1)
    while frame is not None:
        if "cornu.doors" not in frame.f_globals.get("__name__", "") and (
            frame.f_globals.get("__name__") != "_cornu_finder"
        ):
            yield frame
        frame = frame.f_back


def _is_machinery(frame):
    return frame.f_globals.get("__name__", "").startswith("importlib")


def imports() -> bool:
    """Whether a module is being imported; `importlib.util.find_spec` only looks for it."""
    for frame in _frames():
        if not _is_machinery(frame):
            return True
        if frame.f_globals.get("__name__") == "importlib.util":
            return False
    return True


def wants(package: str, part: str) -> bool:
    """Whether who imports the package is after this part of it, or is no installed package.

    `import tensorflow` in an installed package is mostly a question whether TensorFlow is there;
    `import tensorflow.keras` and `from tensorflow import keras` are not, nor is the first where
    one of these stands beside it.
    """
    whole = f"{package}.{part}"
    for frame in _frames():
        if _is_machinery(frame):
            name = frame.f_locals.get("name")
            if isinstance(name, str) and f"{name}.".startswith(f"{whole}."):
                return True
            continue
        installed = _is_installed(frame.f_code.co_filename)
        return not installed or any(
            f"{name}.".startswith(f"{whole}.") or (name == package and part in names)
            for name, names in _imports(frame.f_code)
        )
    return True


def _is_installed(filename):
    folders = {sysconfig.get_path(kind) for kind in ("purelib", "platlib", "stdlib")}
    return any(filename.startswith(folder) for folder in folders if folder) or (
        "site-packages" in filename or "dist-packages" in filename
    )


def _imports(code):
    """The imports in a piece of code: pairs of a module and the names that are taken from it."""
    before = None
    for instruction in dis.get_instructions(code):
        if instruction.opname == "IMPORT_NAME":
            yield instruction.argval, before if isinstance(before, tuple) else ()
        before = instruction.argval if instruction.opname == "LOAD_CONST" else before
