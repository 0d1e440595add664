# Needs Python 3.11 or newer and make, nothing else; everything is installed into .venv by pip.
#   make PYTHON=python3.12 test        another interpreter
#   make THREADS=1 bench               another number of threads
PYTHON ?= python3
BIN := .venv/bin

RECENT = $(shell { $(PYTHON) -c "import sys; print('yes' * (sys.version_info >= (3, 11)))"; } 2>/dev/null)
VERSION = $(shell { $(PYTHON) -c "import platform; print(platform.python_version())"; } 2>/dev/null)
TOO_OLD = numclip needs Python 3.11 or newer, and $(PYTHON) is $(or $(VERSION),not there): \
	name another one, as in make PYTHON=python3.12

.PHONY: help demo test test-long test-versions test-peers gpu lint format bench bench-quick docs clean

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' Makefile | expand -t 20

demo: .venv/.demo  ## train a small character model on real text, clipping its gradients
	$(BIN)/python examples/char_rnn.py

test: .venv/.dev  ## run all tests but the long ones
	$(BIN)/python -m pytest -m "not long"

test-long: .venv/.dev  ## run the long tests: a million calls, hundreds of forks, fuzzing, all versions
	$(BIN)/python -m pytest -m long

test-versions: .venv/.dev  ## test the wheel at the oldest and the newest Python, Numba and NumPy
	$(BIN)/python .ci/check-versions

test-peers: .venv-peers/.ready  ## compare with TensorFlow, torch and optax, in an environment of their own
	.venv-peers/bin/python -m pytest tests/peers tests/cpu/test_foreign.py

gpu:  ## on a machine with a CUDA GPU: check and measure, by a Python with numba-cuda and PyTorch; STEPS="bench"
	PYTHON=$(PYTHON) benchmarks/cuda.sh $(or $(OUT),benchmarks/results/cuda) $(STEPS)

lint: .venv/.dev  ## check style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.dev  ## put the sources into the form that lint wants
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Every library in the comparison gets the same number of threads: all cores it may use, unless told otherwise.
THREADS ?= $$($(PYTHON) -c "import os; print(len(os.sched_getaffinity(0)))")
BENCHMARK = threads=$(THREADS); \
	OPENBLAS_NUM_THREADS=$$threads OMP_NUM_THREADS=$$threads NUMBA_NUM_THREADS=$$threads \
	.venv-peers/bin/python -m pytest benchmarks/bench_clip.py benchmarks/bench_training.py --benchmark-quiet

bench: .venv-peers/.ready  ## compare the speed on all workloads and write the table into the README
	@mkdir -p benchmarks/results
	$(BENCHMARK) --benchmark-json=benchmarks/results/clip.json
	.venv-peers/bin/python benchmarks/report.py benchmarks/results/clip.json --readme README.md \
		--picture benchmarks/results/ratios.png

bench-quick: .venv-peers/.ready  ## compare the speed on the small workloads, about two minutes
	@mkdir -p build
	$(BENCHMARK) -m "not long" --benchmark-max-time=0.1 --benchmark-json=build/bench-quick.json
	.venv-peers/bin/python benchmarks/report.py build/bench-quick.json --picture build/bench-quick.png

docs: .venv/.dev  ## write the API pages to build/docs
	$(BIN)/pdoc --docformat numpy --output-directory build/docs numclip

clean:  ## remove everything that make has made
	rm -rf .venv .venv-peers build dist .benchmarks .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: set up once, and again when pyproject.toml has changed.
.venv/.created .venv-peers/.created:
	$(if $(RECENT),,$(error $(TOO_OLD)))
	$(PYTHON) -m venv --clear $(@D)
	@touch $@

.venv/.demo: pyproject.toml | .venv/.created
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[examples]"
	@touch $@

.venv/.dev: pyproject.toml | .venv/.created
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[dev]"
	@touch $@ .venv/.demo

.venv-peers/.ready: pyproject.toml | .venv-peers/.created
	.venv-peers/bin/pip install --quiet --disable-pip-version-check --editable ".[peers]"
	@touch $@
