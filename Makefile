# CI runs `make check test` and nothing else; so can you.

PYTHON ?= python3
BIN := .venv/bin
# Written last, so that an interrupted set-up is done again.
INSTALLED := .venv/installed

.DEFAULT_GOAL := help
ABLATIONS := features captioner timestep classifier pooling
.PHONY: help setup demo check test test-gpu bench bench-gpu ablations $(ABLATIONS:%=ablation-%)

help: ## Say what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

setup: $(INSTALLED) ## Create .venv with everything that the other targets need

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

demo: $(INSTALLED) ## Segment the bundled sample images into demo/
	$(BIN)/odise segment samples --vocab world48 --model tiny --write panoptic,overlay \
	    --out demo --overwrite
	@echo "The pictures are in demo/overlays/, the segments in demo/panoptic.json."

check: $(INSTALLED) ## Lint, format, types and the rule of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# A process per core, four at most for the sake of memory, and a thread in each: the models of the
# tests are too small to gain from more.
test: export OMP_NUM_THREADS ?= 1
test: $(INSTALLED) ## All tests that need neither GPU nor network nor minutes
	$(BIN)/pytest --numprocesses logical --maxprocesses 4 --dist worksteal

test-gpu: $(INSTALLED) ## The tests that need a CUDA device
	$(BIN)/pytest -m gpu

bench: $(INSTALLED) ## Loading and speed of the tiny model, the evaluator beside others, listing to merging
	$(BIN)/python benchmarks/loading.py
	$(BIN)/python benchmarks/throughput.py --model tiny
	$(BIN)/python benchmarks/evaluator.py
	$(BIN)/python benchmarks/vocabularies.py
	$(BIN)/python benchmarks/pipeline.py
	$(BIN)/python benchmarks/scale.py

bench-gpu: $(INSTALLED) ## All that is to be known of a GPU, as rows of results.csv
	$(BIN)/python benchmarks/gpu.py --record benchmarks/results.csv

ablations: $(ABLATIONS:%=ablation-%) ## The paper's ablations in miniature; one: make ablation-NAME

$(ABLATIONS:%=ablation-%): ablation-%: $(INSTALLED)
	$(BIN)/python -m ablations.run $* --out runs/ablations
