"""Ctrl-C that Python drops, since it came while a finalizer or a callback of the garbage collector ran."""

import sys
import threading


class _Interrupts:
    """Within it, in the main thread, `raise_dropped` raises a Ctrl-C that was dropped."""

    def __init__(self):
        self._depth, self.dropped, self._hook = 0, False, None

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            if self._depth == 0:
                self.dropped, self._hook, sys.unraisablehook = False, sys.unraisablehook, self._note
            self._depth += 1
        return self

    def __exit__(self, kind, error, trace):
        if threading.current_thread() is threading.main_thread():
            self._depth -= 1
            if self._depth == 0:
                sys.unraisablehook, self._hook = self._hook or sys.__unraisablehook__, None
                if error is None:
                    self.raise_dropped()

    def _note(self, unraisable):
        if unraisable.exc_type is KeyboardInterrupt:
            self.dropped = True
        else:
            (self._hook or sys.__unraisablehook__)(unraisable)

    def raise_dropped(self):
        """Let a dropped Ctrl-C take effect."""
        if self.dropped and threading.current_thread() is threading.main_thread():
            self.dropped = False
            raise KeyboardInterrupt


interrupts = _Interrupts()
