# The ways in: `make demo` shows the main job on a simulated cohort, `make test` proves it. Needs Python 3.11-3.13 and make.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO := demo

.PHONY: setup demo test test-fast test-slow lint format fuzz bench bench-extraction bench-networks bench-statistics profile clean

setup: $(READY)

# pip, with exactly the versions that were tested; the stamp makes the next call instant
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	$(BIN)/gc-ray doctor
	touch $@

demo: $(READY)
	$(BIN)/gc-ray demo --out $(DEMO)

test: lint test-fast test-slow

test-fast: $(READY)
	$(BIN)/python -m pytest -m "not slow"

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# 10,000 spoilt inputs for every parser of outside bytes; two hours on one core, `make fuzz FUZZ="--parser seg"` for one
fuzz: $(READY)
	$(BIN)/python benchmarks/fuzz.py $(FUZZ)

# measured side by side with what people use today; never a test; an hour in all, nothing else may run
bench: bench-extraction bench-networks bench-statistics

# PyRadiomics' own command line, scan by scan and in batches
bench-extraction: $(READY)
	$(BIN)/python benchmarks/extraction.py --data ../shared/data

# frozen outputs against the backbone in every epoch; Ray Train and embed against plain loops; the head at full size
bench-networks: $(READY)
	$(BIN)/python benchmarks/networks.py
	$(BIN)/python benchmarks/head.py

# the LASSO and the selection against R's glmnet (where R is installed); the statistics, and a report over 3,000 patients and 6 models
bench-statistics: $(READY)
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/selection.py
	$(BIN)/python benchmarks/evaluation.py
	$(BIN)/python benchmarks/report.py

# where the time of one scan goes: SCAN=stomach, or SCAN="image mask region"
profile: $(READY)
	$(BIN)/python benchmarks/profile_scan.py $(SCAN)

clean:
	rm -rf $(VENV) $(DEMO) .pytest_cache .ruff_cache build dist *.egg-info
