# One target a habit. `make run` and `make test` are all a newcomer needs.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PORT ?= 8700
DATA_DIR ?= data
export PORT DATA_DIR

.PHONY: run run-production setup test test-long lint format bench sim docs lock clean

run: $(VENV)/.run-ready ## start the demo shop on http://127.0.0.1:$(PORT)
	@exec $(BIN)/tradepost serve --demo

run-production: $(VENV)/.production-ready ## the same shop on MariaDB, Redis, etcd and RocketMQ, in many processes
	@exec bash tools/run_production.sh $(VENV)

setup: $(VENV)/.run-ready ## create the environment, start nothing

$(VENV)/.run-ready: requirements/run.txt requirements/build.txt pyproject.toml
	@bash tools/make_venv.sh $(PYTHON) $(VENV) run
	@touch $@

$(VENV)/.production-ready: requirements/production.txt requirements/build.txt pyproject.toml
	@bash tools/make_venv.sh $(PYTHON) $(VENV) production
	@touch $(VENV)/.run-ready $@

$(VENV)/.test-ready: requirements/test.txt requirements/build.txt pyproject.toml
	@bash tools/make_venv.sh $(PYTHON) $(VENV) test
	@bash tools/test_prerequisites.sh $(VENV)
	@touch $(VENV)/.run-ready $(VENV)/.production-ready $@

test: $(VENV)/.test-ready ## lint, types, layers, every test
	@bash tools/run_tests.sh $(VENV)

test-long: $(VENV)/.test-ready ## the long forms: kill -9, simulation, planted bugs
	$(BIN)/pytest -m long -p no:randomly tests

lint: $(VENV)/.test-ready
	$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports --no-logo

format: $(VENV)/.test-ready
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

bench: $(VENV)/.production-ready ## every figure of HOTPATH in one run: JSON and a page with plots in bench-out/
	$(BIN)/tradepost bench --out bench-out

sim: $(VENV)/.run-ready ## the whole platform on virtual time with faults
	$(BIN)/tradepost simulate --seed 1 --steps 20000 --faults crash,duplicate,reorder,delay,provider_silent

docs: $(VENV)/.run-ready ## write the generated reference again
	$(BIN)/python tools/generate_reference.py

lock: ## lock every dependency with hashes and no index address
	for set in run production test build; do bash tools/lock.sh $$set; done

clean:
	rm -rf $(VENV) dist bench-out .mypy_cache .ruff_cache .hypothesis
