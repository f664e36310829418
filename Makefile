# setup  the environment, the native build and the default model
# serve  all of it, then the server on http://127.0.0.1:8000
# check  lint, types, import contract       test  the tests
# test-fast  the tests that need no torch, process or database server
# bench  the engine's speed                 bench-peers  the same beside llama.cpp, OpenVINO and vLLM
VENV   := .venv
PYTHON ?= python3.11
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
NATIVE := CMakeLists.txt pyproject.toml $(wildcard src/llmos/engine/csrc/*) $(wildcard src/llmos/engine/csrc/*/*)
CXX_FILES := $(wildcard $(addprefix src/llmos/engine/csrc/,*.h *.cpp */*.h */*.cpp))
MODEL  ?= smollm2

.PHONY: setup serve check test test-fast bench bench-peers clean

$(VENV)/.environment: constraints.txt
	@echo "Making the environment in $(VENV) …"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --quiet --constraint constraints.txt scikit-build-core nanobind cmake ninja
	@touch $@

$(VENV)/.llmos: $(VENV)/.environment $(NATIVE)
	@echo "Installing what LLMOS needs and compiling the engine: about a minute …"
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(PIP) install --quiet --constraint constraints.txt --no-build-isolation --editable .
	@touch $@

$(VENV)/.check: $(VENV)/.llmos
	@$(PIP) install --quiet --constraint constraints.txt clang-format import-linter mypy pre-commit ruff
	@touch $@

# torch comes from the wheel that the machine's pip finds for this exact version; see CONTRIBUTING.md.
$(VENV)/.test: $(VENV)/.llmos
	@echo "Installing what the tests need, torch among it …"
	@$(PIP) install --quiet --constraint constraints.txt torch==2.13.0
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(PIP) install --quiet --constraint constraints.txt --no-build-isolation --editable ".[test]"
	@touch $@

setup: $(VENV)/.llmos
	@$(BIN)/llmos pull $(MODEL)

serve: setup
	@$(BIN)/llmos serve

check: $(VENV)/.check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $(CXX_FILES)
	$(BIN)/mypy
	$(BIN)/lint-imports

# More workers than two cores have room for: a fifth of the time, a test waits for a process or a disk.
WORKERS ?= 3
test: $(VENV)/.test
	$(BIN)/python -m pytest -n $(WORKERS)

# All that needs no torch, no process and no database server. See tests/support/fast_run.py.
test-fast: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --fast

bench: setup
	$(BIN)/python benchmarks/engine.py

bench-peers: setup
	$(BIN)/python benchmarks/peers/compare.py --write

clean:
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
