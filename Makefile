# Everything a developer types. Each target installs what it needs; `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

PYTHON := .venv/bin/python
CLUSTER_CLI := hack/cluster/cluster

.PHONY: help demo test unit simulate mutants lint site bench bench-sdk bench-files soak down clean lock generate audit base-digest

##@ See it

help: ## List the targets
	@awk -F ':.*## ' '/^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/ready ## Kill a node under a run on a real two-node Kubernetes, and check what is left
	@hack/deps
	@$(PYTHON) -m hack.demo

down: ## Remove every cluster of the demo, the tests and the benchmarks
	@for name in $$($(CLUSTER_CLI) list); do $(CLUSTER_CLI) down --name $$name; done

##@ While you work

unit: .venv/ready ## Run the unit and simulation tests but for the slow ones; no cluster needed
	@$(PYTHON) -m pytest tests/unit tests/simulation -m "not slow" -n auto --dist worksteal

lint: .venv/ready ## Check format, types, layers, words and generated files
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@$(PYTHON) -m apprun_operator.api.generate --check
	@$(PYTHON) -m application_sdk.cli.reference --check
	@$(PYTHON) -m hack.chart_readme --check
	@$(PYTHON) -m hack.rights --check
	@$(PYTHON) -m hack.words

generate: .venv/ready ## Write generated files: CRDs, the README of the chart, pages of docs
	@$(PYTHON) -m apprun_operator.api.generate
	@$(PYTHON) -m application_sdk.cli.reference
	@$(PYTHON) -m hack.chart_readme
	@$(PYTHON) -m hack.rights

site: .venv/ready ## Build the documentation into .cache/site, and check its links
	@$(PYTHON) -m mkdocs build --strict

clean: ## Remove the virtual environment and caches of this folder
	@if [ -e .venv/made-by-bootstrap ] || [ -e .venv/ready ]; then rm -rf .venv; \
	elif [ -e .venv ]; then echo 'clean: .venv was not made by make, and is left as it is'; fi
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

##@ Before you merge

test: .venv/ready ## Run everything: lint, unit, simulation, and the tests on a real Kubernetes
	@hack/test

simulate: .venv/ready ## Try random faults on a simulated cluster: SEEDS=n seeds, from FIRST
	@$(PYTHON) -m tests.simulation.hunt --seeds $(or $(SEEDS),200) --first $(or $(FIRST),0)

mutants: .venv/ready ## Remove one guard after the other, and name the test that fails
	@$(PYTHON) -m hack.mutants

##@ Measure

bench: .venv/ready ## Measure on a real Kubernetes, for docs/benchmarks.md
	@hack/deps
	@$(PYTHON) -m tests.bench
	@$(PYTHON) -m tests.bench.scale
	@$(PYTHON) -m tests.bench.largest

bench-sdk: .venv/ready ## Measure replay, the local engine and imports; needs no cluster
	@$(PYTHON) -m tests.bench.sdk

bench-files: .venv/ready ## Measure files, large and many, beside cp and curl, and between two nodes
	@hack/deps
	@$(PYTHON) -m tests.bench.files

soak: .venv/ready ## Run fifty runs on a cluster that breaks every few seconds
	@hack/deps
	@$(PYTHON) -m tests.soak

##@ Dependencies

lock: .venv/ready ## Resolve the Python dependencies into requirements/
	@hack/lock

audit: .venv/ready ## Compare the locked dependencies with known vulnerabilities
	@hack/audit

base-digest: .venv/ready ## Name the base image by its current digest
	@$(PYTHON) -m hack.base_digest

.venv/ready: requirements/dev.txt pyproject.toml hack/bootstrap
	@hack/bootstrap
	@touch $@
