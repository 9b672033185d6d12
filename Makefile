# make demo   a real recording goes in, an HTML report comes out: demo/report.html
# make test   lint, types, import layers and the whole test suite
# make lint   the first three alone
# make fuzz   20,000 damaged recordings of every format: each gives a capture that tells what is missing, or one line
# make bench  ratios against trace-cmd, perf and others on the same files; minutes, and on idle cores only
# make clean  everything that these made
#
# The first run makes an environment in .venv and installs the project and what it needs; a later run only checks it.

PYTHON ?= python3
DATASET ?= k313-rfcv2-thp-split

PY := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
FASTGUP := $(PY) -m fastgup_trace
# What an installed environment was made for; another place or another pyproject.toml is installed anew.
KEY := $(CURDIR) $(shell cksum < pyproject.toml)

unexport PYTHONPATH PYTHONHOME
.DELETE_ON_ERROR:
.PHONY: demo test lint fuzz bench clean environment installed installed-dev installed-bench

demo: installed
	$(FASTGUP) ingest dataset:$(DATASET) -o demo/capture --force
	$(FASTGUP) replay demo/capture -o demo/outcome --force > demo/summary.txt
	$(FASTGUP) report demo/outcome -o demo/report.html --force
	@cat demo/summary.txt
	@echo "report: $(CURDIR)/demo/report.html"

test: lint
	$(PY) -m pytest -rs

lint: installed-dev
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy
	$(PY) -c 'from importlinter.cli import lint_imports_command as check; check()' --no-logo

bench: installed-bench
	$(PY) -m pytest -m benchmark tests/bench -s

fuzz: installed-dev
	PYTHONPATH=tests $(PY) -m fuzz $(FUZZ)

# Whatever is in .venv is used where it works, and made anew where it is missing, broken, copied or too old.
environment:
	@$(PY) -c 'import os, pip, sys; sys.exit(sys.version_info < (3, 11) or not os.path.samefile(sys.prefix, ".venv"))' \
	  2>/dev/null && exit 0; \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'fastgup-trace needs Python 3.11 or later: make PYTHON=python3.11 $(MAKECMDGOALS)' >&2; exit 1; }; \
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo '$(PYTHON) cannot make an environment: apt-get install python3-venv' >&2; exit 1; }; \
	echo '$(PYTHON) -m venv --clear .venv'; \
	$(PYTHON) -m venv --clear .venv && $(PIP) install --quiet --upgrade pip

installed: environment
	@test "$$(cat .venv/.$@ 2>/dev/null)" = "$(KEY)" || test "$$(cat .venv/.$@-dev 2>/dev/null)" = "$(KEY)" || { \
	  echo 'installing fastgup-trace into .venv'; \
	  $(PIP) install --quiet -e . && echo "$(KEY)" > .venv/.$@; }

installed-dev: environment
	@test "$$(cat .venv/.$@ 2>/dev/null)" = "$(KEY)" || { \
	  echo 'installing fastgup-trace and its tools into .venv'; \
	  $(PIP) install --quiet -e '.[dev]' && echo "$(KEY)" > .venv/.$@; }

installed-bench: installed-dev
	@test "$$(cat .venv/.$@ 2>/dev/null)" = "$(KEY)" || { \
	  echo 'installing what the benchmarks are measured against into .venv'; \
	  $(PIP) install --quiet -e '.[dev,bench]' && echo "$(KEY)" > .venv/.$@; }

clean:
	rm -rf .venv demo fuzz-failures build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
