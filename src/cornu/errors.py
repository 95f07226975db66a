"""Errors on their way out: which layer they come from, what to do about JAX's own, and only the user's own frames."""

import inspect
import os
import re

import jax
import numpy as np

from cornu import frames
from cornu.frames import filtered, user_frames

# What JAX says when a tensor's value is asked for that is not there yet, and what helps.
_HINTS = (
    (jax.errors.TracerBoolConversionError,
     "`if`, `and`, `while` ... need a tensor's value here, and there is none while a model is built or compiled. Use "
     "cornu.ops.where or cornu.ops.cond instead."),
    (jax.errors.TracerArrayConversionError,
     "NumPy was given a tensor that has no values while a model is built or compiled. Use the function of that name in "
     "cornu.ops instead."),
    (jax.errors.ConcretizationTypeError,
     "A Python number is needed here, and a tensor has no value while a model is built or compiled. Use cornu.ops, and "
     "x.shape for sizes."),
)


def note_layer(error, layer, args):
    """Say once, at the innermost layer, where an error came from and with which shapes."""
    if not hasattr(error, "_cornu_noted") and hasattr(error, "add_note"):
        error._cornu_noted = True
        if hint := hint_for(error):
            error.add_note(hint)
        shapes = ", ".join(str(tuple(a.shape)) for a in args if hasattr(a, "shape"))
        name = getattr(layer, "name", "?")
        if not getattr(layer, "takes_text", False) and any(map(_is_text, args)):
            error.add_note("The layer was given strings. If it takes numbers, put a TextVectorization, StringLookup or "
                           "Hashing layer in front of it.")
        if shapes or repr(name) not in str(error):
            error.add_note(f"In layer {name!r} ({type(layer).__name__})" + (f", called on shape {shapes}." if shapes else "."))
    return error


def _is_text(value) -> bool:
    dtype = getattr(value, "dtype", None)
    return dtype == "string" if isinstance(dtype, str) else getattr(dtype, "kind", None) in tuple("OSUT")


def hint_for(error) -> str | None:
    """What helps against one of JAX's errors about missing values."""
    return next((hint for kind, hint in _HINTS if isinstance(error, kind)), None)


# What JAX says about dtypes that an operation does not take, and what that operation takes.
_ACCEPTED = re.compile(r"Accepted dtypes(?: at position \d+)? are subtypes of ([\w, ]+)\.")
_DTYPE_TEXTS = (
    (re.compile(r"Indexer must"), ("integers", "booleans")),
    (re.compile(r"indices must|must be integers|ldexp not supported"), ("integers",)),
    (re.compile(r"not inexact|not compatible with finfo"), ("integers", "floats", "complex numbers")),
    (re.compile(r"complex|only real valued"), ("booleans", "integers", "floats")),
)
_KINDS = {"integer": "integers", "bool": "booleans", "floating": "floats", "complexfloating": "complex numbers",
          "float32": "floats", "float64": "floats"}
_KIND_OF = {"b": "booleans", "i": "integers", "u": "integers", "c": "complex numbers"}
_INTEGERS = ("indices", "key", "repeats")  # arguments that are integers, whatever the others are


def about_dtypes(error, function, args, kwargs):
    """JAX's error about a dtype that an operation does not take, as one that names arguments; None for another error."""
    text = str(error)
    told = _ACCEPTED.search(text)
    accepted = tuple(dict.fromkeys(_KINDS.get(k.strip(), k.strip()) for k in told[1].split(","))) if told else \
        next((kinds for pattern, kinds in _DTYPE_TEXTS if pattern.search(text)), None)
    if accepted is None or any(map(callable, (*args, *kwargs.values()))):
        return None  # of a function that the operation calls the error is the caller's own
    given = inspect.signature(function).bind(*args, **kwargs).arguments
    wrong = {name: dtype for name, dtype in ((n, _dtype_of(x)) for n, x in given.items())
             if dtype is not None and _KIND_OF.get(dtype.kind, "floats") not in accepted}
    narrow = {n: d for n, d in wrong.items() if n in (_INTEGERS if function.__name__ != "ldexp" else ("x2",))}
    wrong = narrow or wrong
    if not wrong:
        return None
    kinds = {dtype.kind for dtype in wrong.values()}
    words = " or ".join([", ".join(accepted[:-1]), accepted[-1]] if accepted[1:] else accepted)
    if "floats" in accepted:
        words = {"c": "real numbers", "b": "numbers"}.get("".join(kinds), words)
    received = ", ".join(f"{name} of dtype {dtype.name}" for name, dtype in wrong.items())
    dtype = "int32" if "integers" in accepted else "float32"
    remedy = "real(x) or cornu.ops.abs(x)" if words == "real numbers" else f"cast(x, '{dtype}')"
    return type(error)(f"{function.__name__} takes {words}{' there' if narrow else ''}. Received: {received}.\n"
                       f"Change that first, as with cornu.ops.{remedy}.")


def _dtype_of(x):
    """The dtype of an array, a number, or a list of numbers; None for anything else."""
    x = getattr(x, "raw", x)
    if isinstance(x, (bool, int, float, complex, list, tuple)):
        try:
            x = np.asarray(x)
        except (TypeError, ValueError):
            return None
    dtype = getattr(x, "dtype", None)
    return dtype if isinstance(dtype, np.dtype) and dtype.kind in "biufcV" else None


def explained(error, what: str):
    """One of JAX's errors about missing values as a ValueError that says what to do; any other error as it is."""
    hint = hint_for(error)
    if hint is None:
        return error
    return ValueError(f"{what}: {hint}").with_traceback(error.__traceback__)


OUT_OF_MEMORY = "RESOURCE_EXHAUSTED", "Out of memory", "out of memory"


def out_of_memory(error, what: str):
    """A MemoryError in the place of one that says that the device has no memory; any other error as it is."""
    if isinstance(error, MemoryError) or not any(text in str(error) for text in OUT_OF_MEMORY):
        return error
    first = str(error).splitlines()[0]
    return MemoryError(f"{what} does not fit into memory. Nothing is changed. XLA says: {first:.200}").with_traceback(error.__traceback__)


def in_layer(error, layer, args):
    """The error with its note, and without the library's own frames."""
    error = out_of_memory(error, f"A call of layer {getattr(layer, 'name', '?')!r}")
    return user_frames(note_layer(error, layer, args))


def shortened(error):
    """An error of a function that a compiled program called, with the user's lines of the traceback in XLA's message only."""
    first, *lines = str(error).splitlines()
    own = [line for line in lines if line.lstrip().startswith("File ") and "<frozen" not in line
           and not any(f"{os.sep}{package}{os.sep}" in line for package in (*frames.LIBRARY, "site-packages"))]
    return type(error)("\n".join([first.partition(": Traceback")[0] + ":", *own[-3:], *lines[-1:]])) if lines else error


def filter_constructor(cls) -> None:
    """Let the errors of a class of the library's own leave its constructor and its calls without the library's frames."""
    if cls.__module__.partition(".")[0] == "cornu":
        for name in ("__init__", "__call__", "update_state") if not hasattr(cls, "call") else ("__init__",):  # layers see to theirs
            if name in vars(cls):
                setattr(cls, name, filtered(vars(cls)[name]))
