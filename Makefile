# Every command a person types. Targets are thin: they call programs of .venv.
.DEFAULT_GOAL := help
.PHONY: help setup demo data test test-cluster campaign verify generate lock audit sbom licences bench

BIN := .venv/bin
PYTEST := $(BIN)/pytest -n 2
PROGRAMS := PYTHONPATH=tests/support $(BIN)/python -m cluster.build
CLUSTER := (cluster_a and slow) or cluster_k or s3
SOURCES := api/src operator/src trainer-image/src cli/src

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

setup: ## Make .venv with the trimtab command from the lock
	@tools/setup.sh

demo: setup ## Search, train, prune, quantize and benchmark a digits classifier: minutes
	$(BIN)/trimtab run examples/02-digits/job.yaml --output runs/demo

data: ## Fill pvc://datasets/fashion-mnist from Debian's package
	@tools/fashion-mnist.sh

test: setup ## Run the tests that need no node; builds an API server and Helm with Go at the first use
	@tools/prometheus.sh
	$(PROGRAMS) etcd kube-apiserver kubectl helm
	$(PYTEST) -m "not ($(CLUSTER)) and not cluster_n and not campaign"

test-cluster: setup ## Run the others: operator, KubeRay, S3 and a real node, which needs root
	@tools/cluster-packages.sh
	@tools/prometheus.sh
	$(PROGRAMS)
	$(PYTEST) -m "($(CLUSTER)) and not campaign"
	$(BIN)/pytest -m cluster_n

campaign: setup ## Run every crash point and every misoperation: hours; results in docs/campaigns.md
	$(BIN)/pytest -m campaign

verify: setup generate ## Regenerate, lint, check types and imports, expect a clean tree
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(SOURCES) bench tools
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml $(SOURCES)
	$(BIN)/lint-imports
	for member in api operator trainer-image cli; do (cd $$member && ../$(BIN)/deptry src) || exit 1; done
	$(BIN)/yamllint --strict .
	$(BIN)/codespell
	$(BIN)/hadolint operator/Dockerfile trainer-image/Dockerfile
	@if command -v shellcheck >/dev/null; then shellcheck tools/*.sh .ci/run; \
	else echo "verify: shellcheck is not installed, shell scripts are not linted"; fi
	@test -z "$$(git status --porcelain)" || \
	{ echo "verify: the tree is not clean:"; git status --short; exit 1; }

generate: setup ## Write what is generated from api/
	$(BIN)/python -m trimtab_codegen --write

# rfc3987-syntax costs each process that imports Ray two seconds, by way of jsonschema; only the
# validation of bills of materials asks for it, to look at addresses.
lock: ## Write requirements.lock; versions that still fit are kept
	tools/uv.sh pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	--custom-compile-command "make lock" --no-emit-index-url --no-emit-package trimtab-api \
	--no-emit-package trimtab-operator --no-emit-package trimtab-trainer --no-emit-package trimtab-cli --no-emit-package rfc3987-syntax --group dev pyproject.toml \
	--output-file requirements.lock

audit: setup ## Look up vulnerabilities of what the lock names; fails without an answer
	$(BIN)/pip-audit --strict --disable-pip --require-hashes --requirement requirements.lock

sbom: setup ## Write what this environment holds into dist/sbom.cdx.json (CycloneDX)
	@mkdir -p dist
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-file dist/sbom.cdx.json .venv

licences: setup ## List the licences in the images; fails on one that is not allowed
	$(BIN)/pip-licenses --packages $$($(BIN)/python tools/image_packages.py operator trainer)

bench: setup data ## Measure against the goals, and run the long example whole: about 90 minutes
	$(BIN)/python -m bench.overhead
	$(BIN)/python -m bench.training
	$(BIN)/python -m bench.search_quality
	$(BIN)/python -m bench.compression
	$(BIN)/python -m bench.coverage --beside
	$(BIN)/python -m bench.operator
	$(BIN)/trimtab run examples/04-fashion-mnist/job.yaml --fresh
