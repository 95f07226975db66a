"""Mutated files: `mutant(seed)` makes one; run as a program, it opens those of a range of seeds in processes of its own.

Mutations know the structure: of zip archives (with checksums made right again, so that what is inside is reached), of
JSON (values swapped for strange ones), of HDF5 (fields of messages, addresses and sizes); or they know nothing of it.
"""

import functools
import io
import json
import os
import random
import re
import struct
import sys
import time
import zipfile

import hostile

STRANGE = [None, True, -1, 0, 1, 2 ** 31, 2 ** 63, 1e308, float("nan"), "", "relu", "a" * 300, "/etc/passwd", [], [None], {}, [[]],
           {"class_name": "Dense", "config": {}}, {"class_name": "__tensor__", "config": {"value": 1, "dtype": "f4"}}, "\0", "\ud800"]
NUMBERS = [0, 1, 2, 7, 8, 255, 256, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1, (1 << 64) - 1]
# Where HDF5's structures and its messages of layouts, dtypes, shapes, attributes, continuations and tables begin.
MARKS = re.compile(rb"TREE|SNOD|HEAP|GCOL|\x08\0\x18\0|\x03\0.\0|\x01\0.\0|\x0c\0.\0|\x10\0\x10\0|\x11\0\x10\0", re.DOTALL)


def scrambled(rng, data: bytes) -> bytes:
    """Bytes changed, cut, repeated, or exchanged without knowledge of what they mean."""
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 4, 16])):
        at = rng.randrange(len(data)) if data else 0
        kind = rng.randrange(6)
        if not data:
            break
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
        elif kind == 2:
            del data[at:at + rng.choice([1, 2, 8, 100, len(data)])]
        elif kind == 3:
            data[at:at] = data[at:at + rng.choice([1, 8, 64])]
        elif kind == 4:
            width = rng.choice([1, 2, 4, 8])
            data[at:at + width] = (rng.choice(NUMBERS) & ((1 << 8 * width) - 1)).to_bytes(width, "little")
        else:
            other = rng.randrange(len(data))
            data[at:at + 8], data[other:other + 8] = data[other:other + 8], data[at:at + 8]
    return bytes(data)


@functools.lru_cache
def places_in(data: bytes) -> tuple:
    return tuple(found.start() for found in MARKS.finditer(data))


def hdf5_mutant(rng, data: bytes) -> bytes:
    """Fields near what begins HDF5's structures, and addresses exchanged for one another."""
    places = places_in(data) if rng.random() < 0.7 else ()
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 3, 6])):
        at = (rng.choice(places) if places else rng.randrange(len(data) - 8)) + rng.randrange(32)
        width = rng.choice([1, 1, 2, 4, 8])
        value = rng.choice([*NUMBERS, rng.randrange(len(data)), rng.randrange(len(data)) & ~7])
        if at + width <= len(data):
            data[at:at + width] = (value & ((1 << 8 * width) - 1)).to_bytes(width, "little")
    return bytes(data)


def json_mutant(rng, config):
    """Values, keys and parts of a config exchanged."""
    places = []

    def walk(item):
        for key, value in item.items() if isinstance(item, dict) else enumerate(item):
            places.append((item, key))
            if isinstance(value, (dict, list)):
                walk(value)

    walk(config)
    for _ in range(rng.choice([1, 1, 2, 3])):
        (item, key), (other, name) = rng.choice(places), rng.choice(places)
        try:
            kind = rng.randrange(5)
            if kind == 0:
                item[key] = rng.choice(STRANGE)
            elif kind == 1:
                item[key] = json.loads(json.dumps(other[name]))
            elif kind == 2:
                del item[key]
            elif kind == 3 and isinstance(item, dict):
                item[rng.choice([str(name), "name", "config", "units", "dtype", "shared_object_id"])] = rng.choice(STRANGE)
            elif isinstance(item[key], (int, float)):
                item[key] = rng.choice(NUMBERS) * rng.choice([1, -1])
        except (LookupError, TypeError, ValueError):
            pass
    return config


def zip_mutant(rng, data: bytes) -> bytes:
    """Fields of the headers and of the list of members."""
    data = bytearray(data)
    places = [i for mark in (b"PK\1\2", b"PK\3\4", b"PK\5\6") for i in range(len(data)) if data[i:i + 4] == mark]
    for _ in range(rng.choice([1, 1, 2, 3])):
        at, width = rng.choice(places) + rng.randrange(48), rng.choice([1, 2, 4])
        if at + width <= len(data):
            data[at:at + width] = (rng.choice(NUMBERS) & ((1 << 8 * width) - 1)).to_bytes(width, "little")
    return bytes(data)


def bases():
    """Harmless files to start from: their configs, weights, and Keras 2 files."""
    import cornu

    k = cornu.layers
    x = cornu.Input((6, 4), name="x")
    h = k.Bidirectional(k.LSTM(2, return_sequences=True, name="lstm"), name="both")(x)
    h = k.MultiHeadAttention(1, 2, name="attention")(h, h)
    h = k.Dense(3, activation="relu", kernel_regularizer="l2", name="d")(k.Flatten(name="f")(h))
    h = k.BatchNormalization(name="bn")(k.Dropout(0.1, name="drop")(h)) * 2.0
    model = cornu.Model(x, h, name="m")
    model.compile("adam", "mse", metrics=["mae"])
    model.optimizer.build(model.trainable_variables)
    small = cornu.Sequential([cornu.Input((3,), name="input"), k.Dense(2, name="dense")], name="s")
    small.compile("sgd", "mse")
    found = []
    for one in (small, model):
        space = os.path.join(os.environ["TMPDIR"], "base.keras")
        one.save(space)
        with zipfile.ZipFile(space) as z:
            found.append((json.loads(z.read("config.json")), z.read("model.weights.h5")))
        found[-1] = (*found[-1], hdf5_of_keras2(found[-1][1], one))
    return found


def hdf5_of_keras2(weights, model) -> bytes:
    """The same model as a Keras 2 file would hold it, as far as the mutations care."""
    import h5py
    import numpy as np

    space = io.BytesIO()
    with h5py.File(space, "w") as f:
        f.attrs["keras_version"], f.attrs["backend"] = "3.15.1", "jax"
        f.attrs["model_config"] = json.dumps(hostile.base_config())
        group = f.create_group("model_weights")
        group.attrs["layer_names"] = [b"dense"]
        group.attrs["backend"], group.attrs["keras_version"] = "jax", "3.15.1"
        inner = group.create_group("dense")
        inner.attrs["weight_names"] = [b"dense/kernel", b"dense/bias"]
        inner["dense/kernel"], inner["dense/bias"] = np.ones((3, 2), "f4"), np.zeros(2, "f4")
    return space.getvalue()


def mutant(seed: int, starts) -> tuple[str, bytes]:
    """A file's ending and its bytes."""
    rng = random.Random(seed)
    config, weights, legacy = rng.choice([starts[0]] * 4 + [starts[1]])
    config = json.loads(json.dumps(config))
    kind = rng.randrange(10)
    if kind == 0:
        return ".weights.h5", rng.choice([scrambled, hdf5_mutant])(rng, starts[0][1])
    if kind == 1:
        return ".h5", rng.choice([scrambled, hdf5_mutant, hdf5_mutant])(rng, legacy)
    if kind in (2, 3, 4):
        weights = rng.choice([scrambled, hdf5_mutant, hdf5_mutant])(rng, weights)
    text = json.dumps(json_mutant(rng, config) if kind in (5, 6, 7) else config).encode()
    if kind == 7 and rng.random() < 0.3:
        text = scrambled(rng, text)
    space = io.BytesIO()
    hostile.archive(space, text, weights, compression=rng.choice([0, 0, 0, 8]))
    data = space.getvalue()
    return ".keras", {8: zip_mutant, 9: scrambled}.get(kind, lambda _, d: d)(rng, data)


def open_range(start: int, stop: int):
    """Open the files of some seeds, in one process; a line for each that misbehaves."""
    import signal

    import cornu
    import opening

    cornu.config.disable_traceback_filtering()
    signal.signal(signal.SIGALRM, opening.stop)
    opening.warm_up(os.environ["TMPDIR"])
    starts = bases()
    errors = opened = 0
    for seed in range(start, stop):
        ending, data = mutant(seed, starts)
        path = os.path.join(os.environ["TMPDIR"], f"f{start}{ending}")
        with open(path, "wb") as file:
            file.write(data)
        print("SEED", seed, flush=True)
        result = opening.attempt(path)
        bases_ = set(result["bases"])
        errors, opened = errors + bool(result["error"]), opened + (not result["error"])
        bad = result["error"] and (not {"ValueError", "ImportError"} & bases_ or "cornu" not in (result["where"] or ""))
        if bad or result["seconds"] > 5 or result["grown"] > len(data) / 2 ** 20 + 64:
            print("RESULT", json.dumps({"seed": seed, "ending": ending, **result}), flush=True)
    print("TOTAL", errors, opened, flush=True)


if __name__ == "__main__":
    began = time.process_time()
    open_range(int(sys.argv[1]), int(sys.argv[2]))
    print("CPU SECONDS", time.process_time() - began)
