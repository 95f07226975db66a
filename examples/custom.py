"""All parts of training by hand: a layer, a loss, a metric, an optimizer, a callback and a training step.

    python examples/custom.py

Learns to tell handwritten digits (8 x 8, from scikit-learn) apart. Prints the accuracy on digits that it has never
seen, about 0.98.
"""

import numpy as np
from sklearn.datasets import load_digits

import cornu as keras
from cornu import layers, losses, metrics, ops, optimizers

keras.utils.set_random_seed(1)


class Gated(layers.Layer):
    """A dense layer whose outputs are switched on and off by gates of the same inputs."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.kernel = self.add_weight((input_shape[-1], 2 * self.units), "glorot_uniform", name="kernel")

    def call(self, x):
        value, gate = ops.split(ops.matmul(x, self.kernel), 2, axis=-1)
        return value * ops.sigmoid(gate)


class Smoothed(losses.Loss):
    """Cross-entropy of class numbers, with a part of every target spread over all classes."""

    def __init__(self, spread=0.05, **kwargs):
        super().__init__(**kwargs)
        self.spread = spread

    def call(self, y_true, y_pred):
        logs = ops.log_softmax(y_pred)
        own = ops.take_along_axis(logs, ops.cast(y_true, "int32")[:, None], axis=-1)[:, 0]
        return -(1 - self.spread) * own - self.spread * ops.mean(logs, axis=-1)


class WorstClass(metrics.Metric):
    """The accuracy of the class that is read worst."""

    def __init__(self, classes=10, name="worst_class", **kwargs):
        super().__init__(name=name, **kwargs)
        self.classes = classes
        self.right, self.seen = (self.add_weight((classes,), name=n) for n in ("right", "seen"))

    def update_state(self, y_true, y_pred, sample_weight=None):
        of = ops.one_hot(y_true, self.classes)
        self.seen.assign_add(ops.sum(of, axis=0))
        self.right.assign_add(ops.sum(of * ops.cast(ops.argmax(y_pred, -1) == y_true, "float32")[:, None], axis=0))

    def result(self):
        return ops.min(self.right / ops.maximum(self.seen, 1))


class SignedMomentum(optimizers.Optimizer):
    """Steps of one length against the sign of the gradients' moving average."""

    slots = ("momentum",)

    def update(self, gradient, slots, learning_rate, step):
        momentum = 0.9 * slots["momentum"] + 0.1 * gradient
        return learning_rate * ops.sign(momentum), {"momentum": momentum}


class Patient(keras.callbacks.Callback):
    """Halves the learning rate when an epoch brings no smaller loss."""

    def on_train_begin(self, logs=None):
        self.best = np.inf

    def on_epoch_end(self, epoch, logs=None):
        if logs["loss"] > self.best:
            self.model.optimizer.learning_rate = self.model.optimizer.learning_rate * 0.5
        self.best = min(self.best, logs["loss"])


class Noisy(keras.Model):
    """A model that learns from pictures with noise."""

    def __init__(self):
        super().__init__()
        self.hidden, self.out = Gated(64), layers.Dense(10)
        self.seeds = keras.random.SeedGenerator(1)

    def call(self, x):
        return self.out(self.hidden(x))

    def train_step(self, data):
        x, y = data
        noisy = x + keras.random.normal(ops.shape(x), stddev=0.1, seed=self.seeds)

        def loss():
            y_pred = self(noisy, training=True)
            return self.compute_loss(x, y, y_pred), y_pred

        (value, y_pred), gradients = keras.value_and_grad(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        return {**self.compute_metrics(x, y, y_pred), "loss": value}


x, y = load_digits(return_X_y=True)
x, order = x.astype("float32") / 16, np.random.default_rng(1).permutation(len(x))
train, test = order[:1400], order[1400:]

model = Noisy()
model.compile(SignedMomentum(0.003), Smoothed(), metrics=["accuracy", WorstClass()])
history = model.fit(x[train], y[train], epochs=30, batch_size=32, callbacks=[Patient()], verbose=0)
result = model.evaluate(x[test], y[test], verbose=0, return_dict=True)
print(f"Learning rate from 0.003 to {float(model.optimizer.learning_rate):.1e}, "
      f"loss from {history.history['loss'][0]:.3f} to {history.history['loss'][-1]:.3f}")
print(f"Accuracy of the worst class {result['worst_class']:.3f}")
print(f"Test accuracy {result['accuracy']:.4f}")
