# make demo   train on the embedded scenes, evaluate, write outputs/demo/evaluation-test/report.html
# make space  the web demo: trains the demo's model if there is none, builds an index, starts on port 7860
# make test   the test suite
# make check  lint, format, types
# make docs   the documentation site, into site/; make docs-serve shows it while it is written, on port 8000
# Each makes its own virtual environment first.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --no-compile -c constraints.txt
DEMO ?= outputs/demo
# accelerate gives a process one thread unless told
THREADS := $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
LAUNCH := $(BIN)/accelerate launch --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no \
	--num_cpu_threads_per_process $(THREADS)

.PHONY: demo train space test check format docs docs-serve clean

demo: $(VENV)/.demo
	$(LAUNCH) training/train.py --output_dir $(DEMO) $(if $(wildcard $(DEMO)/metrics.jsonl),--resume true,)
	$(BIN)/python training/evaluate.py --run $(DEMO) --split test

# any settings: make train ARGS="--data path/to/folder --output_dir outputs/mine"
train: $(VENV)/.demo
	$(LAUNCH) training/train.py $(ARGS)

space: $(VENV)/.space $(DEMO)/best/model.safetensors
	$(BIN)/python space/app.py --model $(DEMO)/best --work outputs/space $(ARGS)

$(DEMO)/best/model.safetensors: | $(VENV)/.space
	$(LAUNCH) training/train.py --output_dir $(DEMO) $(if $(wildcard $(DEMO)/metrics.jsonl),--resume true,)

# tests start many processes, each of which would compile all that it imports where bytecode is not kept
test: $(VENV)/.dev
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 2 --dist worksteal -q $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# a link that leads nowhere, an unknown name or a page outside the menu is an error
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo "the site: site/index.html"

docs-serve: $(VENV)/.docs
	$(BIN)/python -m mkdocs serve

clean:
	rm -rf build site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) -e ".[demo]"
	touch $@

$(VENV)/.space: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) -e ".[demo,space]"
	touch $@ $(VENV)/.demo

$(VENV)/.docs: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) -e ".[docs]"
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) -e ".[dev,demo,space]"
	touch $@ $(VENV)/.demo $(VENV)/.space
