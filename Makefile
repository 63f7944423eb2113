# Everything a person does with this repository. `make help` lists it.

PYTHON ?= python3
VENV ?= .venv
SAM_VENV ?= .venv-sam
BENCH_VENV ?= .venv-bench
PARITY_VENV ?= .venv-parity
TORCH := $(shell sed -n 's/.*"torch==\([0-9.]*\)".*/\1/p' pyproject.toml)+cpu
ROWS ?= 65536
BIN := $(VENV)/bin
PYTEST_ARGS ?= -n 2 --dist loadfile -rs
export SAM ?= $(abspath $(SAM_VENV))/bin/sam
export SAM_CLI_TELEMETRY ?= 0

.DEFAULT_GOAL := help
.PHONY: help setup demo test parity lint types layers build sam validate model bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.ready ## make the virtual environment (Python 3.11 or newer; PYTHON=... chooses one)

demo: setup ## draw pictures, index them, search them; writes out/demo.png
	$(BIN)/bucketlens demo

test: setup ## everything that must hold: lint, types, layers, tests; sam and an engine join in where they are there
	@failed=0; \
	for check in lint types layers; do $(MAKE) --no-print-directory $$check || failed=1; done; \
	$(BIN)/python -m pytest $(PYTEST_ARGS) || failed=$$?; \
	exit $$failed

parity: $(PARITY_VENV)/.ready ## pixels, tokens and vectors beside those of transformers (installs torch for CPUs, 1.8 GB)
	$(PARITY_VENV)/bin/python -m pytest $(PYTEST_ARGS) tests/parity

lint: setup ## ruff: rules and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup ## mypy --strict
	$(BIN)/mypy

layers: setup ## import-linter: imports point down only
	$(BIN)/lint-imports

sam: $(SAM_VENV)/.ready ## install the SAM CLI into a virtual environment of its own

build: sam ## build functions and layers into .aws-sam (needs python3.13)
	$(SAM) build

validate: sam ## check template.yaml
	$(SAM) validate --lint

model: setup ## train the embedded model anew: make model DATA=photographs.parquet (over an hour; installs torch)
	@test -f "$(DATA)" || { echo "Name the photographs: make model DATA=photographs.parquet (layers/model/recipe/README.md says what is in it)"; exit 1; }
	@$(call pip,$(VENV)) install --quiet --disable-pip-version-check -r layers/model/recipe/requirements.txt
	PATH="$(abspath $(BIN)):$$PATH" sh layers/model/recipe/reproduce.sh "$(abspath $(DATA))" "$(abspath build/model)"

bench: $(BENCH_VENV)/.ready ## compare with other engines: make bench [ROWS=1000000] [PHOTOGRAPHS=file.parquet] [BENCH_ARGS='warm cold']
	$(BENCH_VENV)/bin/python -m tests.bench --rows $(ROWS) $(if $(PHOTOGRAPHS),--photographs "$(PHOTOGRAPHS)") $(BENCH_ARGS)
	$(BENCH_VENV)/bin/bucketlens model bench

clean: ## remove what builds and tests leave behind, but not the virtual environments
	rm -rf .aws-sam build dist out .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

# A Python without ensurepip (Debian's python3) makes the environment without pip and installs into it from outside.
$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed and $(PYTHON) is $$($(PYTHON) -V 2>&1): name another, make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || $(PYTHON) -m venv --clear --without-pip $(VENV)
	@$(call pip,$(VENV)) install --quiet --disable-pip-version-check -e '.[local,test]'
	@touch $@

$(SAM_VENV)/.ready:
	@$(PYTHON) -m venv $(SAM_VENV) 2>/dev/null || $(PYTHON) -m venv --clear --without-pip $(SAM_VENV)
	@$(call pip,$(SAM_VENV)) install --quiet --disable-pip-version-check 'aws-sam-cli>=1.170,<2' setuptools
	@touch $@

$(BENCH_VENV)/.ready: pyproject.toml
	@$(PYTHON) -m venv $(BENCH_VENV) 2>/dev/null || $(PYTHON) -m venv --clear --without-pip $(BENCH_VENV)
	@$(call pip,$(BENCH_VENV)) install --quiet --disable-pip-version-check -e '.[local,bench]'
	@$(call pip,$(BENCH_VENV)) install --quiet --disable-pip-version-check -e '.[bench-source]' || \
		echo "hnswlib was not built and is left out: install a C++ compiler (g++), then run make bench again."
	@touch $@

# PyPI's torch for Linux brings gigabytes for graphics cards; the one for CPUs is asked of its own index, and nothing else is.
$(PARITY_VENV)/.ready: pyproject.toml
	@$(PYTHON) -m venv $(PARITY_VENV) 2>/dev/null || $(PYTHON) -m venv --clear --without-pip $(PARITY_VENV)
	@$(call pip,$(PARITY_VENV)) install --quiet --disable-pip-version-check --no-deps --extra-index-url https://download.pytorch.org/whl/cpu 'torch==$(TORCH)'
	@$(call pip,$(PARITY_VENV)) install --quiet --disable-pip-version-check -e '.[local,test,train]'
	@touch $@

pip = if [ -x $(1)/bin/pip ]; then set -- $(1)/bin/python -m pip; else set -- $(PYTHON) -m pip --python $(1)/bin/python; fi; "$$@"
