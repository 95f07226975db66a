"""The examples on real data run and learn: the numbers that they print."""

import pathlib
import re
import subprocess
import sys

import pytest

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"


@pytest.mark.long
@pytest.mark.parametrize("name, least", [("custom", 0.95), ("multimodal", 0.95), ("recurrent", 0.5)])
def test_an_example_learns(name, least, tmp_path):
    pytest.importorskip("sklearn")
    done = subprocess.run([sys.executable, EXAMPLES / f"{name}.py"], cwd=tmp_path, capture_output=True, text=True, timeout=600,
                          env={"PYTHONPATH": str(EXAMPLES.parent / "src"), "PATH": "", "HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(re.search(r"^Test accuracy ([\d.]+)$", done.stdout, re.M)[1]) > least
