"""cornu and its peers side by side, in one run: `python benchmarks/run.py`, or `make bench`.

Every figure is the median over rounds in which all engines take turns, each in a process of its own, so that a change of
the machine's speed meets all of them. Ratios are cornu's time over the peer's, the median of the rounds' ratios: below 1
cornu is faster. Writes benchmarks/RESULTS.md.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from report import heading

HERE = pathlib.Path(__file__).parent
ENGINES = ["cornu", "keras-jax", "keras-tensorflow", "pytorch"]
TASKS = {  # name: what it is, seconds -> figure, the goals (ratio at most, by peer)
    "import": ("import", lambda s: f"{s:.2f} s", {"jax": 1.25}),
    "classic-cold": ("classic program, process start to test accuracy, nothing cached", lambda s: f"{s:.1f} s", {"keras-jax": 0.6}),
    "classic-warm": ("the same, second run", lambda s: f"{s:.1f} s", {"keras-jax": 0.6}),
    "mlp": ("MLP 784-128-10, a training step of 128", lambda s: f"{s / 469 * 1e6:.0f} us", {"keras-jax": 0.75, "pytorch": 0.6}),
    "cnn": ("MNIST CNN, an epoch of 100 steps of 128", lambda s: f"{s:.2f} s ({12800 / s:.0f} images/s)",
            {"keras-jax": 0.25, "keras-tensorflow": 1.0, "pytorch": 0.6}),
    "predict-1": ("predict 1 row", lambda s: f"{s * 1e6:.0f} us", {}),
    "predict-10000": ("predict 10,000 rows", lambda s: f"{s * 1e3:.1f} ms", {}),
}


def once(task: str, engine: str, folder: pathlib.Path) -> float:
    """One workload in a fresh process; its seconds."""
    env = dict(os.environ, BENCH_STARTED=str(time.time()), BENCH_MNIST=str(folder / "mnist.npz"), TF_CPP_MIN_LOG_LEVEL="3",
               CORNU_HOME=str(folder / "home"), PYTHONWARNINGS="ignore")
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # cornu is not precompiled as installed packages are
    if task == "classic-cold":
        shutil.rmtree(folder / "home", ignore_errors=True)
    command = [sys.executable, str(HERE / "workloads.py"), task.removesuffix("-cold").removesuffix("-warm"), engine]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise SystemExit(f"{task} on {engine} failed:\n{done.stderr[-2000:]}")
    return json.loads(lines[-1][7:])["seconds"]


def measure(task: str, rounds: int, folder) -> dict:
    engines = ENGINES + ["jax"] * (task == "import")
    seconds = {engine: [] for engine in engines}
    for turn in range(rounds):
        for engine in engines:
            seconds[engine].append(once(task, engine, folder))
            print(f"  {task} {engine}: {seconds[engine][-1]:.4f} s (round {turn + 1} of {rounds})", flush=True)
    return seconds


def row(task: str, seconds: dict) -> str:
    what, figure, goals = TASKS[task]
    cells = [figure(statistics.median(seconds["cornu"]))]
    for engine in [*ENGINES[1:], "jax"]:
        if engine not in seconds:
            cells.append("")
            continue
        ratio = statistics.median(a / b for a, b in zip(seconds["cornu"], seconds[engine]))
        goal = f" (goal {goals[engine]})" if engine in goals else ""
        cells.append(f"{figure(statistics.median(seconds[engine]))}: {ratio:.2f}{goal}")
    return f"| {what} | " + " | ".join(cells) + " |"


def mnist(folder: pathlib.Path) -> None:
    """The real data set as one file that every engine reads in the same way."""
    import numpy as np

    from cornu.datasets import mnist

    (x, y), (x_test, y_test) = mnist.load_data()
    np.savez(folder / "mnist.npz", x_train=x, y_train=y, x_test=x_test, y_test=y_test)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append", choices=TASKS)
    parser.add_argument("--no-write", action="store_true", help="print only, leave RESULTS.md as it is")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        mnist(folder)
        rows = [row(task, measure(task, options.rounds, folder)) for task in options.only or TASKS]
    text = "\n".join([
        heading("Results", f"Medians of {options.rounds} rounds. Behind each peer's figure stands the median ratio of cornu's "
                "time to its time: below 1 cornu is faster."),
        "| | cornu | Keras on JAX | Keras on TensorFlow | PyTorch | bare JAX |", "|---|---|---|---|---|---|", *rows, ""])
    print("\n" + text)
    if not options.no_write and not options.only:
        (HERE / "RESULTS.md").write_text(text)


if __name__ == "__main__":
    main()
