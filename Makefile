# One command each, the same here and in CI. `make help` lists them.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# One more than there are cores: the tests of broker and browser mostly wait.
WORKERS ?= 3
PYTHON ?= python3

# pip and uv take the package index from their own configuration; nothing here names one.
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help install run test check format types compile unit unit-python bench golden lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## the locked dependencies and koridor itself, in .venv

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "koridor needs Python 3.11 or newer: make install PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "$(PYTHON) cannot make a virtual environment (on Debian: apt install python3-venv)" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

run: install ## broker, worker, API and a recording: prints the address of the map
	$(BIN)/koridor run

# Two at a time what needs no compiled kernel, beside their compilation. The summary of the tests stands last, so that
# the end of a log says how it went.
test: export CI := 1
test: install ## everything that CI runs
	@$(MAKE) --no-print-directory -j 2 --output-sync=target compile check unit-python
	@$(MAKE) --no-print-directory unit

check: format types ## formatting, lint, types and import contracts

format: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: install
	$(BIN)/mypy
	$(BIN)/lint-imports

compile: install ## every kernel, about a minute; kept until one is edited
	$(BIN)/python -m benchmarks engine --short

unit: install ## the tests, kernels compiled, and every benchmark in its short form
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup --no-loadscope-reorder

unit-python: install ## the kernels' tests again, not compiled: real tracebacks, bounds and coverage
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup -m kernel

bench: install ## every benchmark; results go to benchmarks/results
	$(BIN)/python -m benchmarks

golden: install ## fixtures/golden anew, after a change that is meant
	$(BIN)/python -m pytest -q -n 0 tests/replay/test_golden.py --regolden

lock: install ## requirements.lock anew from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --upgrade \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header --quiet \
	  --output-file requirements.lock

clean: ## caches, build results and the local broker's data; not .venv
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .koridor
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
