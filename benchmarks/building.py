"""What building costs, before any number is computed: graphs, tracing, first steps, outermost calls.

    python benchmarks/building.py               # cornu against Keras on JAX, medians of ratios
    python benchmarks/building.py --worker cornu

Every library runs in a process of its own; the processes take turns, so that a busy machine disturbs both alike.
"""

import argparse
import json
import os
import subprocess
import sys
import time

LIMITS = {"trace": 0.6, "first step": 0.9, "dense call": 1 / 3}


def residual_network(m, blocks: int):
    """A residual CNN of `blocks` blocks of two convolutions each."""
    L = m.layers
    x = m.Input((16, 16, 3))
    h = L.Conv2D(8, 3, padding="same")(x)
    for _ in range(blocks):
        y = L.Activation("relu")(L.BatchNormalization()(L.Conv2D(8, 3, padding="same")(h)))
        h = L.Activation("relu")(L.Add()([h, L.BatchNormalization()(L.Conv2D(8, 3, padding="same")(y))]))
    return m.Model(x, L.Dense(10, "softmax")(L.GlobalAveragePooling2D()(h)))


def best(fn, count: int, rounds: int = 5) -> float:
    """Seconds per call, of the best round."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(count):
            fn()
        times.append((time.perf_counter() - start) / count)
    return min(times)


def trace_seconds(m, model, x, y) -> float:
    """Tracing the training step to a jaxpr, without XLA."""
    import jax

    batch = (x, y, None)
    if m.__name__ == "keras":
        model._symbolic_build(data_batch=batch[:2])
        model.optimizer.build(model.trainable_variables)
        state = [[v.value for v in group] for group in (
            model.trainable_variables, model.non_trainable_variables, model.optimizer.variables, model.metrics_variables)]
        start = time.perf_counter()
        jax.jit(model.train_step).trace(state, batch)
        return time.perf_counter() - start
    model._prepare(batch, "train")
    step = model._step("train")
    args = step.values(), [v._value for v in step.fixed], batch
    start = time.perf_counter()
    jax.jit(step._plain).trace(*args)
    return time.perf_counter() - start


def worker(name: str, blocks: int) -> dict:
    """All figures of one library, in seconds."""
    os.environ["KERAS_BACKEND"] = "jax"
    import jax
    import numpy as np

    if name == "cornu":
        import cornu as m
    else:
        import keras as m
    x, y = np.zeros((8, 16, 16, 3), "float32"), np.zeros((8,), "int32")
    residual_network(m, 1)
    found, start = {}, time.perf_counter()
    model = residual_network(m, blocks)
    found["graph"] = time.perf_counter() - start
    model.compile("adam", "sparse_categorical_crossentropy")
    found["trace"] = trace_seconds(m, model, x, y)
    model = residual_network(m, blocks)
    model.compile("adam", "sparse_categorical_crossentropy")
    start = time.perf_counter()
    model.train_on_batch(x, y)
    found["first step"] = time.perf_counter() - start
    dense, row = m.layers.Dense(8), jax.numpy.ones((1, 8))
    dense(row)
    found["dense call"] = best(lambda: dense(row), 200)
    model = m.Sequential([m.Input((8,)), m.layers.Dense(16, "relu"), m.layers.Dense(4)])
    for _ in range(3):
        model(row)
    found["model call"] = best(lambda: model(row), 200)
    kernel = jax.numpy.ones((8, 8))
    bare = jax.jit(lambda x, w: x @ w)
    bare(row, kernel)
    found["bare call"] = best(lambda: bare(row, kernel), 500)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worker")
    parser.add_argument("--blocks", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(worker(options.worker, options.blocks)))
        return
    rows: dict[str, list] = {"cornu": [], "keras": []}
    for _ in range(options.rounds):
        for name, found in rows.items():
            done = subprocess.run([sys.executable, __file__, "--worker", name, "--blocks", str(options.blocks)],
                                  capture_output=True, text=True, check=True, env={**os.environ, "CORNU_CACHE": "0"})
            found.append(json.loads(done.stdout.splitlines()[-1]))
    print(f"{'':12}{'cornu':>12}{'keras':>12}{'ratio':>8}   limit")
    for key in rows["cornu"][0]:
        ours, theirs = (sorted(r[key] for r in rows[name])[options.rounds // 2] for name in rows)
        limit = f"{LIMITS[key]:.2f}" if key in LIMITS else ""
        print(f"{key:12}{ours * 1e3:10.3f}ms{theirs * 1e3:10.3f}ms{ours / theirs:8.2f}   {limit}")
    ours = sorted(r["model call"] / r["bare call"] for r in rows["cornu"])[options.rounds // 2]
    print(f"model(x) on one row: {ours:.1f} times a bare jax.jit call (at most 10)")


if __name__ == "__main__":
    main()
