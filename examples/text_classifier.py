"""A network reads raw text: which part of Python's library does a docstring describe?

    python examples/text_classifier.py

The texts are the docstrings of Python's own modules, of four topics. A TextVectorization layer inside the model learns
the vocabulary, so the model is trained on strings, saved, and used on strings: nothing else is needed to run it. Prints
the accuracy on docstrings that it has never seen (about 0.83) and what it thinks of three sentences.
"""

import importlib
import inspect
import pathlib
import tempfile
import warnings
import zlib

import numpy as np

import cornu as keras
from cornu import layers

keras.utils.set_random_seed(1)

TOPICS = {
    "numbers": ["cmath", "decimal", "fractions", "math", "numbers", "random", "statistics"],
    "files": ["bz2", "fileinput", "filecmp", "glob", "gzip", "io", "lzma", "os", "pathlib", "shutil", "tarfile",
              "tempfile", "zipfile"],
    "network": ["email.message", "ftplib", "http.client", "http.cookiejar", "http.server", "imaplib", "ipaddress",
                "poplib", "smtplib", "socket", "socketserver", "ssl", "urllib.request", "xmlrpc.client"],
    "concurrency": ["asyncio", "concurrent.futures", "multiprocessing.managers", "multiprocessing.pool", "queue",
                    "sched", "subprocess", "threading", "_thread"],
}


def docstrings(module: str) -> set:
    """The docstrings of a module's functions, classes and methods, of eight words or more."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        members = [m for m in vars(importlib.import_module(module)).values() if callable(m)]
    inner = [m for c in members if isinstance(c, type) for m in vars(c).values() if callable(m)
             or isinstance(m, property)]
    found = {inspect.getdoc(m) or "" for m in [*members, *inner]}
    return {text for text in found if len(text.split()) >= 8}


# 1. The data: raw strings and the numbers of their topics; a fifth of them is kept for the test.
pairs = sorted((text, number) for number, modules in enumerate(TOPICS.values())
               for text in set().union(*map(docstrings, modules)))
once = {text: number for text, number in pairs}
texts, labels = np.array(list(once), dtype=object), np.array(list(once.values()))
held_out = np.array([zlib.crc32(text.encode()) % 5 == 0 for text in texts])
x_train, y_train, x_test, y_test = texts[~held_out], labels[~held_out], texts[held_out], labels[held_out]
print(f"{len(x_train)} docstrings to learn from, {len(x_test)} for the test")

# 2. The network: words become indices, indices vectors; pairs of words are words, too.
vectorizer = layers.TextVectorization(max_tokens=8000, ngrams=2, output_mode="tf_idf")
vectorizer.adapt(x_train)
model = keras.Sequential([
    layers.Input((), dtype="string"),
    vectorizer,
    layers.Dropout(0.5),
    layers.Dense(32, activation="relu"),
    layers.Dropout(0.5),
    layers.Dense(len(TOPICS), activation="softmax"),
])
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])

# 3. Learning, from strings. Rare topics count as much as frequent ones.
counts = np.bincount(y_train)
model.fit(x_train, y_train, epochs=20, batch_size=32, verbose=2,
          class_weight={number: counts.mean() / count for number, count in enumerate(counts)})

# 4. The file holds the vocabulary; what is read from it predicts the same, from strings.
with tempfile.TemporaryDirectory() as folder:
    model.save(pathlib.Path(folder) / "topics.keras")
    again = keras.saving.load_model(pathlib.Path(folder) / "topics.keras")
assert np.array_equal(again.predict(x_test, verbose=0), model.predict(x_test, verbose=0))

for sentence in ("Return the arithmetic mean of a sequence of floats.", "Open a connection to the server at this "
                                                                        "address.",
                 "Wait until another thread releases the lock."):
    print(f"{list(TOPICS)[np.argmax(again.predict([sentence], verbose=0))]:12} {sentence}")
print(f"Test accuracy {again.evaluate(x_test, y_test, verbose=0)[1]:.4f}")
