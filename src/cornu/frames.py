"""Which frames of the stack are the user's own: warnings point there, and errors show only those."""

import contextvars
import sys
import types
import warnings

LIBRARY = ("cornu", "jax", "jaxlib")
# What stands between two frames of the library, and is nobody's own.
_BETWEEN = ("contextlib", "functools", "threading", "concurrent")

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
