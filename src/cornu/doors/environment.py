"""`cornu enable` and `cornu disable`: a whole environment in which `import keras` means cornu.

What is written is one start-up file, a `.pth` in the environment's site-packages, that runs
`finder.py` at the start of each process. An installed Keras stays as it is.
"""

import os
import pathlib
import sys
import sysconfig

NAME = "cornu_as_keras.pth"


def _file(folder):
    return pathlib.Path(folder or sysconfig.get_path("purelib")) / NAME


def _line():
    """The start-up line; it does nothing where cornu's file is gone."""
    finder = str(pathlib.Path(__file__).with_name("finder.py"))
    return (
        f"import os; _file = {finder!r}; "
        "_names = {'__name__': '_cornu_finder', '__file__': _file}; "
        "os.path.exists(_file) and (exec(compile(open(_file, encoding='utf-8').read(), _file, "
        "'exec'), _names), _names['install']())\n"
    )


def enable(folder: str | None = None) -> tuple[int, str]:
    """Write the start-up file; returns the exit code and what to say.

    Args:
        folder: the site-packages folder; by default that of the running Python.
    """
    file, line = _file(folder), _line()
    try:
        if file.exists() and file.read_text(encoding="utf-8") == line:
            return 0, f"Nothing to do: keras means cornu for {sys.prefix} ({file} is there)."
        scratch = file.with_suffix(f".{os.getpid()}")
        scratch.write_text(line, encoding="utf-8")
        os.replace(scratch, file)
    except OSError as error:
        return 2, (
            f"cornu: can't write {file}: {error.strerror}. Make an environment of your own "
            "(python -m venv FOLDER) and enable it there, or run programs with `cornu run`."
        )
    real = ", in place of the installed Keras, which stays as it is" if _has_keras(file) else ""
    return 0, (
        f"`import keras` and `tensorflow.keras` mean cornu in {sys.prefix} from now on{real}.\n"
        f"Wrote {file}; `cornu disable` removes it."
    )


def disable(folder: str | None = None) -> tuple[int, str]:
    """Remove the start-up file; returns the exit code and what to say."""
    file = _file(folder)
    try:
        file.unlink()
    except FileNotFoundError:
        return 0, f"Nothing to do: {file} is not there."
    except OSError as error:
        return 2, f"cornu: can't remove {file}: {error.strerror}."
    then = "the installed Keras again" if _has_keras(file) else "nothing: no Keras is installed"
    return 0, f"Removed {file}: `import keras` means {then}."


def _has_keras(file):
    return file.with_name("keras").joinpath("__init__.py").exists()
