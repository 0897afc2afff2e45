# make demo    from nothing to two scores side by side, in about ten minutes
# make test    the test suite; `make test-slow` runs what takes longer, `make lint` style and types
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
DEMO_DIR ?= demo

.PHONY: demo test test-slow lint clean

$(VENV)/.users: setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dicom]"
	touch $@

$(VENV)/.developers: $(VENV)/.users
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: $(VENV)/.users
	$(BIN)/python tutorials/demo.py $(DEMO_DIR)

test: $(VENV)/.developers
	$(BIN)/python -m pytest -m "not slow"

test-slow: $(VENV)/.developers
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.developers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) $(DEMO_DIR)
