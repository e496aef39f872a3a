# Everything runs in .venv, which is created when it is first needed. To use another interpreter:
# make test PYTHON=python3.12
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check

# The torch that `make direct` installs; on a machine without a GPU, a CPU build is enough.
TORCH ?= torch

# Disables a notice of mkdocs-material at every build.
export NO_MKDOCS_2_WARNING = 1

# Every test process would compile the package and the tests anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test direct check docs audit soak matrix mutants repeat bench clean

demo: $(VENV)/.demo
	$(BIN)/storycore-tts demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 3 --dist loadfile $(PYTEST_OPTIONS)

# Adds torch, qwen_tts and the watermark, so that `make test` covers the direct backend and the
# watermark, too; as in the guide for machines without a GPU.
direct: $(VENV)/.dev
	$(INSTALL) '$(TORCH)' -e '.[direct-light,watermark]'
	$(INSTALL) --no-deps 'qwen-tts>=0.1.1,<0.2'

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m mkdocs build --quiet --strict --site-dir $(VENV)/site

# Generates the reference from the code, and builds the documentation site in site/.
docs: $(VENV)/.dev
	$(BIN)/python -m mkdocs build --quiet --strict

# Reports known vulnerabilities of the packages in .venv, or that they cannot be checked.
audit: $(VENV)/.dev
	$(BIN)/python .ci/audit.py

# Runs the whole suite on every Python of this machine, before a release.
matrix:
	.ci/matrix

# Applies small mutations to the product, one at a time; the tests must catch each of them.
mutants: $(VENV)/.dev
	$(BIN)/python tests/mutants/run.py

# Repeats `make test`, half of the runs with two busy loops in the background.
repeat: $(VENV)/.dev
	.ci/repeat

# Runs the long forms of tests, with many examples and many kills.
soak: $(VENV)/.dev
	$(BIN)/python -m pytest -m 'soak or hypothesis' --hypothesis-profile long --timeout 3600

# direct_throughput.py and watermark.py require `make direct`.
bench: $(VENV)/.dev
	$(BIN)/python benchmarks/comfyui_overhead.py
	$(BIN)/python benchmarks/direct_throughput.py
	$(BIN)/python benchmarks/fallback_overhead.py
	$(BIN)/python benchmarks/first_byte.py
	$(BIN)/python benchmarks/marking.py
	$(BIN)/python benchmarks/service_load.py
	$(BIN)/python benchmarks/watermark.py

clean:
	rm -rf $(VENV) demo-output site .hypothesis .mypy_cache .pytest_cache .ruff_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	$(INSTALL) -e '.[demo]'
	touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(INSTALL) -e '.[dev,docs]'
	touch $@ $(VENV)/.demo
