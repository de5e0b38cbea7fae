# One runner for people and CI. `make reproduce` and `make test` do all the set-up by themselves.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
ZERO3_STAMP := $(VENV)/.zero3
ZERO3_PACKAGES := ^(deepspeed|einops|hjson|msgpack|ninja|py-cpuinfo)==
OUT ?= runs/reproduce
PYTEST_ARGS ?=
RAY_TESTS := tests/integration/test_scale_ray.py
SERVE_ARGS ?=

.PHONY: help setup reproduce serve chromium test check package fix docs assets bench clean
.DEFAULT_GOAL := help

help:  ## List the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | column -t -s "$$(printf '\t')"

setup: $(STAMP)  ## Make .venv with the pinned dependencies and this package

# torch first: the pinned build decides, and nothing resolved later can replace it.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet "$$(grep '^torch==' constraints.txt)"
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

# Apart, for ZeRO-3's tests alone: transformers imports DeepSpeed, for seconds, at every save once it finds it.
$(ZERO3_STAMP): $(STAMP)
	$(BIN)/pip install --quiet --no-deps --upgrade --target $(VENV)/zero3 $$(grep -E '$(ZERO3_PACKAGES)' constraints.txt)
	@touch $@

reproduce: setup  ## Run the whole recipe: corpora, stages, Table 1, report (OUT=runs/reproduce)
	$(BIN)/r1omni reproduce --out $(OUT)

serve: setup  ## Serve the bundled model, with its page on http://127.0.0.1:8000 (SERVE_ARGS="--model FOLDER")
	$(BIN)/r1omni serve $(SERVE_ARGS)

# Some tests look at pages in a browser. They are skipped, and say so, where Chromium cannot be installed unasked.
chromium:  ## Install Chromium for the browser test, where that needs no password
	@for name in chromium chromium-browser google-chrome; do if command -v $$name >/dev/null; then exit 0; fi; done; \
	if ! command -v apt-get >/dev/null; then why="there is no apt-get here"; \
	elif [ "$$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; then why="that needs root, or sudo without a password"; \
	else \
		root=$$([ "$$(id -u)" = 0 ] || echo sudo); \
		if $$root apt-get update -qq && $$root env DEBIAN_FRONTEND=noninteractive \
			apt-get install -qq -y --no-install-recommends chromium >/dev/null; then exit 0; fi; \
		why="apt-get failed, see above"; \
	fi; \
	echo "Chromium is not installed ($$why): the browser test is left out. As root, run make chromium." >&2

test: setup $(ZERO3_STAMP) chromium  ## Run the unit, integration and parity tests
	@# Ray pickles what the unit tests' checker of shapes wraps, and cannot: its jobs are tested in a process of their own.
	$(BIN)/pytest $(RAY_TESTS) -m 'not slow and not gpu'
	$(BIN)/pytest tests/unit tests/integration tests/parity --ignore $(RAY_TESTS) -m 'not slow and not gpu' $(PYTEST_ARGS)

check: setup  ## Check format, lint, types, import directions, generated docs and the installed packages
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check
	$(BIN)/pip check
	@# Builds for CUDA break a CPU torch by their mere presence (transformers imports torchvision when it is there).
	! $(BIN)/pip list 2>/dev/null | grep -iE '^(nvidia|triton|torchvision|torchaudio|torchcodec)'

package: setup  ## Build wheel and sdist, inspect them, use the wheel in an empty environment (FULL=1: with all extras)
	$(BIN)/python scripts/check_wheel.py $(if $(FULL),--full)

fix: setup  ## Format, and apply ruff's fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: setup  ## Generate the reference pages and build the site into site/
	$(BIN)/python docs/generate.py
	$(BIN)/zensical build --clean

assets: setup  ## Bundle the model and sample clips of a finished run (OUT=runs/reproduce) into the package
	$(BIN)/python scripts/bundle_assets.py $(OUT)

bench: setup  ## Measure decoding, answering, generation and GRPO on this machine (half an hour)
	$(BIN)/python benchmarks/media.py
	$(BIN)/python benchmarks/features.py
	$(BIN)/python benchmarks/evidence.py
	$(BIN)/python benchmarks/annotating.py
	$(BIN)/python benchmarks/answering.py --layers 3 --batch-sizes 1,8
	$(BIN)/python benchmarks/generation.py
	$(BIN)/python benchmarks/grpo.py

clean:  ## Remove .venv and what was built
	rm -rf $(VENV) site dist build .pytest_cache .ruff_cache .import_linter_cache .hypothesis
