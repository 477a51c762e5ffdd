# Two commands: `make compare` proves the gradients, `make test` runs the whole gate.
# PYTHON chooses the interpreter of the virtual environment: make PYTHON=python3.12 compare

PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check

.PHONY: compare test types suite docs reports thorough endurance lock false-alarms narrow clean

compare: $(VENV)/.installed-data
	$(VENV)/bin/python -m compare

# The type checker has one thread, and the tests wait now and then: both at once take less time.
test: $(VENV)/.installed-dev
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(MAKE) --jobs=2 types suite

types: $(VENV)/.installed-dev
	$(VENV)/bin/basedpyright

# Most of the tests' time is XLA's compiler, and what it compiles runs once: the plainer of its two
# code generators for the CPU takes half as long, and less in one piece. They are tried first, because
# XLA does not start with a flag that it does not know. Three workers on two cores: many tests wait for
# processes of their own, which import what the first of them has compiled.
PLAIN := --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1
suite: $(VENV)/.installed-dev
	plain="$$XLA_FLAGS $(PLAIN)"; \
	XLA_FLAGS="$$plain" $(VENV)/bin/python -c 'import jax; jax.devices()' 2>/dev/null \
		|| plain="$$XLA_FLAGS"; \
	XLA_FLAGS="$$plain" JAX_DISABLE_MOST_OPTIMIZATIONS=1 JAX_TRACEBACK_IN_LOCATIONS_LIMIT=0 \
		PYTHONDONTWRITEBYTECODE= \
		$(VENV)/bin/python -m pytest --numprocesses=3 --dist=worksteal --durations=25

# The docs site in build/site/: of this repository alone, without a network. A link that leads nowhere
# is an error. To read it, with its search: python3 -m http.server --directory build/site
docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --strict

# What the checker says of each named mistake, and what the notebooks print: again after a change of
# either.
reports: $(VENV)/.installed-dev
	$(VENV)/bin/python -m website.reports
	$(VENV)/bin/python -m website.notebooks

# The same with every row of the long tables, of which the gate runs one in twelve.
thorough: export HANDGRAD_THOROUGH := 1
thorough: test

# The tables of docs/checker.md: 500 right gradients in each of three dtypes, and 200 of deep networks.
false-alarms: $(VENV)/.installed-dev
	HANDGRAD_THOROUGH=1 HANDGRAD_NETWORKS=50 HANDGRAD_DTYPES='float64 float32 bfloat16' \
		$(VENV)/bin/python -m pytest --numprocesses=2 -rP \
		tests/compare/checker/test_false_alarms.py tests/compare/checker/test_deep_false_alarms.py

# 200 right rules that compute in float32, bfloat16 or float16 inside, and 100 that are wrong.
narrow: $(VENV)/.installed-dev
	HANDGRAD_THOROUGH=1 HANDGRAD_NARROW=200 \
		$(VENV)/bin/python -m pytest --numprocesses=2 -rP tests/compare/checker/test_narrow.py

# Random moments and many repetitions, which take half an hour.
endurance: $(VENV)/.installed-dev
	$(VENV)/bin/python tests/endurance/interruptions.py
	$(VENV)/bin/python tests/endurance/kills.py
	$(VENV)/bin/python tests/endurance/full_disk.py
	PYTHONPATH=. $(VENV)/bin/python tests/endurance/soak.py
	HANDGRAD_FUZZ=10 $(VENV)/bin/python -m pytest tests/test_foreign_files.py

# Every version of development with its hashes, for all platforms and Pythons; it needs uv.
lock:
	uv pip compile pyproject.toml --extra data --extra report --extra train --extra tensorboard --extra dev --extra docs \
		--universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-emit-find-links --no-annotate --custom-compile-command "make lock" \
		--quiet --output-file requirements-dev.txt

# A stamp for each set of extras: nothing is installed again until pyproject.toml changes.
$(VENV)/.installed-data: pyproject.toml | $(VENV)/bin/python
	$(PIP) --editable '.[data]'
	touch $@

# What the tests import is compiled as they import it; all of it would take half a minute.
$(VENV)/.installed-dev: pyproject.toml requirements-dev.txt | $(VENV)/bin/python
	$(PIP) --no-compile --require-hashes --requirement requirements-dev.txt
	$(PIP) --no-deps --editable .
	touch $@ $(VENV)/.installed-data

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "handgrad needs Python 3.11 or newer; choose one with: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
