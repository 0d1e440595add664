# Needs Python 3.11 or newer and make, nothing else; everything is installed into .venv by pip.
# Durations are those of two cores, once the packages are installed and the kernels compiled.
#   make PYTHON=python3.12 test        another interpreter
#   make THREADS=1 bench               another number of threads
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

RECENT = $(shell { $(PYTHON) -c "import sys; print('yes' * (sys.version_info >= (3, 11)))"; } 2>/dev/null)
VERSION = $(shell { $(PYTHON) -c "import platform; print(platform.python_version())"; } 2>/dev/null)
TOO_OLD = numclip needs Python 3.11 or newer, and $(PYTHON) is $(or $(VERSION),not there): \
	name another one, as in make PYTHON=python3.12

.PHONY: help demo demo-temporal-order test test-quick test-ci test-long test-versions test-peers gpu lint format bench bench-quick wheel docs clean

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' Makefile | expand -t 28

demo: $(VENV)/.demo  ## train a small character model on real text, clipping its gradients: a minute
	$(BIN)/python examples/char_rnn.py

demo-temporal-order: $(VENV)/.demo  ## train ten networks with clipping and ten without: what clipping is for
	$(BIN)/python examples/temporal_order.py

# As many processes as cores: pytest-xdist hands each the next test when it has done one.
PYTEST = $(BIN)/python -m pytest --numprocesses=logical --maxprocesses=8 --dist=loadgroup

test: $(VENV)/.test  ## run the tests, of those on CUDA devices one case each: under 10 minutes
	$(PYTEST) -m "not ci and not long"

test-quick: $(VENV)/.test  ## run the tests that take less than a second each, none on CUDA devices: more than a minute
	$(PYTEST) -m "not slow and not ci and not long"

test-ci: $(VENV)/.test  ## run all tests but the long ones, as CI does on two Pythons: 10 minutes
	$(PYTEST) -m "not long"

test-long: $(VENV)/.test  ## run the long tests: a million calls, hundreds of forks, fuzzing, all versions
	$(BIN)/python -m pytest -m long

test-versions: $(VENV)/.test  ## test the wheel at the oldest and the newest Python, Numba and NumPy
	$(BIN)/python .ci/check-versions

test-peers: .venv-peers/.ready  ## compare with TensorFlow, torch and optax, in an environment of their own
	.venv-peers/bin/python -m pytest tests/peers tests/cpu/test_foreign.py tests/project/test_documentation.py

gpu:  ## on a machine with a CUDA GPU: check and measure, by a Python with numba-cuda and PyTorch; STEPS="bench"
	PYTHON=$(PYTHON) benchmarks/cuda.sh $(or $(OUT),benchmarks/results/cuda) $(STEPS)

lint: $(VENV)/.dev  ## check style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev  ## put the sources into the form that lint wants
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Every library in the comparison gets the same number of threads: all cores it may use, unless told otherwise.
THREADS ?= $$($(PYTHON) -c "import os; print(len(os.sched_getaffinity(0)))")
BENCHMARK = threads=$(THREADS); \
	OPENBLAS_NUM_THREADS=$$threads OMP_NUM_THREADS=$$threads NUMBA_NUM_THREADS=$$threads \
	.venv-peers/bin/python -m pytest benchmarks/bench_clip.py benchmarks/bench_training.py --benchmark-quiet

bench: .venv-peers/.ready  ## compare the speed on all workloads and write the tables into README.md and docs
	@mkdir -p benchmarks/results
	$(BENCHMARK) --benchmark-json=benchmarks/results/clip.json
	.venv-peers/bin/python benchmarks/report.py benchmarks/results/clip.json --readme README.md \
		--tables docs/benchmarks.md --picture docs/pictures/ratios.png

bench-quick: .venv-peers/.ready  ## compare the speed on the small workloads, about two minutes
	@mkdir -p build
	$(BENCHMARK) -m "not long" --benchmark-max-time=0.1 --benchmark-json=build/bench-quick.json
	.venv-peers/bin/python benchmarks/report.py build/bench-quick.json --picture build/bench-quick.png

wheel: $(VENV)/.created  ## build the wheel into dist/
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .

docs: $(VENV)/.dev  ## write the documentation site to build/docs; a warning or a broken link is an error
	$(BIN)/python -m sphinx --quiet --fresh-env --fail-on-warning --keep-going --nitpicky docs build/docs

clean:  ## remove everything that make has made
	rm -rf .venv .venv-* build dist .benchmarks .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: set up once, and again when pyproject.toml has changed.
$(VENV)/.created .venv-peers/.created:
	$(if $(RECENT),,$(error $(TOO_OLD)))
	$(PYTHON) -m venv --clear $(@D)
	@touch $@

$(VENV)/.demo: pyproject.toml | $(VENV)/.created
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[examples]"
	@touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/.created
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[test]"
	@touch $@ $(VENV)/.demo

$(VENV)/.dev: pyproject.toml | $(VENV)/.created
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[dev]"
	@touch $@ $(VENV)/.test $(VENV)/.demo

.venv-peers/.ready: pyproject.toml | .venv-peers/.created
	.venv-peers/bin/pip install --quiet --disable-pip-version-check --editable ".[peers]"
	@touch $@
