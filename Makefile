# Everything runs in a virtual environment of its own (.venv); the two targets to know are demo and test.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest
JOBS ?= 2
SECONDS ?= 120
# TensorFlow's start-up notices are not ours, and a registry's notes on absent locations not interesting.
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: demo test test-fast test-slow check format bench fuzz clean help

help:  ## say what each target does
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /make \1|/' | column -t -s '|'

demo: $(VENV)/.base  ## four hospitals train one model, sealed, proven and private; then verify the run
	@$(BIN)/hansa run heart-disease --proof --epsilon 3
	@echo
	@$(BIN)/hansa verify --strict "$$(ls -td runs/heart-disease-* | head -n 1)"

test: $(VENV)/.test  ## all tests: on JAX, then what depends on the backend on TensorFlow and PyTorch
	KERAS_BACKEND=jax $(PYTEST) -n $(JOBS) --dist loadgroup -m "not slow"
	KERAS_BACKEND=tensorflow $(PYTEST) -n $(JOBS) --dist loadgroup -m "backends and not slow" tests
	@if $(BIN)/python -c 'import torch' 2>/dev/null; then \
		echo "KERAS_BACKEND=torch pytest -m backends"; \
		KERAS_BACKEND=torch $(PYTEST) -n $(JOBS) --dist loadgroup -m "backends and not slow" tests; \
	else echo "PyTorch is not installed: its tests were not run (pip install torch in $(VENV))"; fi

test-fast: $(VENV)/.test  ## the tests on JAX only, without those that need the network
	KERAS_BACKEND=jax $(PYTEST) -n $(JOBS) --dist loadgroup -m "not slow and not network" $(ARGS)

test-slow: $(VENV)/.test  ## the long tests, on each backend that is installed
	KERAS_BACKEND=jax $(PYTEST) -m slow
	KERAS_BACKEND=tensorflow $(PYTEST) -m "backends and slow" tests
	@if $(BIN)/python -c 'import torch' 2>/dev/null; then \
		KERAS_BACKEND=torch $(PYTEST) -m "backends and slow" tests; fi

check: $(VENV)/.check  ## lint, format, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports --no-cache

format: $(VENV)/.check  ## put the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.test  ## the benchmarks (two hours and more)
	$(BIN)/python benchmarks/engine.py
	$(BIN)/python benchmarks/aggregate.py
	$(BIN)/python benchmarks/secure_sum.py
	$(BIN)/python benchmarks/noise.py
	$(BIN)/python benchmarks/proofs.py
	$(BIN)/python benchmarks/claims.py
	$(BIN)/python benchmarks/dp_sgd.py
	$(BIN)/python benchmarks/dp.py
	$(BIN)/python benchmarks/heart_disease.py
	$(BIN)/python benchmarks/mcmahan.py

fuzz: $(VENV)/.test  ## mutate what comes from others (proofs, messages, files), SECONDS each, by atheris
	@$(PIP) --group fuzz || echo "atheris could not be installed: it has wheels for Linux and for some Pythons"
	@for target in zk norm share certificate messages json arrays; do \
		echo "== $$target"; KERAS_BACKEND=jax $(BIN)/python tests/fuzz/run.py $$target $(SECONDS) || exit 1; done

clean:  ## remove the virtual environment and everything generated
	rm -rf $(VENV) build dist runs .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Hansa needs Python 3.11 or newer; none was found. Set PYTHON=/path/to/python3."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing (on Debian: apt install python3-venv)."; exit 1; }
	@$(PIP) --upgrade pip

$(VENV)/.base: pyproject.toml | $(BIN)/python
	@echo "Installing Hansa into $(VENV) (once; about a minute)"
	@$(PIP) -e '.[secure,privacy]'
	@touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	@echo "Installing Hansa and what its tests need into $(VENV) (once; a few minutes)"
	@$(PIP) -e '.[tensorflow,sklearn,parquet,ray,secure,privacy]' --group test
	@touch $@ $(VENV)/.base

$(VENV)/.check: pyproject.toml $(VENV)/.test
	@$(PIP) --group check
	@touch $@
