"""Saving and loading a model of 100 million parameters: cornu and Keras on JAX side by side, with the memory that it takes.

    python benchmarks/files.py [--rounds 4] [--folder DIR]

Each round runs both engines, each in a process of its own that saves and loads twice; the figures are medians over all.
`extra` is by how much the resident memory of the process grew at most, in parts of the model's size; when a model is
loaded, that counts the model itself. Keras does not wait for the disk; cornu does (`fsync`), which is shown too.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

TASKS = ["save", "load", "save_weights", "load_weights"]


def memory(field) -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(field)) * 1024


def measure(action) -> tuple[float, int]:
    """Seconds, and by how many bytes the memory grew at most."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak counts from now
    before, start = memory("VmRSS"), time.perf_counter()
    action()
    return time.perf_counter() - start, memory("VmHWM") - before


def worker(engine: str, folder: str) -> None:
    if engine == "keras":
        os.environ["KERAS_BACKEND"] = "jax"
        import keras
    else:
        import cornu as keras
    synced = []
    fsync = os.fsync

    def timed(handle):
        start = time.perf_counter()
        fsync(handle)
        synced.append(time.perf_counter() - start)

    os.fsync = timed
    layers = keras.layers
    model = keras.Sequential([keras.Input((64,), dtype="int32"), layers.Embedding(32_000, 768), *(
        layers.Dense(n) for _ in range(15) for n in (3072, 768)), layers.LayerNormalization(), layers.Dense(5_000)])
    size = 4 * model.count_params()
    path, weights = os.path.join(folder, f"{engine}.keras"), os.path.join(folder, f"{engine}.weights.h5")
    held = [model]

    def load():
        held[:] = [keras.saving.load_model(path)]


    actions = {"save": lambda: held[0].save(path), "load": load, "save_weights": lambda: held[0].save_weights(weights),
               "load_weights": lambda: held[0].load_weights(weights)}
    del model
    for task, action in actions.items():
        for _ in range(2):
            synced.clear()
            if task == "load":
                held.clear()
            seconds, extra = measure(action)
            print("RESULT", json.dumps({"task": task, "seconds": seconds, "extra": extra / size, "fsync": sum(synced),
                                        "parameters": size // 4}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--folder")
    parser.add_argument("--worker")
    options = parser.parse_args()
    if options.worker:
        return worker(options.worker, options.folder)
    results: dict = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for _ in range(options.rounds):
            for engine in ("keras", "cornu"):
                done = subprocess.run([sys.executable, __file__, "--worker", engine, "--folder", folder], capture_output=True,
                                      text=True, check=True)
                for line in done.stdout.splitlines():
                    if line.startswith("RESULT "):
                        result = json.loads(line[7:])
                        results.setdefault((engine, result["task"]), []).append(result)
    print(f"{result['parameters'] / 1e6:.0f} million parameters, medians of {2 * options.rounds}")
    print(f"{'':14}{'keras':>9}{'cornu':>9}{'ratio':>7}{'fsync':>8}   extra memory: keras, cornu (most)")
    for task in TASKS:
        times = {e: statistics.median(r["seconds"] for r in results[e, task]) for e in ("keras", "cornu")}
        extra = {e: max(r["extra"] for r in results[e, task]) for e in ("keras", "cornu")}
        fsync = statistics.median(r["fsync"] for r in results["cornu", task])
        print(f"{task:14}{times['keras']:8.2f}s{times['cornu']:8.2f}s{times['cornu'] / times['keras']:7.2f}{fsync:7.2f}s"
              f"   {extra['keras']:.2f}, {extra['cornu']:.2f}")


if __name__ == "__main__":
    main()
