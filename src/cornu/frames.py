"""Which frames of the stack are the user's own: warnings point there, and errors show only those."""

import contextvars
import functools
import inspect
import re
import sys
import types
import warnings

from cornu import arguments

LIBRARY = ("cornu", "jax", "jaxlib")
# What stands between two frames of the library, and is nobody's own.
_BETWEEN = ("contextlib", "functools", "threading", "concurrent")

_UNEXPECTED = re.compile(r"unexpected keyword argument '(\w+)'")
_filtering = True
# Where a thread of the library's own, which no user's line has called, leaves its warnings for who started it.
_left: contextvars.ContextVar = contextvars.ContextVar("cornu_left_warnings", default=None)


def _package(frame) -> str:
    return frame.f_globals.get("__name__", "").partition(".")[0]


def is_users(frame) -> bool:
    """Whether a frame runs other text than the library's."""
    return _package(frame) not in LIBRARY


def own_traceback(trace) -> types.TracebackType | None:
    """A traceback without the library's frames."""
    kept = []
    while trace is not None:
        if is_users(trace.tb_frame):
            kept.append(trace)
        trace = trace.tb_next
    rebuilt = None
    for part in reversed(kept):
        rebuilt = types.TracebackType(rebuilt, part.tb_frame, part.tb_lasti, part.tb_lineno)
    return rebuilt


def filter_tracebacks(on: bool) -> None:
    """Whether errors hide the library's own frames from now on."""
    global _filtering
    _filtering = on


def filters_tracebacks() -> bool:
    """Whether errors hide the library's own frames."""
    return _filtering


def user_frames(error):
    """The error, and those that led to it, with only the user's frames in their tracebacks, when filtering is on."""
    if _filtering:
        seen, part = set(), error
        while part is not None and id(part) not in seen:
            seen.add(id(part))
            part.__traceback__ = own_traceback(part.__traceback__)
            part = part.__cause__ or (None if part.__suppress_context__ else part.__context__)
        if notes := getattr(error, "__notes__", None):  # JAX's remark on its own filtering says nothing to the user
            error.__notes__ = [note for note in notes if not note.startswith("-----")]
    return error


def filtered(fn):
    """Decorator for public functions: errors leave them without the library's own frames.

    A bare `raise` at the end, since any other one would put this function's own frame into the traceback again.
    """

    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        try:
            return fn(*args, **kwargs)
        except Exception as error:
            user_frames(_with_todays_name(error, fn))
            raise

    return wrapper


def _with_todays_name(error, fn):
    """A TypeError about an argument of older Kerases says what that is called today."""
    if isinstance(error, TypeError) and (told := _UNEXPECTED.search(str(error))):
        name = arguments.RENAMED.get(told[1])
        if name in inspect.signature(fn).parameters:
            error.args = (f"{error}: {told[1]}= is {name}= today.",)
    return error


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the user's own line: the innermost one that called the library, through whatever."""
    level, frame = 2, sys._getframe(1)
    while frame is not None and _package(frame) in (*LIBRARY, *_BETWEEN):
        level += not _is_importing(frame)
        frame = frame.f_back
    if frame is None and _left.get() is not None:
        _left.get().append((message, category))
    else:
        warnings.warn(message, category, stacklevel=2 if frame is None else level)


def leave_warnings(place: list) -> None:
    """Let this context's warnings that no user's line has called for be put into `place`, for `pass_on`."""
    _left.set(place)


def pass_on(place: list) -> None:
    """Give the warnings that another thread has left."""
    while place:
        warn(*place.pop(0))


def _is_importing(frame) -> bool:
    """Whether `stacklevel` passes a frame over without counting it."""
    return "importlib" in frame.f_code.co_filename and "_bootstrap" in frame.f_code.co_filename
