"""Ctrl-C that waits for what must be done whole, such as writing back the state of a step."""

import contextlib
import signal
import threading


class _Interrupts:
    """Within it, Ctrl-C waits while `holding`."""

    def __init__(self):
        self._depth, self.holding, self.pending, self._before = 0, False, False, None

    def __enter__(self):
        self._depth += 1
        if self._depth == 1 and threading.current_thread() is threading.main_thread() \
                and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *error):
        self._depth -= 1
        if self._depth == 0 and self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None

    def _handle(self, number, frame):
        if self.holding:
            self.pending = True
        else:
            raise KeyboardInterrupt

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
