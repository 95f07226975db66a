"""Augmented Fashion-MNIST: flips, rotations, zoom, contrast, RandAugment, MixUp and CutMix inside the training step.

    python examples/image_augmentation.py [--epochs 3] [--images 10000] [--picture augmented.png]

Everything that is random comes from seed generators, which are part of the model's state, and runs compiled together
with the network. With `--picture` a grid of augmented images is drawn too, a row for each layer.
"""

import argparse

import numpy as np

import cornu as keras
from cornu import layers

NAMES = "T-shirt trouser pullover dress coat sandal shirt sneaker bag boot".split()
AUGMENTATION = [  # on values from 0 to 255; images are scaled afterwards
    layers.RandomFlip("horizontal", seed=1), layers.RandomRotation(0.03, fill_mode="constant", seed=2),
    layers.RandomZoom(0.1, fill_mode="constant", seed=3), layers.RandomContrast(0.3, seed=4),
    layers.RandAugment(num_ops=1, factor=0.1, seed=5)]


class Classifier(keras.Model):
    """A small convolutional network whose training step mixes images and their labels."""

    def __init__(self):
        super().__init__()
        self.mixup, self.cutmix = layers.MixUp(alpha=0.2, seed=6), layers.CutMix(factor=1.0, seed=7)
        self.body = keras.Sequential([
            *AUGMENTATION, layers.Rescaling(1 / 255),
            layers.Conv2D(16, 3, padding="same", activation="relu"), layers.MaxPooling2D(),
            layers.Conv2D(32, 3, padding="same", activation="relu"), layers.MaxPooling2D(),
            layers.Flatten(), layers.Dense(64, activation="relu"), layers.Dense(10, activation="softmax")])

    def call(self, images, training=None):
        return self.body(images, training=training)

    def train_step(self, data):
        images, labels = data
        mixed = self.cutmix(self.mixup({"images": images, "labels": labels}, training=True), training=True)
        return super().train_step((mixed["images"], mixed["labels"]))


def picture(images, labels, path):
    """Draw a grid: the images themselves, then what every layer makes of them."""
    from PIL import Image

    rows = [images]
    for layer in (*AUGMENTATION, layers.RandomElasticTransform((1, 1), (1, 1), seed=8),
                  layers.RandomErasing((1, 1), seed=9), layers.AugMix(seed=10),
                  layers.MixUp(alpha=1.0, seed=11), layers.CutMix((1, 1), seed=12)):
        data = {"images": images, "labels": labels}
        rows.append(np.asarray(layer(data, training=True)["images"]))
    grid = np.concatenate([np.concatenate(list(row), 1) for row in rows])[..., 0]
    grid = np.clip(grid, 0, 255).astype("uint8").repeat(2, 0).repeat(2, 1)
    Image.fromarray(grid).save(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--picture")
    told = parser.parse_args()

    (x, y), (x_test, y_test) = keras.datasets.fashion_mnist.load_data()
    x, x_test = (a[..., None].astype("float32") for a in (x[:told.images], x_test))
    y, y_test = (keras.utils.to_categorical(a, 10) for a in (y[:told.images], y_test))
    if told.picture:
        picture(x[:12], y[:12], told.picture)
    model = Classifier()
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=told.epochs, batch_size=128, validation_data=(x_test, y_test))
    first = model.predict(x_test[:5], verbose=0).argmax(-1)
    print("seen:", ", ".join(NAMES[i] for i in first), "- true:", ", ".join(NAMES[i] for i in y_test[:5].argmax(-1)))


if __name__ == "__main__":
    main()
