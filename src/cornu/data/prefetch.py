"""Items taken from an iterator by a thread, ahead of whoever asks for them."""

import contextvars
import queue
import threading

_END = object()


def ahead(items, count: int = 2):
    """The items in their order, while a thread takes up to `count` of them ahead.

    What the iterator raises is raised here, in its place. When this generator is closed the thread ends as soon as the
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

    def work():
        try:
            while put((item := next(items, _END), None)) and item is not _END:
                pass
        except BaseException as error:
            put((None, error))
        finally:
            getattr(items, "close", lambda: None)()

    thread = threading.Thread(target=contextvars.copy_context().run, args=(work,), daemon=True, name="cornu-prefetch")
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
            del item  # a waiting consumer holds no batch
    finally:
        closed.set()
        thread.join(1)  # longer only if the user's own code hangs
