"""Items taken from an iterator by a thread, ahead of whoever asks for them."""

import contextvars
import os
import queue
import threading

from cornu import frames

_END = object()
# Where threads wait for more work. Each new one, at every epoch, would take its memory from the system: an epoch of a perceptron
# 0.25 s instead of 0.22 until, after some ten, the allocator has no further heap to give. (Those of
# a ThreadPoolExecutor would keep Python from ending while the user's iterator hangs.)
_idle: list = []
getattr(os, "register_at_fork", lambda **_: None)(after_in_child=_idle.clear)  # no thread lives on in a child


def _begin(work) -> threading.Event:
    """Run `work()` on a thread that is idle, or on a new one; returns what is set when it has ended."""
    try:
        inbox = _idle.pop()
    except IndexError:
        inbox = queue.SimpleQueue()
        threading.Thread(target=_serve, args=(inbox,), daemon=True, name="cornu-idle").start()
    ended = threading.Event()
    inbox.put((work, ended))
    return ended


def _serve(inbox) -> None:
    thread = threading.current_thread()
    while True:
        work, ended = inbox.get()
        thread.name = "cornu-prefetch"
        try:
            work()
            _idle.append(inbox)
        finally:
            thread.name = "cornu-idle"
            ended.set()
        del work, ended  # while it waits it holds no batch


def ahead(items, count: int = 2):
    """The items in their order, while a thread takes up to `count` of them ahead.

    What the iterator raises is raised here, in its place; so are warnings given. When this generator is closed the thread ends as soon as the
    iterator gives it a chance to, and an iterator with a `close` is closed.

    >>> list(ahead(iter("abc")))
    ['a', 'b', 'c']
    """
    ready: queue.Queue = queue.Queue(count)
    closed = threading.Event()

    def put(item) -> bool:
        """Whether somebody still wants it."""
        while not closed.is_set():
            try:
                ready.put(item, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False

    warned: list = []

    def work():
        frames.leave_warnings(warned)
        try:
            while put((item := next(items, _END), None)) and item is not _END:
                pass
        except BaseException as error:
            put((None, error))
        finally:
            getattr(items, "close", lambda: None)()

    context, ended = contextvars.copy_context(), None
    try:
        ended = _begin(lambda: context.run(work))
        while True:
            item, error = ready.get()
            frames.pass_on(warned)
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
            del item  # a waiting consumer holds no batch
    finally:
        closed.set()
        if ended is not None:
            ended.wait(1)  # longer only if the user's own code hangs
