# The two commands a newcomer needs: `make demo` and `make test`.
# `make test PYTHON=python3.13` installs into `.venv-python3.13` and leaves `.venv` as it is.
PYTHON ?= python3
VENV := $(patsubst .venv-python3,.venv,.venv-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Types are checked for the oldest Python, but those of numpy 2, which 3.13 has, are written for 3.12 and newer.
OLDEST := $$($(BIN)/python -c 'import sys; print("3.10" if sys.version_info < (3, 13) else "3.12")')

# Install into an environment: $(call install,folder,arguments of pip).
define install
$(1)/bin/python -m pip install --quiet --upgrade pip
$(1)/bin/python -m pip install --quiet $(2)
endef

# Run tests: $(call pytest,environment). Two processes with one thread each, which do not wait for each other's threads.
pytest = OMP_NUM_THREADS=1 $(1)/bin/python -m pytest -n 2 --dist worksteal

.PHONY: demo test lint format docs bench coverage lowest newest wheel clean

demo: $(INSTALLED)
	$(BIN)/python examples/demo.py

test: lint
	$(call pytest,$(VENV))

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

# All tests, with the share of lines that they run; `make coverage TESTS="tests/topology tests/wasserstein"` runs some.
coverage: $(INSTALLED)
	$(call pytest,$(VENV)) --cov --cov-report= --cov-fail-under=0 $(TESTS)
	$(BIN)/coverage report

# The package with the lowest versions that it allows (PYTHON=python3.10), and with the newest of everything. What these
# deprecate is no error. Each has an environment of its own.
lowest: .venv-lowest/.installed
	$(call pytest,.venv-lowest) -W default $(TESTS)

newest:
	$(PYTHON) -m venv --clear .venv-newest
	$(call install,.venv-newest,--editable '.[dev]')
	$(call pytest,.venv-newest) -W default $(TESTS)

# The wheel and the source distribution in `dist`, and the wheel in an empty environment, outside of the repository.
wheel: $(INSTALLED)
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	$(PYTHON) -m venv --clear .venv-wheel
	$(call install,.venv-wheel,--constraint constraints.txt dist/*.whl)
	cd "$$(mktemp -d)" && "$(CURDIR)/.venv-wheel/bin/python" -I "$(CURDIR)/.ci/smoke.py" "$(CURDIR)"/dist/*.tar.gz

# The short form of every benchmark: a few minutes on two cores, nothing written.
bench: $(INSTALLED)
	$(BIN)/python benchmarks/persistence.py --short
	$(BIN)/python benchmarks/analysis.py --short
	$(BIN)/python benchmarks/distances.py --short
	$(BIN)/python benchmarks/overhead.py --short
	$(BIN)/python benchmarks/background.py --short
	$(BIN)/python benchmarks/figures.py --short
	$(BIN)/python benchmarks/startup.py --short
	$(BIN)/python benchmarks/errors.py --short
	$(BIN)/python benchmarks/steering.py --short
	$(BIN)/python benchmarks/large_models.py --short
	$(BIN)/python benchmarks/smoothing.py --short
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/cluster.py --short

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' || \
		{ echo "Python 3.10 to 3.14 is needed, got $$($(PYTHON) --version): make PYTHON=python3.12 ..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(call install,$(VENV),--constraint constraints.txt --editable '.[dev]')
	touch $(INSTALLED)

.venv-lowest/.installed: pyproject.toml constraints-lowest.txt
	$(PYTHON) -m venv --clear .venv-lowest
	$(call install,.venv-lowest,--constraint constraints-lowest.txt --editable '.[dev]')
	touch $@

clean:
	rm -rf site .venv .venv-* .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
