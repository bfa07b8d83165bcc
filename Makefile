# Kapok on a bare machine: `make run` needs Python 3.11 or newer and nothing else.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCKS := requirements.lock requirements-dev.lock
# Byte-code made at installation halves the start; a Python that does not fit must fail at once, not be downloaded.
export UV_COMPILE_BYTECODE := 1
export UV_PYTHON_DOWNLOADS := never
# uv of the machine if there is one, else pip puts it into the environment.
UV = $(shell command -v uv || echo $(BIN)/uv)
install_kapok = echo "→ The command $(BIN)/kapok" && \
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .

.PHONY: help setup setup-dev run demo-stripe test test-stripe check lock docker-lint

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## Make the environment from the lock
setup-dev: $(VENV)/.installed-dev ## The same with the tools for tests and checks

run: setup ## Start Kapok on this machine (Ctrl-C stops it)
	@$(BIN)/kapok up

demo-stripe: setup-dev ## Run the demo with Stripe's API, on a fake of Stripe that is started for it
	@$(BIN)/python -m tests.fakestripe --run $(BIN)/python -m cli demo

test: setup-dev ## Run the tests
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-stripe: setup-dev ## Run the suites of payments against Stripe's test mode (STRIPE_TEST_KEY)
	@$(BIN)/python -m tests.stripe_lane

check: setup-dev ## Run the linters and the type checker
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .

openapi: setup-dev ## Write docs/openapi.json anew
	$(BIN)/python -m api > docs/openapi.json

docker-lint: setup-dev ## Check the container files
	$(BIN)/hadolint docker/Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker/compose.yaml

lock: $(BIN)/python ## Resolve the dependencies anew into the lock files
	$(UV) pip compile --python $(BIN)/python --universal --generate-hashes --no-header --upgrade --extra local \
		pyproject.toml -o requirements.lock
	$(UV) pip compile --python $(BIN)/python --universal --generate-hashes --no-header --extra local --group dev \
		-c requirements.lock pyproject.toml -o requirements-dev.lock
	$(UV) pip compile --python $(BIN)/python --universal --generate-hashes --no-header \
		-c requirements.lock pyproject.toml -o docker/requirements.lock

$(BIN)/python:
	@echo "→ Python environment in $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "✗ $(PYTHON) is $$($(PYTHON) --version 2>&1 || true); Kapok needs Python 3.11 or newer."; \
		echo "  ➜ Debian: apt-get install python3 python3-venv, or name another: make run PYTHON=python3.12"; exit 1; }
	@if command -v uv >/dev/null; then uv venv --quiet --python "$$(command -v $(PYTHON))" $(VENV); \
	else \
		$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
			echo "✗ This Python cannot make environments: its module ensurepip is missing."; \
			echo "  ➜ Debian: apt-get install python3-venv"; exit 1; }; \
		$(PYTHON) -m venv $(VENV) && echo "→ uv, the installer" && $(BIN)/pip install --quiet --disable-pip-version-check uv; \
	fi

# The two stamps stand for what is installed: the tools for tests include all of the runtime.
$(VENV)/.installed: $(BIN)/python requirements.lock pyproject.toml
	@if [ $(VENV)/.installed-dev -nt requirements-dev.lock ]; then touch $@; else \
		echo "→ Packages of requirements.lock, checked by their hashes" && \
		$(UV) pip sync --python $(BIN)/python --require-hashes requirements.lock && $(call install_kapok) && touch $@; fi

$(VENV)/.installed-dev: $(BIN)/python $(LOCKS) pyproject.toml
	@echo "→ Packages of requirements-dev.lock, checked by their hashes"
	@$(UV) pip sync --python $(BIN)/python --require-hashes requirements-dev.lock && $(call install_kapok)
	@touch $(VENV)/.installed $@
