"""A typical augmentation pipeline on 256 images of 96 x 96 x 3: cornu against the real Keras.

    python benchmarks/augmentation.py cornu            # then KERAS_BACKEND=jax python benchmarks/augmentation.py keras

Prints the best of several calls in milliseconds, for arrays given eagerly and, on JAX, inside jax.jit.
"""

import sys
import time

import numpy as np


def pipelines(library):
    layers = library.layers
    flips = lambda: [layers.RandomFlip("horizontal", seed=1), layers.RandomRotation(0.1, seed=2),  # noqa: E731
                     layers.RandomZoom(0.2, seed=3), layers.RandomContrast(0.2, seed=4)]
    return {"flip, rotation, zoom, contrast": flips(), "RandAugment": [layers.RandAugment(seed=5)],
            "brightness, saturation, hue": [
                layers.RandomBrightness(0.2, seed=1), layers.RandomSaturation((0.4, 0.6), seed=2),
                layers.RandomHue(0.1, seed=3)],
            "MixUp, CutMix": [layers.MixUp(seed=1), layers.CutMix(seed=2)]}


def run(layers, data):
    for layer in layers:
        data = layer(data, training=True)
    return data


def best(call, times=3):
    def once():
        start = time.perf_counter()
        found = call()
        for x in found.values() if isinstance(found, dict) else [found]:
            np.asarray(x)
        return time.perf_counter() - start

    once()
    return 1000 * min(once() for _ in range(times))


def main():
    name = sys.argv[1]
    library = __import__(name)
    images = np.random.default_rng(0).uniform(0, 255, (256, 96, 96, 3)).astype("float32")
    labels = np.eye(10, dtype="float32")[np.arange(256) % 10]
    for what, layers in pipelines(library).items():
        data = {"images": images, "labels": labels} if "MixUp" in what else images
        print(f"{name} {what}: eager {best(lambda: run(layers, data)):.0f} ms", end="", flush=True)
        if name == "cornu":
            import jax

            states = [v for layer in layers for v in layer.variables]
            pure = jax.jit(library.functional(lambda d: run(layers, d), states))
            print(f", compiled {best(lambda: pure([v.value for v in states], data)[0]):.0f} ms")
        elif library.backend.backend() == "jax":
            import jax

            for layer in layers:
                layer(data, training=True)
            states = [v for layer in layers for v in layer.variables]

            def pure(values, d):
                with library.StatelessScope(list(zip(states, values))) as scope:
                    found = run(layers, d)
                return found, [scope.get_current_value(v) for v in states]

            jitted = jax.jit(pure)
            print(f", compiled {best(lambda: jitted([v.value for v in states], data)[0]):.0f} ms")
        else:
            print()


if __name__ == "__main__":
    main()
