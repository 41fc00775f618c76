# Every command a person types. Targets are thin: they call programs of .venv.
.DEFAULT_GOAL := help
.PHONY: help setup demo data test test-cluster verify generate lock bench

BIN := .venv/bin
SOURCES := api/src operator/src trainer-image/src cli/src

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

setup: ## Make .venv with the trimtab command from the lock
	@tools/setup.sh

demo: setup ## Search, train, prune, quantize and benchmark a digits classifier: minutes
	$(BIN)/trimtab run examples/02-digits/job.yaml --output runs/demo

data: ## Fill pvc://datasets/fashion-mnist from Debian's package
	@tools/fashion-mnist.sh

test: setup ## Run the tests that need no cluster and no server
	$(BIN)/pytest -m "not cluster_a and not cluster_k and not cluster_n and not s3"

test-cluster: setup ## Run the others, on servers built once from Go modules; a real node needs root
	$(BIN)/pytest -m "cluster_a or cluster_k or cluster_n or s3"

verify: setup generate ## Regenerate, lint, check types and imports, expect a clean tree
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(SOURCES) bench
	$(BIN)/lint-imports
	for member in api operator trainer-image cli; do (cd $$member && ../$(BIN)/deptry src) || exit 1; done
	$(BIN)/yamllint --strict .
	$(BIN)/codespell
	@if command -v shellcheck >/dev/null; then shellcheck tools/*.sh .ci/run; \
	else echo "verify: shellcheck is not installed, shell scripts are not linted"; fi
	@test -z "$$(git status --porcelain)" || \
	{ echo "verify: the tree is not clean:"; git status --short; exit 1; }

generate: setup ## Write what is generated from api/
	$(BIN)/python -m trimtab_codegen --write

lock: ## Write requirements.lock; versions that still fit are kept
	tools/uv.sh pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	--custom-compile-command "make lock" --no-emit-index-url --no-emit-package trimtab-api \
	--no-emit-package trimtab-operator --no-emit-package trimtab-trainer --no-emit-package trimtab-cli --group dev pyproject.toml \
	--output-file requirements.lock

bench: setup data ## Measure against the goals, and run the long example whole: about 90 minutes
	$(BIN)/python -m bench.overhead
	$(BIN)/python -m bench.training
	$(BIN)/python -m bench.search_quality
	$(BIN)/python -m bench.compression
	$(BIN)/python -m bench.coverage --beside
	$(BIN)/trimtab run examples/04-fashion-mnist/job.yaml --fresh
