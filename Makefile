# Two commands to know: `make mnist` and `make test`. Everything lives in .venv; nothing else on the machine is touched.

PYTHON ?= python3
WORKERS ?= 2
BIN = .venv/bin
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help mnist test test-long test-newest bench bench-all wheel clean

help:
	@echo "make mnist      make .venv, install cornu, train the classic program on MNIST, draw its learning curves"
	@echo "make test       run the tests (make test-long: the long ones, or LONG=\"files\")"
	@echo "make test-newest  run the tests that depend on Python and JAX with the newest Python of this machine, in .venv-newest"
	@echo "make bench      compare with Keras and PyTorch, in an environment of its own (.bench-venv)"
	@echo "make bench-all  the same for whole models, single layers and an optimizer too (half an hour)"
	@echo "make wheel      build a wheel into dist/"
	@echo "make clean      remove what the above have made"

mnist: .venv/.plot
	$(BIN)/python examples/mnist.py

test: .venv/.test
	$(BIN)/python -m pytest -q -n $(WORKERS)

# pytest leaves with 5 where no test is marked as long: that is no failure.
test-long: .venv/.test
	$(BIN)/python -m pytest -q -n $(WORKERS) -m long $(LONG) || test $$? -eq 5

# Python 3.12 and later have newer releases of JAX than 3.11.
NEWEST ?= $(shell .ci/newest-python)
NEWEST_TESTS = tiny portable layers layer_base training saving saved_objects lowering one_kernel attention rnn

test-newest:
	@if [ -z "$(NEWEST)" ]; then echo "This machine has no Python newer than 3.11: the tests with one are skipped."; else \
		$(MAKE) .venv-newest/.test && \
		.venv-newest/bin/python -c 'import jax, sys; print("Python", sys.version.split()[0], "with JAX", jax.__version__)' && \
		.venv-newest/bin/python -m pytest -q -n $(WORKERS) $(NEWEST_TESTS:%=tests/test_%.py); fi

.venv-newest/.test: pyproject.toml
	$(NEWEST) -m venv .venv-newest
	.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check -e ".[test]"
	touch $@

bench: .bench-venv/.done
	.bench-venv/bin/python benchmarks/run.py

bench-all: bench
	.bench-venv/bin/python benchmarks/models.py | tee benchmarks/MODELS.md
	.bench-venv/bin/python benchmarks/layers.py | tee benchmarks/LAYERS.md
	.bench-venv/bin/python benchmarks/optimizers.py | tee benchmarks/OPTIMIZERS.md

wheel: .venv/.made
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .

clean:
	rm -rf .venv .venv-newest .bench-venv build dist .pytest_cache .hypothesis src/*.egg-info mnist_curves.png vae_digits.png
	find src tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# A stamp says what is installed already; it is older than pyproject.toml when that has changed.
.venv/.made:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "cornu needs Python 3.11 or later: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	touch $@

.venv/.plot: .venv/.made pyproject.toml
	@echo "Installing cornu into .venv (JAX and friends: about 400 MB, once)"
	$(PIP) -e ".[plot]"
	touch $@

.venv/.test: .venv/.made pyproject.toml
	@echo "Installing cornu and the test tools into .venv (once)"
	$(PIP) -e ".[test]"
	touch $@

# The CPU build of PyTorch has an index of its own on Linux; where that cannot be reached, the default one serves.
.bench-venv/.done: pyproject.toml
	$(PYTHON) -m venv .bench-venv
	.bench-venv/bin/python -m pip install --quiet --disable-pip-version-check -e . keras==3.15.1 tensorflow-cpu matplotlib
	.bench-venv/bin/python -m pip install --quiet --disable-pip-version-check --retries 1 torch==2.13.0 \
		--index-url https://download.pytorch.org/whl/cpu || \
	.bench-venv/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	touch $@
