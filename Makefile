.DEFAULT_GOAL := help
.PHONY: run setup test check test-all test-faults bench bench-losses bench-data smoke help

# RUN_ARGS goes to train.py, PIP_ARGS to pip, PYTEST_ARGS to pytest.
PYTHON ?= python3
VENV ?= .venv
PIP_ARGS ?=
RUN_ARGS ?=
PYTEST_ARGS ?= -n 2 --dist worksteal

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --no-compile --disable-pip-version-check -c constraints.txt $(PIP_ARGS)
# What pip would do one file at a time: without it every new process translates torch anew where
# PYTHONDONTWRITEBYTECODE is set.
BYTECODE := $(BIN)/python -m compileall -qq -j 0 -x '/tests?/' $(VENV)/lib || true
PYTEST := $(BIN)/python -m pytest $(PYTEST_ARGS)
INSTALLED := pyproject.toml constraints.txt

$(VENV)/.made:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "windtunnel needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.run: $(INSTALLED) | $(VENV)/.made
	$(PIP) -e .
	$(BYTECODE)
	touch $@

$(VENV)/.dev: $(INSTALLED) | $(VENV)/.made
	$(PIP) -e '.[dev]'
	$(BYTECODE)
	touch $@ $(VENV)/.run

run: $(VENV)/.run  ## train a ladder of small models, predict a larger one, train that: the main job (RUN_ARGS=..., PIP_ARGS=...)
	$(BIN)/python train.py +recipe=mu_scaling $(RUN_ARGS)

setup: $(VENV)/.dev  ## make .venv with all that development needs

test: $(VENV)/.dev  ## the fast tests
	$(PYTEST) -m 'not slow and not gpu'

check: $(VENV)/.dev  ## format, lint, types and the fast tests: what CI runs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(MAKE) test

test-all: $(VENV)/.dev  ## every test, the slow ones too; those for a GPU are skipped without one
	$(PYTEST)

test-faults: $(VENV)/.dev  ## only the tests that kill processes, fill disks and break files
	$(PYTEST) -m faults

bench: $(VENV)/.run  ## tokens/s against a bare PyTorch loop, how fast things start, fits against scipy, what saving costs
	$(BIN)/python bench/throughput.py
	$(BIN)/python bench/startup.py
	$(BIN)/python bench/fit.py
	$(BIN)/python bench/checkpoint.py

bench-losses: $(VENV)/.run  ## time and memory of the cross-entropy backends
	$(BIN)/python bench/losses.py

bench-data: $(VENV)/.run  ## building a token store beside the bare tokenizer, reading it beside a training step
	$(BIN)/python bench/data.py

smoke: $(VENV)/.dev  ## every recipe, two steps
	$(PYTEST) -k smoke

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
