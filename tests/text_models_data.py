"""A table of mixed columns and a FeatureSpace for it, for tests and for the real Keras."""

import numpy as np


def table(n=40):
    """Columns of every kind."""
    rng = np.random.default_rng(0)
    return {"age": rng.integers(20, 70, n), "height": rng.normal(170, 10, n).astype("float32"),
            "job": rng.choice(["cook", "clerk", "pilot"], n), "code": rng.integers(0, 5, n),
            "zip": rng.choice([f"z{i}" for i in range(30)], n), "uid": rng.integers(0, 1000, n),
            "income": rng.normal(50, 20, n).astype("float32"), "w": rng.normal(0, 1, n).astype("float32")}


def space(f, **kwargs):
    """A FeatureSpace (the class is given) of the table's columns."""
    return f({"age": f.float_discretized(num_bins=4), "height": f.float_normalized(), "job": f.string_categorical(),
              "code": f.integer_categorical(num_oov_indices=0), "zip": f.string_hashed(num_bins=8),
              "uid": f.integer_hashed(num_bins=6), "income": f.float_rescaled(scale=1 / 50), "w": "float"},
             crosses=[f.cross(("job", "zip"), crossing_dim=10), ("code", "uid")], **kwargs)
