# `make demo` and `make test` need Python 3.10 or newer and make, nothing else: both share .venv,
# made on the first call and brought up to date when the dependencies change.

PYTHON ?= python3
VENV ?= .venv
# The address of a PyTorch wheel index, where the default torch isn't wanted (CPU only, another
# CUDA); see README.md, "Installing".
TORCH_INDEX ?=

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEMO := demo/result.mp4

.DEFAULT_GOAL := help
.PHONY: help install weights demo test faults lint format docs docs-pages clean

help:
	@echo "make demo    edit examples/input.mp4 and say where the result is"
	@echo "make test    lint, type-check and test"
	@echo "make faults  kill it often, damage its files, starve it: an hour"
	@echo "make lint    ruff, mypy and the layers only"
	@echo "make format  let ruff rewrite the sources"
	@echo "make docs    build the documentation's site, and write the pages that the code says"
	@echo "make clean   remove .venv, caches and the demo's result"

$(INSTALLED): setup.cfg setup.py pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "videdit needs Python 3.10 or newer: make PYTHON=/path/to/python3" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	if [ -n "$(TORCH_INDEX)" ]; then \
		$(BIN)/pip install --quiet -c constraints.txt --index-url "$(TORCH_INDEX)" torch; fi
	$(BIN)/pip install --quiet -c constraints.txt -e '.[test]'
	touch $@

install: $(INSTALLED)

weights: $(INSTALLED)
	$(BIN)/videdit weights fetch

demo: weights
	mkdir -p $(dir $(DEMO))
	$(BIN)/videdit run examples/input.mp4 --attr Smiling --alpha 1.5 --overwrite -o $(DEMO)
	@echo "The result is $(abspath $(DEMO)); its source is $(abspath examples/input.mp4)."

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache pyproject.toml

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# A process per processor, of which each takes up to 3 GB of memory. The pipeline's tests send
# signals to their own process, which must not hold the native libraries that the others load.
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

test: lint weights
	$(PYTEST) --ignore=tests/pipeline
	$(PYTEST) tests/pipeline

docs: docs-pages
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "The site is $(abspath site/index.html)."

docs-pages: $(INSTALLED)
	$(BIN)/python docs/pages.py

# What of it `make test` does a little of.
MANY := $(BIN)/python -m pytest -s --timeout 0
faults: weights
	VIDEDIT_KILLS=50 VIDEDIT_FUZZ=500 $(MANY) tests/faults tests/batch
	VIDEDIT_KILLS=50 $(MANY) tests/pipeline

clean:
	rm -rf $(VENV) demo site build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
