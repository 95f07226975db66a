"""A dataset for tests of workers, which fails in many ways; worker processes import this file, so it is light."""

import os
import pathlib
import signal
import time

import numpy as np


class Troubled:
    """Batches that hold their number; at one of them something happens, and its time is noted in a file.

    Args:
        size: the number of batches.
        at: the batch where it happens, or None.
        what: "fail", "kill" (the worker process ends itself) or "hang".
        note: the file.
        pause: seconds that a batch takes at the most.
    """

    def __init__(self, size, at, what, note, pause, workers, use_multiprocessing, max_queue_size):
        self.size, self.at, self.what, self.note, self.pause = size, at, what, str(note), pause
        self.workers, self.use_multiprocessing, self.max_queue_size = workers, use_multiprocessing, max_queue_size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        time.sleep(self.pause * (index * 7 % 5) / 4)
        if index == self.at:
            pathlib.Path(self.note).write_text(str(time.time()))
            if self.what == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.what == "hang":
                time.sleep(60 if self.use_multiprocessing else 3)
            if self.what == "fail":
                raise KeyError("no such file")
        return np.full((2, 4), index, "float32")
