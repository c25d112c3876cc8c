# The project's commands; `make help` lists them. DATA_DIR=path says where the data is,
# PYTHON=python3.13 which interpreter a new .venv gets; LANGUAGE=ko selects the Korean edition.
PYTHON ?= python3
EDITION := $(if $(filter ko%,$(LANGUAGE)),notebooks/ko,notebooks)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
# A user's own settings of pip would lead elsewhere than to .venv.
PIP := PIP_USER=0 PIP_TARGET= PIP_PREFIX= $(BIN)/python -m pip install --disable-pip-version-check --quiet
PINNED := --constraint constraints.txt --editable '.[dev]'

ifeq ($(origin DATA_DIR),command line)
export FASHION_CNN_DATA_DIR := $(DATA_DIR)
endif

.PHONY: help setup notebook notebooks demo test test-slow test-all faults lint house docs \
  bench package test-lowest pretrained unlikeness figure screenshot translations pins clean
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## set up .venv with the pinned packages

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "expected Python 3.11, 3.12 or 3.13, got $$($(PYTHON) --version 2>&1); run: make PYTHON=python3.13 ..."; exit 1; }
	@echo "Setting up $(VENV) with the pinned packages: half a minute, or a few where only pip is at hand."
	$(PYTHON) -m venv $(VENV)
	@$(PIP) --constraint constraints.txt uv && $(BIN)/uv pip install --python $(BIN)/python $(PINNED) || \
	  $(PIP) $(PINNED) || { echo "$(VENV) was not set up, which needs the internet; what it held is still there."; exit 1; }
	@touch $@

notebook: $(READY) ## run lesson 1; results in runs/ (LANGUAGE=ko: the Korean edition)
	$(BIN)/python notebooks/run.py $(EDITION)/01_train.ipynb

notebooks: $(READY) ## run all lessons, in both languages; results in runs/
	$(BIN)/python notebooks/run.py notebooks/*.ipynb notebooks/ko/*.ipynb

demo: $(READY) ## serve the web page on this machine
	$(BIN)/fashion-cnn demo

test: $(READY) ## run the quick tests, offline, on the drawn stand-in data (90 seconds)
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

test-slow: $(READY) ## run the slow tests: browser, kills, mutations, notebooks, real data
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal -m slow

test-all: test test-slow ## run all tests (15 minutes)

test-lowest: $(READY) ## run the quick tests with the lowest versions that pyproject.toml allows
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(VENV)/lowest
	$(BIN)/uv pip install --quiet --python $(VENV)/lowest --resolution lowest-direct --editable '.[dev]'
	$(VENV)/lowest/bin/python -m pytest --numprocesses 2 --dist worksteal -W ignore::DeprecationWarning

package: $(READY) ## build the wheel and the source archive, check them, and try the wheel alone
	rm -rf dist
	$(BIN)/uvx --from build pyproject-build
	$(BIN)/uvx twine check --strict dist/*.whl dist/*.gz
	$(BIN)/uv run --isolated --no-project --with dist/*.whl fashion-cnn predict notebooks/drawings/dress.png

faults: $(READY) ## kill training runs 200 times and resume them (about 15 minutes)
	$(BIN)/python tests/faults.py --kills 200

lint: $(READY) ## check format, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

house: $(READY) ## draw which module imports which
	$(BIN)/python artefacts/house.py

docs: $(READY) ## build the site in docs/_build/html, offline (a minute)
	$(BIN)/python docs/build.py

bench: $(READY) ## measure docs/benchmarks.md (several hours; PARTS=page: a part; PHOTOS=path: docs/photos.md)
	$(BIN)/python benchmarks/bench.py $(PARTS) $(if $(PHOTOS),--photos $(PHOTOS))

pretrained: $(READY) ## train the network of the package (an hour or less); PHOTOS=directory
	PYTHONPATH=benchmarks $(BIN)/python artefacts/pretrained.py --photos $(PHOTOS)

unlikeness: $(READY) ## train the small network behind the warning (a few minutes)
	$(BIN)/python artefacts/unlikeness_network.py

screenshot: $(READY) ## take the pictures of the live page (needs Chromium)
	$(BIN)/python artefacts/screenshots.py

figure: $(READY) ## draw the pictures of the READMEs and of the start page
	$(BIN)/python artefacts/readme_figure.py

translations: $(READY) ## compile the Korean catalogue
	$(BIN)/pybabel compile --domain fashion_cnn --directory src/fashion_cnn/locale

pins: $(READY) ## update constraints.txt to the newest releases
	$(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.11 --all-extras --no-annotate --no-header \
	  --no-emit-index-url --no-emit-find-links --no-emit-package fashion-cnn --output-file constraints.txt pyproject.toml

clean: ## remove .venv, the site, runs and the models and studies that notebooks saved
	rm -rf $(VENV) dist docs/_build runs
	for d in . notebooks notebooks/ko; do \
	  (cd $$d && rm -rf study study-* *.keras *.training-state.npz *.history.json .*.keras.lock); done
