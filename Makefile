# Two commands for a newcomer: `make search` (the main job on real data) and `make test`. Both begin with `make install`.
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/.installed
TESTS := .venv/.tests

.PHONY: install search test check units claims clean

install: $(STAMP)

# Pip and not another installer: the CPU build of the pinned torch is where pip looks.
$(STAMP): pyproject.toml setup.py constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || python3 -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.3' -c constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --build-constraint constraints.txt \
		--editable '.[all]'
	@touch $(STAMP)

# What checks and tests need besides, which nobody else does.
$(TESTS): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --group check --group test
	@touch $(TESTS)

search: install
	$(BIN)/actsearch search coordinate --trials 30 --jobs 2 --study photograph

check: $(TESTS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Three workers keep two cores busy: many tests wait for processes of their own.
units: $(TESTS)
	$(BIN)/python -m pytest -m "not long" -n 3 --dist worksteal --durations=60

# The checks run beside the units, once all is installed.
test: $(TESTS)
	$(MAKE) --jobs 2 check units

claims: $(TESTS)
	$(BIN)/python -m pytest -m long -s

clean:
	rm -rf .venv build dist
