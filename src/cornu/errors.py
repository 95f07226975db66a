"""Errors on their way out: which layer they come from, and only the user's own frames."""

import types

from cornu import config


def note_layer(error, layer, args):
    """Say once, at the innermost layer, where an error came from and with which shapes."""
    if not hasattr(error, "_cornu_noted") and hasattr(error, "add_note"):
        error._cornu_noted = True
        shapes = ", ".join(str(tuple(a.shape)) for a in args if hasattr(a, "shape"))
        error.add_note(f"In layer {getattr(layer, 'name', '?')!r} ({type(layer).__name__})"
                       + (f", called on shape {shapes}." if shapes else "."))
    return error


def in_layer(error, layer, args):
    """The error with its note, and without the library's own frames."""
    return user_frames(note_layer(error, layer, args))


def user_frames(error):
    """The error with only the user's frames in its traceback, when filtering is on."""
    if config.is_traceback_filtering_enabled():
        kept, trace = [], error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_globals.get("__name__", "").partition(".")[0] not in ("cornu", "jax", "jaxlib"):
                kept.append(trace)
            trace = trace.tb_next
        rebuilt = None
        for frame in reversed(kept):
            rebuilt = types.TracebackType(rebuilt, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
        error.__traceback__ = rebuilt
    return error
