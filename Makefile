# make demo    what pre-training on sample scans teaches, beside networks without, in about eight minutes
# make docs   the site, in build/docs/html; `make tutorials` executes the tutorials and writes them as notebooks
# make test    the test suite; `make test-slow` runs what takes longer, `make lint` style and types
# make torture kills and starves runs 200 times and continues them, damages 100,000 files; see docs/reliability.md
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
DEMO_DIR ?= demo
# a process a core with one thread each is twice as fast as one process with all cores
# stealing keeps neighbors together, so that what a module or a bundle builds is built once
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal

.PHONY: demo docs tutorials test test-slow torture lint clean

$(VENV)/.users: setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dicom]"
	touch $@

$(VENV)/.developers: $(VENV)/.users
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	# nnU-Net's networks, what ours are tested against; without the dependencies of its transformers
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps dynamic-network-architectures
	touch $@

demo: $(VENV)/.users
	$(BIN)/python tutorials/demo.py $(DEMO_DIR)

docs: $(VENV)/.developers
	$(BIN)/python -W ignore docs/build_site.py build/docs

tutorials: $(VENV)/.developers
	rm -rf build/tutorials && mkdir -p build/tutorials && cp tutorials/[0-9]*.py build/tutorials
	cd build/tutorials && $(abspath $(BIN))/jupytext --to notebook --set-kernel python3 --execute [0-9]*.py

test: $(VENV)/.developers
	$(PYTEST) -m "not slow"

test-slow: $(VENV)/.developers
	$(PYTEST) -m "slow and not torture"

torture: $(VENV)/.developers
	$(BIN)/python tests/torture/torture.py --runs 200
	$(BIN)/python tests/fuzz/run.py --cases 100000

lint: $(VENV)/.developers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) $(DEMO_DIR)
