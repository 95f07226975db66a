"""Ctrl-C that waits for what must be done whole, such as writing back the state of a step, and is never lost."""

import contextlib
import signal
import sys
import threading


class _Interrupts:
    """Within it, Ctrl-C waits while `holding`.

    Where it was raised inside a finalizer or a callback of the garbage collector, Python drops the exception: it then
    waits too, and takes effect at the end of the next step.
    """

    def __init__(self):
        self._depth, self.holding, self.pending, self._hook = 0, False, False, None

    def __enter__(self):
        if self._depth == 0 and signal.getsignal(signal.SIGINT) is signal.default_int_handler \
                and threading.current_thread() is threading.main_thread():
            self.pending, self._hook, sys.unraisablehook = False, sys.unraisablehook, self._dropped
            signal.signal(signal.SIGINT, self._handle)
        self._depth += 1
        return self

    def __exit__(self, kind, error, trace):
        self._depth -= 1
        if self._depth == 0 and self._hook is not None:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            sys.unraisablehook, self._hook = self._hook, None
            if self.pending and error is None:
                self.release()

    def _handle(self, number, frame):
        if self.holding:
            self.pending = True
        else:
            raise KeyboardInterrupt

    def _dropped(self, unraisable):
        if unraisable.exc_type is KeyboardInterrupt:
            self.pending = True
        else:
            (self._hook or sys.__unraisablehook__)(unraisable)

    def release(self):
        """Let the Ctrl-C that waited take effect."""
        self.pending = False
        raise KeyboardInterrupt

    @contextlib.contextmanager
    def waiting(self):
        """Let Ctrl-C wait for the end of the block, which changes several variables as one action."""
        with self:
            before, self.holding = self.holding, True
            try:
                yield
            finally:
                self.holding = before
                if self.pending and not before:
                    self.release()


interrupts = _Interrupts()
