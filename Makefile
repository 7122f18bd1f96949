# Two commands on a fresh machine: `make run REQUEST="…"` and `make test`. Both make .venv here.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?= data
REQUEST ?= Text Priya that I'm ten minutes late and put lunch with Omar on Friday at noon into my calendar
# On a terminal, writes and sends ask first; where nobody can answer, calling make is the consent.
YES := $(shell test -t 0 || echo --yes)
export REQUEST

.PHONY: run test lint bench format clean

run: $(VENV)/core $(DATA)
	@$(BIN)/tinyagent run --data-dir $(DATA) $(YES) -- "$$REQUEST"

test: $(VENV)/dev
	@$(BIN)/python -m pytest

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/bench
	$(BIN)/python -m benchmarks

$(DATA): | $(VENV)/core
	@$(BIN)/tinyagent init --sample --data-dir $(DATA)

$(VENV)/core: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing; llama.cpp is compiled the first time, which takes 5 to 10 minutes."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/dev: $(VENV)/core
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

$(VENV)/bench: $(VENV)/core
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

clean:
	rm -rf $(VENV) $(DATA)
