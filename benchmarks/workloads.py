"""One workload in one process, on one engine; prints a line of JSON. `run.py` starts these side by side.

The text for cornu and for Keras is the same: only what `keras` means differs.
"""

import argparse
import json
import os
import time

STARTED = float(os.environ.get("BENCH_STARTED", time.time()))  # when the process was launched

import numpy as np  # noqa: E402


def load_keras(engine: str):
    if engine == "cornu":
        import cornu as keras
    else:
        os.environ["KERAS_BACKEND"] = engine.removeprefix("keras-")
        import keras
    return keras


def images(count, flat):
    generator = np.random.default_rng(0)
    x = generator.random((count, 784) if flat else (count, 28, 28, 1), dtype="float32")
    return x, generator.integers(0, 10, count)


def mlp(keras):
    model = keras.Sequential([keras.Input((784,)), keras.layers.Dense(128, activation="relu"),
                              keras.layers.Dense(10, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def cnn(keras):
    """Keras's own MNIST convnet example."""
    layers = keras.layers
    model = keras.Sequential([
        keras.Input((28, 28, 1)), layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(2), layers.Flatten(), layers.Dropout(0.5),
        layers.Dense(10, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def torch_model(kind):
    import torch
    from torch import nn

    if kind == "mlp":
        model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    else:
        model = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(),
                              nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.5), nn.Linear(1600, 10))
    return model, torch.optim.Adam(model.parameters()), nn.CrossEntropyLoss()


def torch_epoch(parts, x, y, batch):
    """An epoch with shuffling, running loss and accuracy, as fit does it."""
    import torch

    model, optimizer, loss_fn = parts
    model.train()
    order, total, right = torch.randperm(len(x)), torch.zeros(()), torch.zeros(())
    for start in range(0, len(x), batch):
        rows = order[start:start + batch]
        inputs, targets = x[rows], y[rows]
        optimizer.zero_grad()
        outputs = model(inputs)
        loss = loss_fn(outputs, targets)
        loss.backward()
        optimizer.step()
        total += loss.detach() * len(rows)
        right += (outputs.detach().argmax(1) == targets).sum()
    return float(total / len(x)), float(right / len(x))


def torch_predict(model, x, batch=32):
    import torch

    model.eval()
    with torch.no_grad():
        return torch.cat([model(x[i:i + batch]).softmax(-1) for i in range(0, len(x), batch)]).numpy()


def epochs(engine, kind, samples, batch, repeats):
    """Seconds per epoch, the first (with compiling) apart."""
    x, y = images(samples, kind == "mlp")
    if engine == "pytorch":
        import torch

        parts = torch_model(kind)
        x = torch.from_numpy(x if kind == "mlp" else x.transpose(0, 3, 1, 2).copy())
        y = torch.from_numpy(y)
        run = lambda: torch_epoch(parts, x, y, batch)  # noqa: E731
    else:
        keras = load_keras(engine)
        model = {"mlp": mlp, "cnn": cnn}[kind](keras)
        run = lambda: model.fit(x, y, batch_size=batch, epochs=1, verbose=0)  # noqa: E731
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return {"first": times[0], "seconds": float(np.median(times[1:])), "best": min(times[1:])}


def predict(engine, rows, repeats):
    x = images(rows, True)[0]
    if engine == "pytorch":
        import torch

        model, x = torch_model("mlp")[0], torch.from_numpy(x)
        run = lambda: torch_predict(model, x)  # noqa: E731
    else:
        model = mlp(load_keras(engine))
        run = lambda: model.predict(x, verbose=0)  # noqa: E731
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return {"seconds": float(np.median(times))}


def imports(engine):
    start = time.perf_counter()
    if engine == "pytorch":
        import torch  # noqa: F401
    elif engine == "jax":
        import jax  # noqa: F401
    else:
        load_keras(engine)
    return {"seconds": time.perf_counter() - start}


def classic(engine):
    """From the start of the process to the test accuracy: load MNIST, build, train 5 epochs, evaluate."""
    with np.load(os.environ["BENCH_MNIST"]) as data:
        x, y, x_test, y_test = (data[k] for k in ("x_train", "y_train", "x_test", "y_test"))
    x, x_test = (a.reshape(-1, 784).astype("float32") / 255 for a in (x, x_test))
    if engine == "pytorch":
        import torch

        parts = torch_model("mlp")
        tensors = torch.from_numpy(x), torch.from_numpy(y.astype("int64"))
        for _ in range(5):
            torch_epoch(parts, *tensors, 128)
        accuracy = float((torch_predict(parts[0], torch.from_numpy(x_test), 128).argmax(1) == y_test).mean())
    else:
        model = mlp(load_keras(engine))
        model.fit(x, y, batch_size=128, epochs=5, verbose=0)
        accuracy = model.evaluate(x_test, y_test, verbose=0)[1]
    return {"seconds": time.time() - STARTED, "accuracy": accuracy}


TASKS = {
    "import": imports,
    "classic": classic,
    "mlp": lambda engine: epochs(engine, "mlp", 60_000, 128, 5),
    "cnn": lambda engine: epochs(engine, "cnn", 12_800, 128, 2),
    "predict-1": lambda engine: predict(engine, 1, 200),
    "predict-10000": lambda engine: predict(engine, 10_000, 10),
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("engine")
    options = parser.parse_args()
    print("RESULT " + json.dumps(TASKS[options.task](options.engine)))
