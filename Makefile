# Two commands need nothing but Python 3.11 or newer, git and make:   make train   make test
PYTHON ?= python3
DEVICE ?= $(or $(XGRAD_DEVICE),cpu)
BIN := .venv/bin

# The CuPy that fits the driver, where CUDA is asked for.
CUDA := $(if $(filter cuda%,$(DEVICE)),$(shell nvidia-smi 2>/dev/null | grep -q 'CUDA Version: 12' && echo cuda12 || echo cuda13))
comma := ,
extras = $(1)$(if $(CUDA),$(comma)$(CUDA))

# What runs the benchmarks on a GPU: .venv, or an environment that has CuPy and peers already, as in   make gpu GPU_PYTHON=python3
GPU_PYTHON ?= $(BIN)/python
GPU_PARTS := gpu-probe gpu-tests gpu-gru gpu-cells gpu-train

.PHONY: train test test-all slow exhaustive fakecuda lint types parity kernels browser fuzz mutants conformance bench gpu $(GPU_PARTS) gpu-table gpu-environment clean

train: .venv/.installed-$(call extras,train)
	XGRAD_DEVICE=$(DEVICE) $(BIN)/python examples/train.py $(ARGS)

test: .venv/.installed-$(call extras,test)
	XGRAD_DEVICE=$(DEVICE) $(BIN)/python -m pytest -n auto $(ARGS)

# All that the continuous integration runs: beside those the slow ones, and CUDA's on the stand-in for CUDA.
test-all: test slow fakecuda

slow: .venv/.installed-$(call extras,test)
	$(BIN)/python -m pytest -m 'slow and not exhaustive and not cuda' -n auto $(ARGS)

# What takes minutes each: all functions at all places, all deliberate faults, fifty kills a signal, 20,000 steps.
exhaustive: .venv/.installed-$(call extras,test)
	$(BIN)/python -m pytest -m 'exhaustive and not cuda' -n auto $(ARGS)

# The tests of the engine on CuPy itself over a stand-in for CUDA (tests/fakecuda): with one device, and a part of them on the second of two.
ON_TWO := $(addprefix tests/,backends/test_devices.py backends/test_devices_do_not_mix.py backends/test_transfers.py backends/cuda/test_cuda_device.py \
	compiler/test_scan_compiled.py core/test_backward.py core/test_handles.py transforms/test_compile.py transforms/test_scan.py)
fakecuda: .venv/.installed-$(call extras,test$(comma)fakecuda)
	$(BIN)/python -m pytest -p tests.fakecuda.plugin -m 'cuda and not exhaustive' -n auto $(ARGS)
	FAKE_DEVICES=2 XGRAD_TEST_DEVICES=cuda:1 $(BIN)/python -m pytest -p tests.fakecuda.plugin -m 'cuda and not exhaustive' -k cuda:1 -n auto $(ON_TWO) $(ARGS)

lint: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.installed-dev
	$(BIN)/mypy

parity: .venv/.installed-$(call extras,test) .venv/.installed-torch
	$(BIN)/python -m pytest -m parity

# CuPy and NVRTC, without a GPU: what the backend asks of CuPy is there, and every kernel compiles.
kernels: .venv/.installed-$(call extras,test$(comma)kernels)
	$(BIN)/python -m pytest -m cuda_wheel -n auto $(ARGS)

# The page of a drawing in a headless browser: Chromium from the system's packages, or the one that XGRAD_BROWSER names.
browser: .venv/.installed-$(call extras,test$(comma)browser)
	$(BIN)/python -m pytest -m browser $(ARGS)

# Random programs, each by some of the ways to run it. The same ones again:   make fuzz ARGS='--seed 4242'
fuzz: .venv/.installed-$(call extras,test)
	$(BIN)/python -m tests.fuzz --count 10000 $(ARGS)

# Every small change of the compiler's passes and of what lays out memory, one at a time, against their tests; hours. Some:   make mutants ARGS='xgrad.compiler.lowering.views*'
mutants: .venv/.installed-mutation
	XGRAD_FUZZ_SEED=1 XGRAD_FUZZ=120 $(BIN)/mutmut run $(ARGS)
	$(BIN)/mutmut results

# The standard's own suite, of which SUITE is a checkout with its submodules.
conformance: .venv/.installed-$(call extras,test)
	@test -f '$(SUITE)/requirements.txt' || { echo 'Say where the suite is: make conformance SUITE=path/to/array-api-tests'; exit 1; }
	$(BIN)/python -m pip install --quiet -r $(SUITE)/requirements.txt
	cd $(SUITE) && for module in xgrad tests.helpers.on_strict; do PYTHONPATH=$(CURDIR) ARRAY_API_TESTS_MODULE=$$module ARRAY_API_TESTS_VERSION=2024.12 \
		$(CURDIR)/$(BIN)/python -m pytest array_api_tests -n auto --disable-deadline --max-examples 200 $(ARGS) || status=1; done; exit $${status:-0}

bench: .venv/.installed-$(call extras,peers)
	$(BIN)/python benchmarks $(ARGS)

gpu $(GPU_PARTS): gpu-environment
	$(GPU_PYTHON) benchmarks $@ $(if $(FORCE),--force) $(ARGS)

gpu-table: gpu-environment
	$(GPU_PYTHON) benchmarks gpu-table

gpu-environment:
ifeq ($(GPU_PYTHON),$(BIN)/python)
	@$(MAKE) --no-print-directory DEVICE=cuda .venv/.installed-gpu
endif

# JAX for the GPU where there is one that fits; without it JAX is reported as missing.
.venv/.installed-gpu: .venv/.installed-$(call extras,test$(comma)peers)
	-$(BIN)/python -m pip install --quiet 'jax[$(CUDA)]'
	touch $@

# The site of the documentation, in build/docs; a warning is an error.
.PHONY: docs
docs: .venv/.installed-docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html -d build/doctrees docs build/docs
	@echo 'open build/docs/index.html'

# All that is made, but not runs/, which holds what was trained.
clean:
	rm -rf .venv mutants build dist docs/api *.egg-info

.venv/.installed-torch: | .venv/bin/python
	$(BIN)/python -m pip install --quiet torch==2.13.0
	touch $@

.venv/.installed-%: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet -e '.[$*]'
	touch '$@'

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'xgrad needs Python 3.11 or newer; this is' `$(PYTHON) --version`'. Name another: make PYTHON=python3.12 ...'; exit 1; }
	$(PYTHON) -m venv .venv
