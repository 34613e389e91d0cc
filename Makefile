# The everyday verbs. A fresh machine needs Python 3.11+, pip, venv and make; nothing else.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
ARGS   ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help install serve test lint types fmt bench loadtest docs audit sbom lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## Create the virtual environment from the hash-pinned lock file

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

serve: install ## Run both stacks: legacy contract on :5005, new API on :8000 (ARGS="--port 9000")
	@exec $(BIN)/mclictl serve $(ARGS)

test: install ## Run every test (ARGS="-k name" narrows)
	$(BIN)/python -m pytest $(ARGS)

lint: install ## Style, security rules, import floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: install ## Strict type checking
	$(BIN)/mypy

fmt: install ## Format and apply safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install ## Compare old and new side by side (QUICK=1 for a short run)
	$(BIN)/python -m loadtests.bench $(if $(QUICK),--quick) $(ARGS)

loadtest: install ## Old daemon, shim and the Locust web UI, together
	$(BIN)/python -m loadtests.run $(ARGS)

docs: install ## Write the OpenAPI document to build/docs
	@mkdir -p build/docs
	$(BIN)/python -m fastapi_app.openapi > build/docs/openapi.json
	@echo "build/docs/openapi.json"

audit: install ## Known vulnerabilities of what the lock file pins (asks the network), and our own code
	$(BIN)/ruff check --select S --ignore S603 .
	$(BIN)/pip-audit --require-hashes --disable-pip --progress-spinner off -r requirements.lock

sbom: install ## Write a CycloneDX bill of materials to build
	@$(BIN)/python .ci/sbom.py requirements.lock build/sbom.json

lock: ## Recompile requirements.lock (maintainers; needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --extra dev \
	  --no-emit-index-url --no-emit-find-links --no-header -o requirements.lock pyproject.toml

clean: ## Remove the virtual environment and everything generated
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
