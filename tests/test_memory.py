"""Memory stays flat: over 2,000 predictions, and over 50 models that are made, trained and thrown away."""

import subprocess
import sys

import pytest

SCRIPT = """
import gc, sys
import numpy as np, cornu
from cornu import layers

def resident():
    gc.collect()
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20

X, Y = np.random.rand(256, 16).astype("float32"), np.random.randint(0, 3, 256)

def trained():
    model = cornu.Sequential([cornu.Input((16,)), layers.Dense(32, activation="relu"), layers.Dropout(0.1), layers.Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(X, Y, verbose=0)
    return model

if sys.argv[1] == "predict":
    model = trained()
    rows = [1, 5, 100]
    for turn in range(2030):
        model.predict(X[:rows[turn % 3]], verbose=0)
        before = resident() if turn == 29 else before if turn > 29 else 0
else:
    for turn in range(60):
        trained()
        gc.collect()  # a model is full of circles: Python would let some of them lie for a while
        before = resident() if turn == 9 else before if turn > 9 else 0
print(resident() - before)
"""


@pytest.mark.long
@pytest.mark.parametrize("what", ["predict", "cycles"])
def test_memory_is_flat_within_5_mb(what):
    told = subprocess.run([sys.executable, "-c", SCRIPT, what], capture_output=True, text=True, check=True).stdout
    assert float(told) < 5, told
