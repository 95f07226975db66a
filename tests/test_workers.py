"""Workers under stress: no run hangs, leaves a process behind or changes the order, whatever happens to the workers."""

import multiprocessing
import os
import pathlib
import signal
import threading
import time
import traceback

import numpy as np
import pytest
from worker_data import Troubled

import cornu
from cornu.data import workers as pool


class Reader(cornu.Model):
    """Says which batch it was given."""

    def call(self, x):
        return x

    def train_step(self, x):
        return {"index": x[0, 0]}


@pytest.fixture(scope="module")
def model():
    made = Reader()
    made.compile()
    made.fit(np.zeros((4, 4), "float32"), batch_size=2, verbose=0)
    return made


def workers():
    return [p for p in multiprocessing.active_children() if p.name == "cornu-data"]


def outside(what, dice, started):
    """Something that happens to the run from outside: Ctrl-C, or a worker process is killed."""
    def act():
        if what == "kill from outside":
            while not workers():
                time.sleep(0.01)
            time.sleep(dice.uniform(0.0, 0.6))
            started.append(time.time())
            os.kill(dice.choice(workers()).pid, signal.SIGKILL)
        else:
            time.sleep(dice.uniform(0.0, 0.6))
            started.append(time.time())
            signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=act)
    thread.start()
    return thread


def run(model, processes, what, dice, folder):
    """One run: what happened is what had to happen, within 5 seconds, and nobody is left."""
    count, size, note, seen = int(dice.integers(1, 5)), 24, folder / "note", []
    at = int(dice.integers(0, size)) if what in ("fail", "kill", "hang") else None
    outer = what in ("kill from outside", "ctrl-c", "hang")
    data = Troubled(10_000 if outer and what != "hang" else size, at, what, note, 0.002, count, processes, int(dice.integers(1, 12)))
    started, watch = [], cornu.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(int(logs["index"])))
    thread = outside("ctrl-c" if what == "hang" else what, dice, started) if outer else None
    error = None
    try:
        model.fit(data, shuffle=False, verbose=0, callbacks=[watch])
    except (KeyError, RuntimeError, KeyboardInterrupt) as caught:
        error = caught
    ended = time.time()
    if thread is not None:
        thread.join()
    began = started[0] if started else float(note.read_text()) if at is not None else ended
    assert ended - began < 5, (what, ended - began)
    assert seen == list(range(len(seen)))
    assert not workers()
    if what == "nothing":
        assert error is None and len(seen) == size
    elif what in ("ctrl-c", "hang"):
        assert isinstance(error, KeyboardInterrupt)
    else:
        told = "".join(traceback.format_exception(error))
        assert f"batch {at}" in told or what == "kill from outside" and ("batch" in told or "waited" in told), told
        assert len(seen) == at if what == "fail" else error is not None and len(seen) <= (at or len(seen))  # a death is seen at once
        assert ("in __getitem__" in told) == (what == "fail")


KINDS = {False: ["nothing", "fail", "fail", "ctrl-c", "hang"],
         True: ["nothing", "fail", "kill", "kill from outside", "ctrl-c", "hang"]}


def test_ctrl_c_while_workers_begin_leaves_none(monkeypatch, tmp_path):
    send, sent = pool._Process._send, []

    def interrupted(self, dataset):
        sent.append(send(self, dataset))
        if len(sent) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(pool._Process, "_send", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pool.Pool(Troubled(24, None, "", tmp_path / "note", 0.0, 3, True, 4), 3, 4, True)
    assert len(sent) == 2 and not workers()


@pytest.mark.long
@pytest.mark.parametrize(("processes", "runs"), [(False, 380), (True, 120)], ids=["threads", "processes"])
def test_stress(model, processes, runs, tmp_path):
    busy = lambda: [t for t in threading.enumerate() if t.name != "cornu-idle"]
    dice, threads = np.random.default_rng(1), len(busy())
    for turn in range(int(os.environ.get("CORNU_STRESS_RUNS", runs))):
        run(model, processes, KINDS[processes][turn % len(KINDS[processes])], dice, tmp_path)
        (tmp_path / "note").unlink(missing_ok=True)
    deadline = time.time() + 10
    while len(busy()) > threads + 1 and time.time() < deadline:
        time.sleep(0.1)  # those that were asleep in the user's own code
    assert len(busy()) <= threads + 1, busy()
    assert not [p for p in pathlib.Path("/proc").glob("[0-9]*/stat") if is_orphan(p)]


def is_orphan(path):
    """Whether a process that spawn started for this one, beside its resource tracker, still lives."""
    try:
        parent = int(path.read_text().rpartition(")")[2].split()[1])
        return parent == os.getpid() and b"spawn_main" in (path.parent / "cmdline").read_bytes()
    except (OSError, IndexError, ValueError):
        return False


@pytest.mark.parametrize(("processes", "what"), [(False, "fail"), (False, "ctrl-c"), (True, "kill"), (True, "fail")])
def test_one_of_each(model, processes, what, tmp_path):
    run(model, processes, what, np.random.default_rng(2), tmp_path)
