# The ways in: `make demo` shows the main job on a simulated cohort, `make test` proves it. Needs Python 3.11-3.13 and make.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO := demo
JOBS ?= 2
AUDIT := build/audit
LOCK := build/lock

.PHONY: setup demo test test-fast test-slow lint format docs clean profile audit sbom lock
.PHONY: bench bench-extraction bench-networks bench-statistics bench-scale bench-store chaos fuzz truth

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

# two processes at a time: each loads torch
test-fast: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n $(JOBS) --dist worksteal

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow --durations=40

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

# planted effects found, and nothing where nothing is: simulated tables and DICOM cohorts, docs/truth.md; resumes by seed
truth: $(READY)
	$(BIN)/python benchmarks/truth.py --seeds 50 --image-seeds 2

# faults in the midst of real runs on two Ray nodes and an S3 server; runs on Ray, and a thousand without it, that are cut off at a
# write, run again after a source, the code or nothing has changed, or the store was merged; every object deleted alone. By processor
# time some forty minutes on two idle cores
chaos: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/chaos --out docs/faults.md
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/chaos/on_ray.py --out docs/faults.md
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/chaos/points.py --points 1000
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/chaos/deleted.py

# what checks cost, single bits flipped, and histories of writers, compactors and readers; hours
bench-store: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/stored.py --rows 1000
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/verified.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/bitflips.py --flips 10000
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/history.py --store local late s3 --operations 100000

# a million rows of a manifest on one core; the planner on 100 workers that do not exist
bench-scale: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/million.py
	$(BIN)/python benchmarks/fleet.py

# the tools have a place of their own, so that what they need changes nothing of what is audited
$(AUDIT)/.ready:
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1 cyclonedx-bom==7.5.0
	touch $@

# known vulnerabilities of exactly the versions that are tested
audit: $(AUDIT)/.ready
	@$(AUDIT)/bin/pip-audit --requirement constraints.txt --strict --no-deps --disable-pip --progress-spinner off || \
	  { echo "audit: vulnerabilities are listed above, or the advisory service (pypi.org) was not reached: not passed"; exit 1; }

# all that is installed, with versions and licences, as CycloneDX
sbom: $(READY) $(AUDIT)/.ready
	mkdir -p dist
	$(AUDIT)/bin/cyclonedx-py environment $(BIN)/python --output-reproducible --of JSON -o dist/gc-ray.cdx.json

# requirements.lock: what the package needs at run time, for every Python it supports, with the hashes of PyPI's files
lock:
	$(PYTHON) -m venv $(LOCK)
	$(LOCK)/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	echo "setuptools" | $(LOCK)/bin/uv pip compile pyproject.toml - --universal --python-version 3.11 --generate-hashes \
	  --constraint constraints.txt --no-annotate --custom-compile-command "make lock" --quiet --output-file requirements.lock

# where the time of one scan goes: SCAN=stomach, or SCAN="image mask region"
profile: $(READY)
	$(BIN)/python benchmarks/profile_scan.py $(SCAN)

# the site below site/, from docs/ and from the code; pages that are made from the code are brought up to date first
docs: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[docs]"
	$(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "site/index.html; with search: python3 -m http.server --directory site"

clean:
	rm -rf $(VENV) $(DEMO) site .pytest_cache .ruff_cache build dist *.egg-info
