"""Settings for all tests: the real Keras, which some tests ask for numbers, runs on JAX."""

import os

os.environ["KERAS_BACKEND"] = "jax"
os.environ.setdefault("MPLBACKEND", "Agg")
