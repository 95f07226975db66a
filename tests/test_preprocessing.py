"""Preprocessing layers against the real Keras's numbers (tests/text_table.py), and what the tables cannot say."""

import json

import numpy as np
import pytest
from text_table import CASES, GOLDEN, run

import cornu
from cornu import layers

EXPECTED = json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("number", range(len(CASES)))
def test_numbers_are_keras_s(number):
    found, expected = run(CASES[number], cornu), EXPECTED[number]
    assert found["state"] == pytest.approx(expected["state"]) and found["shape"] == expected["shape"]
    np.testing.assert_allclose(found["output"], expected["output"], rtol=1e-5, atol=1e-6)
