# Everything runs in .venv, which the first target that needs it makes.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
# Few processes: each test already uses several cores.
PYTEST := $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal

.PHONY: help demo test fast mutants fuzz lint docs install clean

help:  ## show this
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

install: $(INSTALLED)  ## make the virtual environment

$(INSTALLED): pyproject.toml constraints.txt setup.py $(wildcard dfm_flax/*/kernels/*)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,docs]'
	touch $@

demo: install  ## train a machine on a photo that ships with scikit-image and show the result
	$(BIN)/dfm train --config demo --workdir runs/demo
	$(BIN)/dfm sample --pretrained mnist --num 64 --out runs/demo/digits.png --overwrite
	@echo "digits by a generator that ships with the package: runs/demo/digits.png"
	@echo "figure with original, reconstruction, error and curve: runs/demo/figures/astronaut_seed0.png"

# What tests have compiled is kept for the next time, until `make clean`: JAX finds it by its content.
test fast mutants: export JAX_COMPILATION_CACHE_DIR ?= $(abspath $(VENV))/compiled

test: install  ## all tests
	$(PYTEST)

fast: install  ## the tests that take no longer than seconds
	$(PYTEST) -m "not slow"

mutants: install  ## put faults into a copy of the code, one after the other: the tests must find each
	$(BIN)/python tests/mutants/run.py

fuzz: install  ## look for bytes that break the reader of .dfm files, for ten minutes
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fuzz]'
	$(BIN)/python tests/codec/fuzz.py -max_total_time=600

lint: install  ## format and lint checks, types, the order of imports, duplicates
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --cache-dir $(VENV)/import_linter
	$(BIN)/pylint dfm_flax

docs: install  ## build the site of the documentation in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean:  ## remove the virtual environment and caches, not runs/
	rm -rf $(VENV) build site *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find dfm_flax -name '*.so' -delete
