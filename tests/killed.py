"""Run as a program: for each path on standard input, a process that saves two models there in turn until it is killed.

The processes are forks of one that has imported cornu but not used it: they start quickly.
"""

import os
import sys

import cornu


def model(units):
    """A model of some megabytes."""
    made = cornu.Sequential([cornu.Input((1000,)), cornu.layers.Dense(units, kernel_initializer="ones")])
    made.compile("sgd", "mse")
    return made


def say(word):
    """A line that is written whole or not at all: `print` may be killed before the line's end where nothing is buffered."""
    os.write(sys.stdout.fileno(), f"{word}\n".encode())


def save_for_ever(path):
    models = [model(units) for units in (1000, 1400)]
    models[0].save(path)
    while True:
        for one in reversed(models):
            say(os.getpid())
            one.save(path)


if __name__ == "__main__":
    for line in sys.stdin:
        if not (child := os.fork()):
            save_for_ever(line.rstrip("\n"))
        os.waitpid(child, 0)
        say("dead")
