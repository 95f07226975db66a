"""What the benchmarks share when they write down what they found."""

import datetime
import importlib.metadata
import math
import os
import platform


def heading(title: str, remark: str) -> str:
    """The first lines of a report: when, on what machine, with which versions."""
    names = ("jax", "keras", "tensorflow-cpu", "torch")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    return (f"# {title}\n\n{datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores, Python "
            f"{platform.python_version()}, {versions}. {remark}\n")


def geometric_mean(values) -> float:
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan
