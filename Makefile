# Every recipe makes its own environment; python3 with venv and pip is all that is assumed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
RUN    := $(BIN)/python -m

.PHONY: demo test test-fast test-nightly lint format docs bench serve clean

demo: $(VENV)/.ready  ## from raw taxi trips to monitored predictions and a retrained model
	$(BIN)/python examples/taxi/demo.py

test: $(VENV)/.ready  ## the tests
	$(RUN) pytest -n 2 --dist worksteal -m "not nightly" tests

test-nightly: $(VENV)/.ready  ## every test, also those that repeat on other technologies or in finer steps
	$(RUN) pytest -n 2 --dist worksteal tests

test-fast: $(VENV)/.ready  ## the quick tests, under two minutes
	$(RUN) pytest -n 2 --dist worksteal -m "not slow and not nightly" tests

lint: $(VENV)/.ready  ## format, lint, types, import layers
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy
	$(BIN)/lint-imports --no-cache

format: $(VENV)/.ready  ## rewrite the files the way lint wants them
	$(RUN) ruff format .
	$(RUN) ruff check --fix .

docs: $(VENV)/.ready  ## run every block of code in the docs and rebuild the reference
	$(BIN)/python docs/build.py
	$(RUN) pytest -q tests/house/test_docs.py

bench: $(VENV)/.ready  ## benchmarks, each beside a peer in the same run
	$(BIN)/python benchmarks/run.py

clean:  ## remove the environment and everything built
	rm -rf $(VENV) build out .tidewheel examples/taxi/.tidewheel examples/taxi/out

# The kernels want a C compiler. Where there is none and we may install one, we do; else the kernel is interpreted, and slow.
.PHONY: compiler
compiler:
	@command -v cc >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "no C compiler: installing gcc and python3-dev with apt-get"; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq gcc libc6-dev python3-dev >/dev/null \
	      || echo "apt-get failed: the kernel will be interpreted"; \
	  else echo "no C compiler: the kernel will be interpreted"; fi; }

# One environment with everything that tests, demo and checks need, from uv.lock; the kernels are compiled on the way, and all
# Python to bytecode, as pip would have done.
$(VENV)/.ready: pyproject.toml uv.lock setup.py $(wildcard src/tidewheel/features/*kernel.p*)
	$(MAKE) --no-print-directory compiler
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -x $(BIN)/uv || $(BIN)/pip install --quiet --disable-pip-version-check uv
	UV_PROJECT_ENVIRONMENT=$(VENV) $(BIN)/uv sync --quiet --locked --all-extras --group dev --inexact --compile-bytecode
	$(BIN)/python -m compileall -q src/tidewheel
	$(BIN)/tidewheel --version
	touch $@
