# The commands of the project; `make help` lists them. DATA_DIR=path chooses where the data is,
# PYTHON=python3.13 which interpreter a new .venv gets, NOTEBOOKS=path which notebooks are run.
PYTHON ?= python3
NOTEBOOKS := $(wildcard notebooks/*.ipynb notebooks/ko/*.ipynb)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

ifeq ($(origin DATA_DIR),command line)
export FASHION_CNN_DATA_DIR := $(DATA_DIR)
endif

.PHONY: help setup notebook demo test faults lint bench photos page figure screenshot pins clean
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## set up .venv with the pinned packages

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "expected Python 3.11, 3.12 or 3.13, got $$($(PYTHON) --version 2>&1); run: make PYTHON=python3.13 ..."; exit 1; }
	@echo "Setting up $(VENV) with the pinned packages; this takes a few minutes the first time."
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

notebook: $(READY) ## run the notebooks, in both languages; results in runs/
	$(BIN)/python notebooks/run.py $(NOTEBOOKS)

demo: $(READY) ## serve the web page on this machine
	$(BIN)/fashion-cnn demo

test: $(READY) ## run the tests
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

faults: $(READY) ## kill trainings 200 times and resume them (about 15 minutes)
	$(BIN)/python tests/faults.py --kills 200

lint: $(READY) ## check format, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(READY) ## measure the README's tables (some hours; goes on where it was cut off)
	$(BIN)/python benchmarks/bench.py
	$(BIN)/python benchmarks/elsewhere.py

photos: $(READY) ## measure the README's table on photos (some minutes)
	$(BIN)/python benchmarks/photos.py

page: $(READY) ## time the web page and the command line (some minutes; needs Chromium)
	$(BIN)/python benchmarks/page.py

screenshot: $(READY) ## take the README's picture of the web page (needs Chromium and the real data)
	FASHION_CNN_SCREENSHOT=docs/demo.png $(BIN)/python -m pytest tests/test_demo.py -k trains

figure: $(READY) ## take the README's picture from the committed notebook
	$(BIN)/python benchmarks/readme_figure.py

pins: $(READY) ## renew constraints.txt with the newest releases
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.11 --all-extras --no-annotate --no-header \
	  --no-emit-index-url --no-emit-find-links --no-emit-package fashion-cnn --output-file constraints.txt pyproject.toml

clean: ## remove .venv, runs and the models that notebooks saved
	rm -rf $(VENV) runs notebooks/*.keras notebooks/*.npz notebooks/ko/*.keras notebooks/ko/*.npz
