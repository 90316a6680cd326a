# Everything happens in .venv, which each target makes and fills as far as it needs to.
# PYTHON names the interpreter for it (default: the newest found, 3.11 or later); ARGS goes to what is run.

PYTHON ?=
ARGS ?=
VENV := .venv
RUN := PATH="$(CURDIR)/$(VENV)/bin:$$PATH"

.PHONY: help demo test lint format bench docs clean
.NOTPARALLEL:

help:
	@echo "make demo    record, replay and verify the evidence of a real task; catch a tampered copy"
	@echo "make test    every test (ARGS='-k name', ARGS=--storm for the long storms, WORKERS=4)"
	@echo "make lint    ruff, mypy --strict, import-linter"
	@echo "make format  ruff's formatter and its safe fixes"
	@echo "make bench   the benchmarks, one table of ratios"
	@echo "make docs    the documentation, into docs/_build/html"
	@echo "make clean   remove .venv and what was built"

demo: $(VENV)/.demo
	@$(COMPILE)
	@$(RUN) demo/run.sh $(ARGS)

# Modules are compiled beforehand: a `notch` that had to do it at each start would be several times slower.
COMPILE = $(VENV)/bin/python -m compileall -q -j 2 src

test: $(VENV)/.test
	@$(COMPILE)
	@scripts/test $(ARGS)

lint: $(VENV)/.test $(VENV)/.lint
	@scripts/lint

format: $(VENV)/.lint
	@$(RUN) ruff check --fix
	@$(RUN) ruff format

bench: $(VENV)/.bench
	@$(COMPILE)
	@$(RUN) python benchmarks/run.py $(ARGS)

docs: $(VENV)/.docs
	@$(RUN) python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

clean:
	rm -rf $(VENV) build dist docs/_build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(VENV)/.made:
	@scripts/venv "$(PYTHON)"
	@touch $@

$(VENV)/.package: $(VENV)/.made pyproject.toml
	@echo "installing tallystick"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.demo $(VENV)/.test $(VENV)/.lint $(VENV)/.docs: $(VENV)/.package
	@echo "installing what $(@:$(VENV)/.%=%) needs"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --group $(@:$(VENV)/.%=%)
	@touch $@

# What it is compared with may not be installable here: the table then says so and goes on.
$(VENV)/.bench: $(VENV)/.package
	@echo "installing what bench needs"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --group bench \
	  || $(VENV)/bin/python benchmarks/peers.py
	@touch $@
