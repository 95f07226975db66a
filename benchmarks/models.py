"""Whole models trained on the CPU: cornu, Keras on JAX and on TensorFlow, and PyTorch, in one run.

    python benchmarks/models.py [part of a model's name ...] [--processes 3] [--rounds 2] [--engine cornu]

Every engine has processes of its own for each model, one after the other; they take turns epoch by epoch, so that what else
the machine does falls on all alike. Figures: the lowest seconds of an epoch, the processes' median first epoch (with
compiling) and peak of resident memory. cornu and Keras run the same text, PyTorch the same network and batches, sliced from
tensors in memory.
Goals: cornu never slower than the best of the others, geometric mean at most 0.8 of the best; the first epoch at most
0.7 of Keras on JAX's, peak memory at most Keras on JAX's.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from report import Workers, geometric_mean, heading, say

ENGINES = ["cornu", "keras-jax", "keras-tensorflow", "pytorch"]
BINARY, CLASSES = "binary_crossentropy", "sparse_categorical_crossentropy"
random = np.random.default_rng(0)


def _images(count, *shape):
    return random.random((count, *shape), dtype="float32")


def _tokens(count, steps, vocabulary, masked=False):
    x = random.integers(1, vocabulary, (count, steps)).astype("int32")
    if masked:
        x[np.arange(steps) >= random.integers(steps // 2, steps + 1, (count, 1))] = 0
    return x


# The same text for cornu and for Keras ---------------------------------------------------------------------------------


def mlp(k, sizes, last):
    *hidden, size = sizes[1:]
    return k.Sequential([k.Input((sizes[0],)), *[k.layers.Dense(n, "relu") for n in hidden], k.layers.Dense(size, last)])


def cnn(k):
    L = k.layers
    return k.Sequential([k.Input((28, 28, 1)), L.Conv2D(32, 3, activation="relu"), L.MaxPooling2D(2),
                         L.Conv2D(64, 3, activation="relu"), L.MaxPooling2D(2), L.Flatten(), L.Dropout(0.5),
                         L.Dense(10, "softmax")])


def resnet20(k):
    L = k.layers

    def convolution(x, filters, size=3, strides=1, relu=True):
        x = L.BatchNormalization()(L.Conv2D(filters, size, strides, "same", use_bias=False)(x))
        return L.ReLU()(x) if relu else x

    x = inputs = k.Input((32, 32, 3))
    x = convolution(x, 16)
    for stage, filters in enumerate((16, 32, 64)):
        for block in range(3):
            strides = 2 if stage and not block else 1
            y = convolution(convolution(x, filters, strides=strides), filters, relu=False)
            x = L.ReLU()(L.Add()([y, x if strides == 1 else convolution(x, filters, 1, strides, relu=False)]))
    return k.Model(inputs, L.Dense(10, "softmax")(L.GlobalAveragePooling2D()(x)))


def autoencoder(k):
    """Keras's own example: the input is the target."""
    L = k.layers
    return k.Sequential([
        k.Input((28, 28, 1)), L.Conv2D(32, 3, activation="relu", padding="same"), L.MaxPooling2D(2, padding="same"),
        L.Conv2D(32, 3, activation="relu", padding="same"), L.MaxPooling2D(2, padding="same"),
        L.Conv2DTranspose(32, 3, strides=2, activation="relu", padding="same"),
        L.Conv2DTranspose(32, 3, strides=2, activation="relu", padding="same"),
        L.Conv2D(1, 3, activation="sigmoid", padding="same")])


def lstm(k):
    L = k.layers
    return k.Sequential([k.Input((80,), dtype="int32"), L.Embedding(20000, 128), L.LSTM(64), L.Dense(1, "sigmoid")])


def gru(k):
    L = k.layers
    return k.Sequential([k.Input((80,), dtype="int32"), L.Embedding(5000, 64, mask_zero=True),
                         L.Bidirectional(L.GRU(64, return_sequences=True)), L.Bidirectional(L.GRU(64)),
                         L.Dense(1, "sigmoid")])


def gpt(k, width=128, heads=4, steps=128, vocabulary=256):
    L, ops = k.layers, k.ops
    inputs = k.Input((steps,), dtype="int32")
    x = L.Embedding(vocabulary, width)(inputs) + L.Embedding(steps, width)(ops.arange(steps))
    for _ in range(4):
        h = L.LayerNormalization(epsilon=1e-5)(x)
        x = x + L.MultiHeadAttention(heads, width // heads)(h, h, use_causal_mask=True)
        h = L.LayerNormalization(epsilon=1e-5)(x)
        x = x + L.Dense(width)(L.Dense(4 * width, "gelu")(h))
    return k.Model(inputs, L.Dense(vocabulary, "softmax")(L.LayerNormalization(epsilon=1e-5)(x)))


# And for PyTorch ----------------------------------------------------------------------------------------------------------


def torch_mlp(nn, sizes):
    layers = [m for a, b in zip(sizes, sizes[1:]) for m in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def torch_cnn(nn):
    return nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(),
                         nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.5), nn.Linear(1600, 10))


def torch_resnet20(nn):
    def convolution(inside, filters, size=3, stride=1):
        return nn.Sequential(nn.Conv2d(inside, filters, size, stride, size // 2, bias=False), nn.BatchNorm2d(filters))

    class Block(nn.Module):
        def __init__(self, inside, filters):
            super().__init__()
            stride = 1 if inside == filters else 2
            self.one, self.two = convolution(inside, filters, 3, stride), convolution(filters, filters)
            self.short = nn.Identity() if stride == 1 else convolution(inside, filters, 1, 2)

        def forward(self, x):
            return (self.two(self.one(x).relu()) + self.short(x)).relu()

    blocks = [Block(a, b) for a, b in [(16, 16)] * 3 + [(16, 32)] + [(32, 32)] * 2 + [(32, 64)] + [(64, 64)] * 2]
    return nn.Sequential(convolution(3, 16), nn.ReLU(), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def torch_autoencoder(nn):
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.ConvTranspose2d(32, 32, 3, 2, 1, 1), nn.ReLU(), nn.ConvTranspose2d(32, 32, 3, 2, 1, 1),
        nn.ReLU(), nn.Conv2d(32, 1, 3, padding=1))


def torch_recurrent(nn, kind):
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.masked = kind == "gru"
            self.embedding = nn.Embedding(*((5000, 64) if self.masked else (20000, 128)))
            self.rnn = nn.GRU(64, 64, 2, batch_first=True, bidirectional=True) if self.masked else \
                nn.LSTM(128, 64, batch_first=True)
            self.dense = nn.Linear(128 if self.masked else 64, 1)

        def forward(self, tokens):
            x = self.embedding(tokens)
            if not self.masked:
                return self.dense(self.rnn(x)[0][:, -1])
            x = nn.utils.rnn.pack_padded_sequence(x, (tokens != 0).sum(1), True, enforce_sorted=False)
            state = self.rnn(x)[1]
            return self.dense(state[-2:].transpose(0, 1).flatten(1))

    return Recurrent()


def torch_gpt(nn, width=128, heads=4, steps=128, vocabulary=256):
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

        def forward(self, x):
            q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
            h = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(h.transpose(1, 2).flatten(2))
            return x + self.mlp(self.norm2(x))

    class GPT(nn.Module):
        def __init__(self):
            super().__init__()
            self.token, self.place = nn.Embedding(vocabulary, width), nn.Parameter(nn.init.normal_(
                nn.Embedding(steps, width).weight))
            self.blocks = nn.Sequential(*[Block() for _ in range(4)])
            self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, vocabulary))

        def forward(self, x):
            return self.head(self.blocks(self.token(x) + self.place))

    return GPT()


# name: (what it is, data, batch, loss, Keras's text, PyTorch's)
MODELS = {
    "mlp-small": ("MLP 20-32-1, 1,000 steps of 32", lambda: (_images(32_000, 20), random.integers(0, 2, (32_000, 1))), 32,
                  BINARY, lambda k: mlp(k, (20, 32, 1), "sigmoid"), lambda nn: torch_mlp(nn, (20, 32, 1))),
    "mlp": ("MLP 784-128-10, 469 steps of 128", lambda: (_images(60_000, 784), random.integers(0, 10, 60_000)), 128, CLASSES,
            lambda k: mlp(k, (784, 128, 10), "softmax"), lambda nn: torch_mlp(nn, (784, 128, 10))),
    "cnn": ("MNIST CNN, 100 steps of 128", lambda: (_images(12_800, 28, 28, 1), random.integers(0, 10, 12_800)), 128, CLASSES,
            cnn, torch_cnn),
    "resnet20": ("ResNet-20, 20 steps of 64", lambda: (_images(1_280, 32, 32, 3), random.integers(0, 10, 1_280)), 64, CLASSES,
                 resnet20, torch_resnet20),
    "autoencoder": ("convolutional autoencoder, 20 steps of 128", lambda: (_images(2_560, 28, 28, 1),) * 2, 128, BINARY,
                    autoencoder, torch_autoencoder),
    "lstm": ("Embedding + LSTM over 80 tokens, 40 steps of 32",
             lambda: (_tokens(1_280, 80, 20_000), random.integers(0, 2, (1_280, 1))), 32, BINARY, lstm,
             lambda nn: torch_recurrent(nn, "lstm")),
    "gru": ("masked bidirectional GRU x 2, 40 steps of 32",
            lambda: (_tokens(1_280, 80, 5_000, True), random.integers(0, 2, (1_280, 1))), 32, BINARY, gru,
            lambda nn: torch_recurrent(nn, "gru")),
    "gpt": ("GPT 4 x 128, 20 steps of 16 x 128 tokens", lambda: (_tokens(320, 128, 256), _tokens(320, 128, 256)), 16, CLASSES,
            gpt, torch_gpt),
}


def keras_epoch(engine, name):
    if engine == "cornu":
        import cornu as keras
    else:
        os.environ["KERAS_BACKEND"] = engine.removeprefix("keras-")
        import keras
    _, data, batch, loss, build, _ = MODELS[name]
    x, y = data()
    model = build(keras)
    model.compile("adam", loss, metrics=["accuracy"] if name != "autoencoder" else None)
    return lambda: model.fit(x, y, batch_size=batch, epochs=1, verbose=0)


def torch_epoch(name):
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    _, data, batch, loss, _, build = MODELS[name]
    x, y = data()
    if x.ndim == 4:
        x = np.ascontiguousarray(np.moveaxis(x, -1, 1))
        y = np.ascontiguousarray(np.moveaxis(y, -1, 1)) if y.ndim == 4 else y
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    y = y.float() if loss == BINARY else y.long()
    model = build(torch.nn)
    optimizer = torch.optim.Adam(model.parameters())
    loss_fn = torch.nn.BCEWithLogitsLoss() if loss == BINARY else torch.nn.CrossEntropyLoss()

    def run():
        model.train()
        order, total, right = torch.randperm(len(x)), torch.zeros(()), torch.zeros(())
        for start in range(0, len(x), batch):
            rows = order[start:start + batch]
            inputs, targets = x[rows], y[rows]
            optimizer.zero_grad()
            outputs = model(inputs)
            value = loss_fn(outputs.flatten(0, -2), targets.flatten()) if loss == CLASSES else loss_fn(outputs, targets)
            value.backward()
            optimizer.step()
            total += value.detach() * len(rows)
            if name != "autoencoder":
                found = outputs.detach()
                right += ((found > 0) == targets).sum() if loss == BINARY else (found.argmax(-1) == targets).sum()
        return float(total), float(right)

    return run


def worker(engine, name) -> None:
    """One epoch for every line on standard input; answers with its seconds and the peak of resident memory in MB."""
    run = torch_epoch(name) if engine == "pytorch" else keras_epoch(engine, name)
    say("ready")
    for _ in sys.stdin:
        start = time.perf_counter()
        run()
        seconds = time.perf_counter() - start
        peak = next(line for line in pathlib.Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        say([seconds, int(peak.split()[1]) / 1024])


def measure(name, engines, rounds) -> dict:
    """Engine -> [(seconds, peak) of every epoch of one process, the first one first]."""
    with tempfile.TemporaryDirectory() as home:  # nothing is compiled before the first epoch
        env = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3", PYTHONWARNINGS="ignore", CORNU_HOME=home)
        with Workers(__file__, engines, name, stderr=subprocess.DEVNULL, env=env) as workers:
            for engine in engines:  # else the others' imports would fall on the first engine's first epoch
                workers.answer(engine)
            return workers.turns(rounds + 1)


def summed_up(runs) -> dict:
    """Engine -> (lowest epoch, first epoch, peak), of the measurements of several processes."""
    return {engine: (min(s for run in runs for s, _ in run[engine][1:]), statistics.median(run[engine][0][0] for run in runs),
                     statistics.median(run[engine][-1][1] for run in runs)) for engine in runs[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="*", default=[""])
    parser.add_argument("--processes", type=int, default=3, help="of every engine, one after the other")
    parser.add_argument("--rounds", type=int, default=2, help="epochs of each after its first")
    parser.add_argument("--engine", action="append", choices=ENGINES)
    parser.add_argument("--worker", choices=ENGINES)
    options = parser.parse_args()
    if options.worker:
        return worker(options.worker, options.part[0])
    engines, ratios = options.engine or ENGINES, {"best other": [], "first": [], "memory": []}
    print(heading("Whole models", "Seconds of the fastest epoch (of the first one; peak of resident memory in MB). Below 1 cornu is better."))
    print("| model |", " | ".join(f"{e} s (first; MB)" for e in engines), "| cornu / best other | first / Keras-JAX's "
          "| memory / Keras-JAX's |\n" + "|---" * (len(engines) + 4) + "|")
    for name, (what, *_) in MODELS.items():
        if not any(part in name for part in options.part):
            continue
        found = summed_up([measure(name, engines, options.rounds) for _ in range(options.processes)])
        cells = [f"{best:.3f} ({first:.1f}; {peak:.0f})" for best, first, peak in found.values()]
        if "cornu" in found and len(found) > 1:
            ratios["best other"].append(found["cornu"][0] / min(f[0] for e, f in found.items() if e != "cornu"))
            cells.append(f"{ratios['best other'][-1]:.2f}")
            if "keras-jax" in found:
                for key, place in (("first", 1), ("memory", 2)):
                    ratios[key].append(found["cornu"][place] / found["keras-jax"][place])
                    cells.append(f"{ratios[key][-1]:.2f}")
        print("|", what, "|", " | ".join(cells), "|", flush=True)
    print("\n" + "; ".join(f"{key}: geometric mean {geometric_mean(r):.2f}, worst {max(r):.2f}" for key, r in ratios.items() if r))


if __name__ == "__main__":
    main()
