"""A variational autoencoder learns to draw handwritten digits, with a training step of its own.

    python examples/vae.py

The encoder turns a picture into a cloud in 8 dimensions, the decoder draws one from a point of it. The loss is what is
lost of the picture, plus how far the cloud is from a standard normal one. Writes vae_digits.png: above, test pictures and
what comes back of them; below, digits that nobody has ever written.
"""

import numpy as np

import cornu as keras
from cornu import layers, ops

keras.utils.set_random_seed(1)
(x_train, _), (x_test, _) = keras.datasets.mnist.load_data()
x_train, x_test = (x.reshape(-1, 784).astype("float32") / 255 for x in (x_train, x_test))


class VAE(keras.Model):
    def __init__(self, size=8):
        super().__init__()
        self.encoder = keras.Sequential([layers.Input((784,)), layers.Dense(256, activation="relu"), layers.Dense(2 * size)])
        self.decoder = keras.Sequential([layers.Input((size,)), layers.Dense(256, activation="relu"),
                                         layers.Dense(784, activation="sigmoid")])
        self.size, self.seeds = size, keras.random.SeedGenerator(1)
        self.picture, self.cloud = keras.metrics.Mean(name="picture"), keras.metrics.Mean(name="cloud")

    def call(self, x):
        mean, log_variance = ops.split(self.encoder(x), 2, axis=-1)
        self.cloud.update_state(cloud := 0.5 * ops.sum(mean**2 + ops.exp(log_variance) - 1 - log_variance, -1))
        point = mean + ops.exp(log_variance / 2) * keras.random.normal(mean.shape, seed=self.seeds)
        return self.decoder(point), cloud

    def train_step(self, x):
        def loss():
            drawn, cloud = self(x)
            self.picture.update_state(picture := 784 * keras.losses.binary_crossentropy(x, drawn))
            return ops.mean(picture + cloud)

        _, gradients = keras.value_and_grad(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        return {"picture": self.picture.result(), "cloud": self.cloud.result()}


model = VAE()
model.compile(keras.optimizers.Adam(1e-3))
history = model.fit(x_train, batch_size=128, epochs=10).history
print(f"Bits of a picture that are lost: {history['picture'][-1] / np.log(2):.1f}, of a code: {history['cloud'][-1] / np.log(2):.1f}")

rebuilt = model.decoder.predict(np.split(model.encoder.predict(x_test[:20], verbose=0), 2, axis=-1)[0], verbose=0)
drawn = model.decoder.predict(np.random.default_rng(0).normal(size=(60, model.size)).astype("float32"), verbose=0)
rows = np.concatenate([x_test[:20], rebuilt, drawn]).reshape(5, 20, 28, 28)

try:
    from PIL import Image
except ImportError:
    print('For a picture of the digits: pip install "cornu[image]"')
else:
    Image.fromarray((255 * rows.transpose(0, 2, 1, 3).reshape(5 * 28, 20 * 28)).astype("uint8")).resize((1120, 280)).save("vae_digits.png")
    print("Digits: vae_digits.png")
