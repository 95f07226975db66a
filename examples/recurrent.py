"""A recurrent network learns to continue a text, letter by letter.

    python examples/recurrent.py

The text is the reference of the Python language that Python brings along. An LSTM sees forty letters and says at each
what comes next. Prints how often it is right on a part of the text that it has never seen (about 0.6; always a
space would be right in one case of five), and a few lines of its own.
"""

import numpy as np
from pydoc_data.topics import topics

import cornu as keras
from cornu import layers

keras.utils.set_random_seed(1)
STEPS = 40

text = "\n".join(topics[name] for name in sorted(topics)).lower()
text = "".join(c if c.isascii() and (c.isalnum() or c in " \n.,:;()'\"") else " " for c in text)
letters = sorted(set(text))
codes = np.array([letters.index(c) for c in text[:330_000]], "int32")


def windows(codes):
    """Pieces of the text, and the same shifted by a letter."""
    pieces = codes[:len(codes) // (STEPS + 1) * (STEPS + 1)].reshape(-1, STEPS + 1)
    return pieces[:, :-1], pieces[:, 1:]


(x, y), (x_test, y_test) = windows(codes[:300_000]), windows(codes[300_000:])

model = keras.Sequential([
    layers.Input((STEPS,), dtype="int32"),
    layers.Embedding(len(letters), 32),
    layers.LSTM(128, return_sequences=True),
    layers.Dense(len(letters)),
])
model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.01, 4 * (len(x) // 32 + 1))),
              keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
model.fit(x, y, epochs=4, batch_size=32, verbose=2)
loss, accuracy = model.evaluate(x_test, y_test, verbose=0)

random, written = np.random.default_rng(1), list(x_test[0])
for _ in range(200):
    logits = model.predict(np.array([written[-STEPS:]]), verbose=0)[0, -1].astype("float64") / 0.5
    chances = np.exp(logits - logits.max())
    written.append(random.choice(len(letters), p=chances / chances.sum()))
print("".join(letters[i] for i in written))
print(f"Always a space: {np.mean(y_test == letters.index(' ')):.4f}")
print(f"Test accuracy {accuracy:.4f}")
