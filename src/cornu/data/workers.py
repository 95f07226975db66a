"""Workers that prepare batches ahead: threads, or spawned processes with a thread before each of them.

Processes are spawned, never forked: a fork of a process in which JAX runs may hang. A worker process ends when its
parent does, however that ends, and a worker that is killed is an error at once, not a wait.
"""

import collections
import contextlib
import itertools
import multiprocessing
import multiprocessing.connection
import os
import pickle
import queue
import threading
import traceback
import weakref
from concurrent.futures import Future, wait


class Pool:
    """Calls `dataset[index]` in workers; the results come in the order of the indices.

    Args:
        dataset: has `__getitem__`.
        workers: how many work at a time.
        ahead: how many batches may be ready or in work before they are asked for.
        processes: whether each worker is a process of its own.
    """

    def __init__(self, dataset, workers: int, ahead: int, processes: bool):
        self._tasks, self._ahead = queue.SimpleQueue(), max(ahead, workers)
        self.processes = []
        try:
            for _ in range(workers if processes else 0):
                self.processes.append(_Process(dataset))
        except BaseException:  # Ctrl-C too
            _stop(self._tasks, self.processes, 0)
            raise
        self._close = weakref.finalize(self, _stop, self._tasks, self.processes, workers)  # also where Ctrl-C comes from here on
        fetchers = [p.fetch for p in self.processes] or [dataset.__getitem__] * workers
        for fetch in fetchers:
            threading.Thread(target=_work, args=(self._tasks, fetch), daemon=True, name="cornu-data").start()

    def results(self, indices):
        """The batches for the indices, one after another."""
        waiting, indices = collections.deque(), iter(indices)
        try:
            while True:
                for index in itertools.islice(indices, self._ahead - len(waiting)):
                    waiting.append((index, Future()))
                    self._tasks.put(waiting[-1])
                if not waiting:
                    return
                index, future = waiting.popleft()
                try:
                    while not wait([future], timeout=0.2).done:  # Python sees Ctrl-C only when it does not wait
                        self._raise_lost()
                    batch = future.result()
                except Exception as error:
                    raise noted(error, index)
                yield batch
        finally:
            for _, future in waiting:
                future.cancel()

    def _raise_lost(self) -> None:
        """A worker process that is dead ends the run at once, not when the batch it had is due."""
        for process in self.processes:
            if multiprocessing.connection.wait([process.process.sentinel], 0):
                raise process.loss()

    def renew(self, dataset) -> None:
        """Send the changed dataset to the worker processes; threads see it as it is."""
        for process in self.processes:
            process.renew(dataset)

    def close(self) -> None:
        """End the workers at once, whatever they do."""
        self._close()


def noted(error, index: int):
    """The error with the number of the batch that was prepared."""
    note = f"This happened while batch {index} of the data was prepared."
    if not any(n.startswith("This happened while batch") for n in getattr(error, "__notes__", ())):
        error.add_note(note)
    return error


def _stop(tasks, processes, count: int) -> None:
    for _ in range(count):
        tasks.put(None)
    for process in processes:
        process.end()


def _work(tasks, fetch) -> None:
    while (task := tasks.get()) is not None:
        index, future = task
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(fetch(index))
            except BaseException as error:
                future.set_exception(error)
        del task, future  # a waiting worker holds no batch


class _Process:
    """A spawned process that holds the dataset and answers indices with batches."""

    def __init__(self, dataset):
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True, name="cornu-data")
        self._turn, self._losing, self._loss, self._index = threading.Lock(), threading.Lock(), None, None
        try:
            with _cpu_only():
                self.process.start()
            theirs.close()
            self._send(dataset)
        except BaseException:
            self.end()
            raise

    def _send(self, dataset) -> None:
        try:
            data = pickle.dumps(dataset)
        except Exception as error:
            self.end()
            raise ValueError(f"A {type(dataset).__name__} cannot be sent to worker processes: {error}. Make it of things "
                             "that pickle (no open files, no lambdas), or set use_multiprocessing=False.") from error
        with contextlib.suppress(OSError):  # a worker that is dead is reported by the next fetch
            self._pipe.send(("dataset", data))

    def renew(self, dataset) -> None:
        with self._turn:
            self._send(dataset)

    def fetch(self, index):
        with self._turn:
            if self._loss is not None:
                raise self._loss
            self._index = index
            try:
                self._pipe.send(("index", index))
                good, value = self._pipe.recv()
            except (EOFError, OSError):
                raise self.loss() from None
            self._index = None
        if good:
            return value
        error, text = value
        error = RuntimeError(text.strip().rpartition("\n")[2]) if error is None else error
        error.add_note(f"In worker process {self.process.pid}:\n{text}")
        raise error

    def loss(self):
        """The error that says how the process ended, made once."""
        with self._losing:
            if self._loss is None:
                self.process.join(1)
                code, index = self.process.exitcode, self._index
                how = "ended" if code is None else f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
                loss = RuntimeError(
                    f"Worker process {self.process.pid} {how} while it {'waited' if index is None else f'prepared batch {index}'}.\n"
                    "If it ran out of memory, use fewer workers. If it never began: a script that uses worker processes runs its "
                    "training under `if __name__ == \"__main__\":`, and its dataset's class can be imported.")
                self._loss = loss if index is None else noted(loss, index)
            return self._loss

    def end(self) -> None:
        if self.process.pid is not None:  # it has begun
            self.process.kill()
            with self._losing:  # of two threads that join at once, one may come back before the process counts as ended
                self.process.join(2)
        self._pipe.close()


@contextlib.contextmanager
def _cpu_only():
    """Workers that use JAX leave the accelerator alone."""
    before = os.environ.get("JAX_PLATFORMS")
    os.environ["JAX_PLATFORMS"] = "cpu"
    try:
        yield
    finally:
        if before is None:
            del os.environ["JAX_PLATFORMS"]
        else:
            os.environ["JAX_PLATFORMS"] = before


def _serve(pipe) -> None:
    """The life of a worker process."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends its workers
    parent = multiprocessing.parent_process().sentinel
    threading.Thread(target=lambda: (multiprocessing.connection.wait([parent]), os._exit(1)), daemon=True).start()
    dataset = problem = None
    while True:
        try:
            kind, value = pipe.recv()
        except EOFError:
            return
        try:
            if kind == "dataset":
                dataset, problem = None, None
                dataset = pickle.loads(value)
                continue
            if problem is not None:
                raise problem
            answer = True, dataset[value]
        except Exception as error:
            if kind == "dataset":
                problem = error
                continue
            answer = False, (_picklable(error), traceback.format_exc())
        pipe.send(answer)


def _picklable(error):
    try:
        return pickle.loads(pickle.dumps(error))
    except Exception:
        return None
