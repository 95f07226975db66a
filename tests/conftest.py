"""Settings for all tests: the real Keras, which some tests ask for numbers, runs on JAX."""

import os
import signal

import pytest

os.environ["KERAS_BACKEND"] = "jax"
os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture
def homes(tmp_path, monkeypatch):
    """Empty homes for cornu and Keras."""
    monkeypatch.setenv("CORNU_HOME", str(tmp_path / "cornu"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path


@pytest.fixture(autouse=True)
def seeds():
    """Every test draws the same weights each time: once in some thousand draws all units of a small layer are dead."""
    import cornu

    cornu.utils.set_random_seed(0)


@pytest.fixture(autouse=True, scope="session")
def listening():
    """Ctrl-C is heard also where the tests were started in the background, with the signal ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True, scope="module")
def caches():
    """Compiled programs are dropped after every file: thousands of them would fill the memory."""
    yield
    import jax

    jax.clear_caches()
