"""A picture and a text together, two answers: handwritten digits beside numbers written as words.

    python examples/multimodal.py

Reads a picture of a digit (8 x 8, from scikit-learn) and a word such as "seven", letter by letter, and says whether
they mean the same number, and what their sum is. Prints both accuracies on digits that it has never seen.
"""

import numpy as np
from sklearn.datasets import load_digits

import cornu as keras
from cornu import layers

keras.utils.set_random_seed(1)
WORDS = "zero one two three four five six seven eight nine".split()
LETTERS = sorted(set("".join(WORDS)))
random = np.random.default_rng(1)


def pairs(images, digits, number):
    """Pictures with words, half of which mean the same number."""
    which = random.integers(0, len(digits), number)
    words = np.where(random.random(number) < 0.5, digits[which], random.integers(0, 10, number))
    letters = np.array([[LETTERS.index(c) + 1 for c in word] + [0] * (5 - len(word)) for word in WORDS])[words]
    return ({"picture": images[which], "word": letters},
            {"same": (digits[which] == words).astype("float32"), "sum": digits[which] + words})


images, digits = load_digits(return_X_y=True)
images = images.reshape(-1, 8, 8, 1).astype("float32") / 16
order = random.permutation(len(digits))
train, test = (pairs(images[part], digits[part], n) for part, n in ((order[:1400], 20_000), (order[1400:], 2_000)))

picture, word = keras.Input((8, 8, 1), name="picture"), keras.Input((5,), dtype="int32", name="word")
seen = layers.Conv2D(32, 3, activation="relu")(picture)
seen = layers.Dense(64, activation="relu")(layers.Flatten()(layers.MaxPooling2D()(seen)))
read = layers.GRU(32)(layers.Embedding(len(LETTERS) + 1, 8, mask_zero=True)(word))
both = layers.Concatenate()([seen, read])
both = layers.Dense(128, activation="relu")(layers.Dense(128, activation="relu")(both))
model = keras.Model([picture, word], {"same": layers.Dense(1, activation="sigmoid", name="same")(both),
                                      "sum": layers.Dense(19, activation="softmax", name="sum")(both)})
model.compile("adam", loss={"same": "binary_crossentropy", "sum": "sparse_categorical_crossentropy"},
              metrics={"same": ["accuracy", "f1_score"], "sum": ["accuracy"]}, loss_weights={"same": 0.5})
model.fit(*train, epochs=8, batch_size=64, verbose=2)

result = model.evaluate(*test, verbose=0, return_dict=True)
answers = model.predict({name: x[:5] for name, x in test[0].items()}, verbose=0)
for letters, same, total, true in zip(test[0]["word"], answers["same"][:, 0], answers["sum"], test[1]["sum"]):
    word = "".join(LETTERS[i - 1] for i in letters if i)
    print(f"picture + {word:<5} = {total.argmax()} (truly {true}); the same with probability {same:.2f}")
print(f"Same number: accuracy {result['same_accuracy']:.3f}, F1 {result['same_f1_score']:.3f}")
print(f"Test accuracy {result['sum_accuracy']:.4f}")
