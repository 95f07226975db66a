"""What the installed XLA is asked before it is told anything, with the answers kept on disk for its version.

A question costs a compiled program, 25 to 300 ms; an answer that is kept, nothing. Unknown is no: the plain text is always
right, and what is meant to be faster must never be slower because another version's XLA has other habits.
"""

import functools
import json
import os
import platform as machine
from typing import Callable

import jax
import jaxlib

from cornu import config
from cornu.files import replacing

_answers: dict = {}


def ask(question: str, experiment: Callable[[], bool]) -> bool:
    """Whether an experiment with the installed XLA succeeds; it is made once for a version and a kind of machine.

    Args:
        question: names the experiment, and must change when that does.
        experiment: gives the answer; an exception means no.
    """
    known = _read()
    if question not in known:
        try:
            with jax.default_device(jax.local_devices(backend="cpu")[0]):
                known[question] = bool(experiment())
        except Exception:  # JaxRuntimeError; the name of its class has changed between releases
            known[question] = False
        _write(known)
    return known[question]


def _path() -> str | None:
    """The file of the answers, beside the compiled programs; None where nothing is kept."""
    if os.environ.get("CORNU_CACHE", "1") == "0":
        return None
    return str(config.home() / f"xla-{jaxlib.__version__}-{machine.machine()}.json")


def _read() -> dict:
    path = _path()
    if path not in _answers:
        _answers[path] = {}
        try:
            with open(path) as file:
                found = json.load(file)
            _answers[path] = {k: v for k, v in found.items() if isinstance(v, bool)}
        except (OSError, TypeError, ValueError, AttributeError):  # none yet, or no such file
            pass
    return _answers[path]


def _write(known: dict) -> None:
    path = _path()
    if path is not None:
        try:
            with replacing(path) as temporary, open(temporary, "w") as file:
                json.dump(known, file)
        except OSError:  # a read-only home: asked again by the next process
            pass


@functools.cache
def takes(name: str, value) -> bool:
    """Whether XLA takes an option: compiles a program of one addition with it."""
    def compiles() -> bool:
        jax.jit(lambda x: x + 1, compiler_options={name: value}).lower(0.0).compile()
        return True

    return ask(f"takes {name}={value}", compiles)


def fusions_with_results(compiled, shape: tuple) -> list[int]:
    """How many results of a shape each fusion of a compiled program writes, where it writes any."""
    entry, size = compiled.as_text().split("ENTRY")[1], str(list(shape)).replace(" ", "")
    found = [line.split(" fusion(")[0].count(size) for line in entry.splitlines() if " fusion(" in line]
    return [number for number in found if number]
