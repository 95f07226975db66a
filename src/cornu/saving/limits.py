"""How long a file may take to open: what its config asks for is not known before it is built."""

import contextlib
import ctypes
import threading
import time

from cornu import config
from cornu.saving.view import FileError

_PER_LAYER = 0.04  # seconds, for each layer or call that a config lists; a large one takes a quarter of that


class _OutOfTime(BaseException):
    """Ends the work, as Ctrl-C would: no handler of errors on the way keeps it."""


@contextlib.contextmanager
def in_time(shown: str, entries: int):
    """End the block with a FileError when it has computed too long for a config of so many layers.

    The time is that of this thread's own computing where the system tells it, so that a busy machine refuses nothing.

    Args:
        shown: the file's name for the error.
        entries: how many layers and calls the config lists.
    """
    limit = config.opening_seconds()
    if limit is None:
        yield
        return
    limit += _PER_LAYER * entries
    watch = _Watch(limit)
    try:
        try:
            yield
        finally:
            watch.stop()
    except _OutOfTime:
        raise FileError(f"{shown}: its config of {entries} layers and calls is not built after {limit:.0f} seconds of computing, "
                        "many times what a model of that size takes.\nWhere you know the file, "
                        "config.set_opening_seconds(None) sets no limit.") from None


class _Watch:
    """A thread that raises `_OutOfTime` in the one that made it, when that has computed so many seconds."""

    def __init__(self, seconds: float):
        self.thread, self.lock, self.over = threading.get_ident(), threading.Lock(), threading.Event()
        self.clock = time.pthread_getcpuclockid(self.thread) if hasattr(time, "pthread_getcpuclockid") else None
        self.end = self.now() + seconds
        threading.Thread(target=self.watch, daemon=True, name="cornu-watch").start()

    def now(self) -> float:
        return time.monotonic() if self.clock is None else time.clock_gettime(self.clock)

    def watch(self) -> None:
        while not self.over.wait(0.1):
            with self.lock:
                if not self.over.is_set() and self.now() > self.end:
                    self.raise_there(_OutOfTime)  # again and again: where it meets a finalizer, it is lost

    def stop(self) -> None:
        with self.lock:
            self.over.set()
        self.raise_there(None)  # takes back what has not arrived

    def raise_there(self, kind) -> None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.thread), kind and ctypes.py_object(kind))
