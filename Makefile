# `make run` and `make test` do all the set-up they need on a machine with Python 3.10 or later, make and git.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# A part of an epoch by default: three points of the loss curve in a few minutes. EPOCHS=2 is the tutorial's own.
ARGUMENTS := $(if $(EPOCHS),--epochs $(EPOCHS),--epochs 1 --max-batches 6000)

.PHONY: run test bench lint clean

run: $(VENV)/.installed
	@$(BIN)/python 04-run-pytorch.py $(ARGUMENTS)

test: lint
	$(BIN)/python -m pytest $(TESTS)

bench: $(VENV)/.installed-for-development
	@$(BIN)/python -m benchmarks $(ONLY)

lint: $(VENV)/.installed-for-development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/vermin --quiet --no-tips --target=3.6- toolkit/inscript toolkit/data toolkit/compat

clean:
	rm -rf $(VENV) .venvs .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# uv is quicker where it can reach an index; pip knows the user's own configuration of one.
define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "toolkit needs Python 3.10 or later, as in: make PYTHON=python3.11")'
	@echo "Installing toolkit$(1) into $(VENV) (once)" >&2
	@test -x $(BIN)/uv || { $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet --disable-pip-version-check uv; }
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.$(1)' \
		|| $(BIN)/python -m pip install --disable-pip-version-check --editable '.$(1)'
	@touch $@
endef

$(VENV)/.installed: pyproject.toml
	$(call install)

$(VENV)/.installed-for-development: pyproject.toml
	$(call install,[dev$(comma)train])

comma := ,
