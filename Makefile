# AAM. `make help` lists what there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test check format lock clean soak bench-plot

help: ## list the targets
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

install: $(STAMP) ## create .venv with everything that requirements.lock names

$(STAMP): requirements.lock setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "AAM needs Python 3.11 to 3.13; $(PYTHON) is another. Install one and say which: make PYTHON=python3.12 …"; exit 3; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "$(PYTHON) has no venv module; on Debian and Ubuntu: apt-get install python3-venv"; exit 3; }
	@echo "creating $(VENV) and installing what requirements.lock names (a minute the first time)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: install ## raw records in, canonical events out, on a Kafka of its own (KEEP=1 keeps it streaming)
	@$(BIN)/aam demo $(if $(KEEP),--keep)

test: install ## every test, on real Kafkas and Postgreses that the run starts itself
	@$(BIN)/pytest --numprocesses 2 --dist loadfile

check: install ## format, lint, types, arrows and unit tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy tests
	$(BIN)/lint-imports
	$(BIN)/pytest tests/unit -q

format: install ## write the code as ruff wants it
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench-%: install ## speed beside peers: canonicalize, registry, connectors, onboarding (QUICK=1: minutes)
	@$(BIN)/python -m benchmarks.$(subst -,_,$*)

bench-plot: install ## draw the charts of docs/benchmarks.md from benchmarks/results
	@$(BIN)/python -m benchmarks.plot

soak: install ## random faults for MINUTES=20, with a ledger of every record
	@$(BIN)/python -m benchmarks.soak --minutes $(or $(MINUTES),20)

lock: ## renew requirements.lock (needs uv)
	uv pip compile setup.cfg --extra dev --extra train --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --output-file requirements.lock

clean: ## remove the environment and the local Kafka's and Postgres's data
	rm -rf $(VENV) .aam build *.egg-info
