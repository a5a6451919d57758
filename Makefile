# Everything a developer types. Each target installs what it needs; `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

PYTHON := .venv/bin/python
CLUSTER_CLI := hack/cluster/cluster

.PHONY: help demo test unit simulate mutants lint site bench bench-sdk bench-files soak down clean lock generate audit base-digest

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/ready ## Bring up a two-node Kubernetes, run an app on it, kill a node, watch the run go on
	@hack/deps
	@$(PYTHON) -m hack.demo

test: .venv/ready ## Everything: lint, unit and simulation tests, then the tests on a real Kubernetes
	@hack/test

unit: .venv/ready ## Unit and simulation tests in about a minute, without the slow ones; no cluster needed
	@$(PYTHON) -m pytest tests/unit tests/simulation -m "not slow" -n auto --dist worksteal

simulate: .venv/ready ## Random faults on a simulated cluster: SEEDS=n courses of events, from FIRST on
	@$(PYTHON) -m tests.simulation.hunt --seeds $(or $(SEEDS),200) --first $(or $(FIRST),0)

mutants: .venv/ready ## Take away one guard after the other, and show that a test misses each
	@$(PYTHON) -m hack.mutants

lint: .venv/ready ## Formatting, lint, types, layers, and that generated files are fresh
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@$(PYTHON) -m apprun_operator.api.generate --check
	@$(PYTHON) -m application_sdk.cli.reference --check
	@$(PYTHON) -m hack.chart_readme --check
	@$(PYTHON) -m hack.rights --check

site: .venv/ready ## Build the documentation as a site into .cache/site, links checked
	@$(PYTHON) -m mkdocs build --strict

bench: .venv/ready ## Measure on a real Kubernetes; figures go to docs/benchmarks.md
	@hack/deps
	@$(PYTHON) -m tests.bench
	@$(PYTHON) -m tests.bench.scale
	@$(PYTHON) -m tests.bench.largest

soak: .venv/ready ## Fifty runs on a cluster that breaks every few seconds, and a verdict
	@hack/deps
	@$(PYTHON) -m tests.soak

bench-sdk: .venv/ready ## Measure what needs no cluster: replay, the local engine, imports
	@$(PYTHON) -m tests.bench.sdk

bench-files: .venv/ready ## Measure files: a large one and many small ones, beside cp and curl, then between two nodes
	@hack/deps
	@$(PYTHON) -m tests.bench.files

down: ## Remove the clusters of demo, tests and benchmarks, and every trace of them
	@for name in $$($(CLUSTER_CLI) list); do $(CLUSTER_CLI) down --name $$name; done

generate: .venv/ready ## Write what is made from other files: crds/, the chart's copy and README, pages of docs
	@$(PYTHON) -m apprun_operator.api.generate
	@$(PYTHON) -m application_sdk.cli.reference
	@$(PYTHON) -m hack.chart_readme
	@$(PYTHON) -m hack.rights

lock: .venv/ready ## Resolve the Python dependencies anew into requirements/
	@hack/lock

audit: .venv/ready ## Compare the locked dependencies with known vulnerabilities; fails where that can't be found out
	@hack/audit

base-digest: .venv/ready ## Name the base image by today's digest; changes nothing where the registry can't be asked
	@$(PYTHON) -m hack.base_digest

clean: ## Remove the virtual environment and caches of this folder
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/ready: requirements/dev.txt pyproject.toml hack/bootstrap
	@hack/bootstrap
	@touch $@
