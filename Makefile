.DEFAULT_GOAL := help
SHELL := /bin/sh
BIN := .venv/bin

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: setup ## Set up what is missing and serve on http://127.0.0.1:8000
	@exec $(BIN)/portcullis serve

# A file's tests stay together, in their order: they share what they start. `make test WORKERS=0` runs all in one process.
WORKERS ?= auto
# The tests start a few hundred processes, each of which would compile the sources anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: test
test: setup-dev lint ## Set up what is missing, lint, check types and run the tests
	$(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: setup
setup: ## Make .venv what the locks say (quick when it is)
	@$(BIN)/python -m scripts.environment runtime --check 2>/dev/null || { \
		python=$$(sh scripts/check_machine.sh) && "$$python" -m scripts.environment runtime; }

.PHONY: setup-dev
setup-dev: ## The same, with what the tests need
	@$(BIN)/python -m scripts.environment dev --check 2>/dev/null || { \
		python=$$(sh scripts/check_machine.sh) && "$$python" -m scripts.environment dev; }

.PHONY: lint
lint: setup-dev ## Ruff, mypy and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: setup-dev ## Let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: docs
docs: setup ## Write docs/settings.md anew from app/settings.py
	$(BIN)/python -m scripts.settings_page

.PHONY: lock
lock: ## Write requirements/*.lock anew from pyproject.toml (needs the network)
	@python=$$(sh scripts/check_machine.sh) && "$$python" -m scripts.lock $(LOCK_ARGS)

.PHONY: demo-model
demo-model: setup-dev ## Train the demonstration model anew (PyTorch; over an hour on two cores; ARGS=--help tells more)
	@$(BIN)/python -m scripts.demo_model $(ARGS)

.PHONY: wheelhouse
wheelhouse: setup ## Collect every locked package in wheelhouse/, for machines without a network
	@$(BIN)/python -m scripts.wheelhouse

.PHONY: clean
clean: ## Remove .venv and caches; keeps var/ and compiled wheels
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
