"""What the benchmarks share: processes that take turns, and the report."""

import datetime
import importlib.metadata
import json
import math
import os
import platform
import subprocess
import sys


def heading(title: str, remark: str) -> str:
    """The first lines of a report: when, on what machine, with which versions."""
    names = ("jax", "keras", "tensorflow-cpu", "torch")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    return (f"# {title}\n\n{datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores, Python "
            f"{platform.python_version()}, {versions}. {remark}\n")


def geometric_mean(values) -> float:
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan


class Workers:
    """A process for each engine, `python file *told --worker engine`, which answers every line that it is told."""

    def __init__(self, file, engines, *told, **options):
        self.commands = {engine: [sys.executable, file, *told, "--worker", engine] for engine in engines}
        self.processes = {engine: subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options)
                          for engine, command in self.commands.items()}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes.values():
            process.stdin.close()
            process.wait()

    def ask(self, engine, line=""):
        """Tell an engine a line; its answer."""
        self.processes[engine].stdin.write(line + "\n")
        self.processes[engine].stdin.flush()
        return self.answer(engine)

    def turns(self, count, line="") -> dict:
        """Engine -> its answers to a line, in so many turns of all engines."""
        found = {engine: [] for engine in self.processes}
        for _ in range(count):
            for engine in found:
                found[engine].append(self.ask(engine, line))
        return found

    def answer(self, engine):
        """What an engine says next by `say`. Ends the benchmark where the engine has ended."""
        for line in self.processes[engine].stdout:
            if line.startswith("RESULT "):
                return json.loads(line[7:])
        raise SystemExit(f"{engine} failed; run: {' '.join(self.commands[engine])}")


def say(value) -> None:
    """In a worker: an answer, for all else that a library may print."""
    print("RESULT " + json.dumps(value), flush=True)
