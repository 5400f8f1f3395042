# The same few commands at home and in CI. `make demo` and `make test` need nothing but Python 3.11 or later.

PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3.13 python3,$(shell command -v $(p) 2>/dev/null)))
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --constraint constraints.txt
QUESTION ?= She cried all night after the funeral of her old friend.

.PHONY: demo test fmt lint types bench campaign schema docs clean

demo: $(VENV)/.installed  ## the main job on the embedded example, then one question to the finished model
	$(BIN)/modelpress run examples/emotions/workflow.yaml
	$(BIN)/modelpress ask examples/emotions/output "$(QUESTION)"

test: $(VENV)/.installed-dev  ## every test that this machine can run
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

fmt: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

bench: $(VENV)/.installed-bench  ## measure against the competitors; results go to docs/benchmarks.md
	$(BIN)/python benchmarks/run.py

campaign: $(VENV)/.installed-dev  ## random trials with a fresh seed, kept in docs/reliability.md; SEED= and CASES= choose
	$(BIN)/python campaigns/run.py

schema: $(VENV)/.installed-dev  ## the committed JSON Schema of workflow files, made anew
	MODELPRESS_BLOCK_PLUGINS=hello,example $(BIN)/modelpress schema > docs/workflow.schema.json

docs: $(VENV)/.installed-dev  ## the pages that are made from the code
	MODELPRESS_BLOCK_PLUGINS=hello,example $(BIN)/modelpress plugins docs docs

clean:
	rm -rf $(VENV) build dist examples/emotions/output examples/emotions/output-olive examples/emotions/cache

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed, and was not found."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than Python 3.11."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) pip

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable ".[cpu]"
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --editable ".[cpu,qlora,azureml,docker,ray,report,search,mlflow,tensorboard]" --group dev
	$(PIP) --no-deps --group models --group harness
	$(PIP) --no-deps $(addprefix --editable ,$(wildcard plugins_contrib/*))
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed-dev
	$(PIP) --group bench
	@touch $@
