"""The classic program: a small network learns to read handwritten digits.

    python examples/mnist.py

Load the data, define the network, compile, fit, evaluate and predict. Prints the test accuracy (about 0.98) and
writes the learning curves to mnist_curves.png.
"""

import numpy as np

import cornu as keras
from cornu import layers

keras.utils.set_random_seed(1)

# 1. The data: 50,000 pictures to learn from, 10,000 to watch the learning with, 10,000 for the test at the end.
(x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
x_train, x_test = (x.reshape(-1, 784).astype("float32") / 255 for x in (x_train, x_test))
x_train, x_valid = x_train[:50000], x_train[50000:]
y_train, y_valid = y_train[:50000], y_train[50000:]

# 2. The network.
model = keras.Sequential([
    layers.Input((784,)),
    layers.Dense(128, activation="relu"),
    layers.Dropout(0.2),
    layers.Dense(10, activation="softmax"),
])
model.summary()

# 3. How it learns.
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])

# 4. Learning.
history = model.fit(x_train, y_train, batch_size=128, epochs=10, validation_data=(x_valid, y_valid))

# 5. How well it does on pictures it has never seen.
loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
digits = np.argmax(model.predict(x_test[:10], verbose=0), axis=1)
print("The first ten test pictures are", *y_test[:10])
print("The network reads them as      ", *digits)
print(f"Test loss {loss:.4f}")
print(f"Test accuracy {accuracy:.4f}")

try:
    import matplotlib
except ImportError:
    print('For a picture of the learning curves: pip install "cornu[plot]"')
else:
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 4))
    for axis, name in zip(axes, ("loss", "accuracy")):
        epochs = range(1, len(history.history[name]) + 1)
        axis.plot(epochs, history.history[name], label="training")
        axis.plot(epochs, history.history["val_" + name], label="validation")
        axis.set(xlabel="epoch", ylabel=name)
        axis.legend()
    figure.tight_layout()
    figure.savefig("mnist_curves.png", dpi=120)
    print("Learning curves: mnist_curves.png")
