# The two commands a newcomer needs: `make demo` and `make test`.
# `make test PYTHON=python3.13` installs into `.venv-python3.13` and leaves `.venv` as it is.
PYTHON ?= python3
VENV := $(patsubst .venv-python3,.venv,.venv-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Types are checked for the oldest Python, but those of numpy 2, which 3.13 has, are written for 3.12 and newer.
OLDEST := $$($(BIN)/python -c 'import sys; print("3.10" if sys.version_info < (3, 13) else "3.12")')

.PHONY: demo test lint format docs bench clean

demo: $(INSTALLED)
	$(BIN)/python examples/demo.py

test: lint
	$(BIN)/pytest

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --python-version $(OLDEST)
	$(BIN)/lint-imports

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The site over README.md and docs/, in `site/`: open site/index.html. `docs/tables.py` checks the tables that code owns.
docs: $(INSTALLED)
	$(BIN)/python docs/tables.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The short form of every benchmark: a few minutes on two cores, nothing written.
bench: $(INSTALLED)
	$(BIN)/python benchmarks/persistence.py --short
	$(BIN)/python benchmarks/analysis.py --short
	$(BIN)/python benchmarks/distances.py --short
	$(BIN)/python benchmarks/overhead.py --short
	$(BIN)/python benchmarks/background.py --short
	$(BIN)/python benchmarks/startup.py --short
	$(BIN)/python benchmarks/errors.py --short
	$(BIN)/python benchmarks/steering.py --short
	$(BIN)/python benchmarks/large_models.py --short
	$(BIN)/python benchmarks/smoothing.py --short

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' || \
		{ echo "Python 3.10 to 3.14 is needed, got $$($(PYTHON) --version): make PYTHON=python3.12 ..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(INSTALLED)

clean:
	rm -rf site .venv .venv-* .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
