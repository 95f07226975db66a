"""Rows of the preprocessing layers for numbers and categories; see tests/layer_table.py."""

from layer_table import row

ENCODINGS = ("one_hot", "multi_hot", "count")
MOMENTS = dict(mean=[1.0, -2.0, 0.5, 3.0], variance=[4.0, 0.25, 1.0, 0.0])

ROWS_TEXT = [
    row("Rescaling", dict(scale=1 / 255), (2, 5, 5, 3), high=256, grad=False),
    row("Rescaling", dict(scale=2.0, offset=-1.0), (2, 4)),
    row("Rescaling", dict(scale=[1, 2.5, 3], offset=[0.5, 0, 1]), (2, 5, 3)),
    row("Normalization", {}, (2, 4)),
    row("Normalization", MOMENTS, (3, 4), tolerance=1e-4),
    row("Normalization", dict(**MOMENTS, invert=True), (3, 5, 4)),
    row("Normalization", dict(axis=None, mean=1.5, variance=2.0), (3, 4)),
    row("Normalization", dict(axis=(1, 2), mean=2, variance=3), (2, 3, 4), high=9, grad=False),
    *(row("Discretization", dict(bin_boundaries=[-0.5, 0.0, 0.7], output_mode=mode), shape, grad=False)
      for mode in ("int", *ENCODINGS) for shape in ((5, 1), (2, 4))),
    *(row("CategoryEncoding", dict(num_tokens=6, output_mode=mode), shape, high=6, grad=False)
      for mode in ENCODINGS for shape in ((5, 1), (2, 4))),
]
