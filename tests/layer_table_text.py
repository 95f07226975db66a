"""Rows of the preprocessing layers for numbers, categories and texts; see tests/layer_table.py."""

from layer_table import row

ROWS_TEXT = [
    row("Rescaling", dict(scale=1 / 255), (2, 5, 5, 3), high=256, grad=False),
    row("Rescaling", dict(scale=2.0, offset=-1.0), (2, 4)),
    row("Rescaling", dict(scale=[1, 2.5, 3], offset=[0.5, 0, 1]), (2, 5, 3)),
]
