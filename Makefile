# Everything is installed on first use, from the lock files, and again only when they change.
# Nothing is needed but git, make, and Python 3.11 or newer with pip (or uv).

DEV := .venv/.synced
SAM_CLI := .venv-sam/.synced
SAM := .venv-sam/bin/sam
CLIENTS := .venv-clients/.synced
LITELLM := .venv-litellm/.synced
SCAN := .venv-scan/.synced

export PYTHONPATH := $(CURDIR)/layers/parley
export SAM_CLI_TELEMETRY := 0

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help dev test soak test-clients check build sam-local bench least-privilege scan audit openapi lock clean

help: ## List these commands
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; \
	  do printf '  make %-15s %s\n' "$$name" "$$text"; done

dev: $(DEV) ## Serve the local stack on http://127.0.0.1:8000 (PORT=, DATA_DIR= change it)
	@.venv/bin/python -m local

test: $(DEV) ## Run all tests that need no Docker (ARGS= goes to pytest)
	.venv/bin/pytest $(ARGS)

soak: $(DEV) ## Kill, pause, cut off and fail for minutes (SEEDS= so many times, ARGS= goes to pytest)
	PARLEY_SOAK_SEEDS=$(or $(SEEDS),3) .venv/bin/pytest tests/durability --timeout 1800 $(ARGS)

test-clients: $(DEV) $(CLIENTS) $(LITELLM) ## Run the tests with clients and suites of others (ARGS= goes to pytest)
	.venv/bin/pytest tests/clients $(ARGS)

# To validate, sam wants a region, and no account.
check: export AWS_DEFAULT_REGION := us-east-1
check: $(DEV) $(SAM_CLI) ## Lint, format, types, import rules, template, locks
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	$(SAM) validate
	$(SAM) validate --lint
	scripts/lock --check
	.venv/bin/python -m local.openapi --check

build: $(SAM_CLI) ## Build what is deployed (ARCHITECTURE=arm64, EMBEDDED_MODEL=1)
	scripts/build

sam-local: $(DEV) $(SAM_CLI) ## Serve on http://127.0.0.1:3000 from Docker, by `sam local` (ARGS= goes to it)
	@scripts/sam-local $(ARGS)

bench: $(DEV) ## Print how fast it is on this machine
	.venv/bin/python -m bench

least-privilege: $(DEV) $(SAM_CLI) ## Deploy into an emulator that enforces rights, use every route, take rights away
	.venv/bin/pytest tests/privileges --timeout 900 $(ARGS)

scan: $(SCAN) ## Look for what is dangerous in code and template
	.venv-scan/bin/bandit --quiet --configfile pyproject.toml --severity-level medium --recursive \
	  layers functions admin local bench
	.venv-scan/bin/checkov --config-file .checkov.yaml

audit: $(SCAN) ## Ask a database in the internet for known holes in what is locked
	@for lock in requirements/*.txt; do \
	  echo "$$lock"; .venv-scan/bin/pip-audit --require-hashes --disable-pip --requirement $$lock || exit; \
	done

openapi: $(DEV) ## Write the OpenAPI document anew after a change of routes
	.venv/bin/python -m local.openapi

lock: ## Lock the dependencies anew after a change of pyproject.toml (ARGS=--upgrade: newest versions)
	scripts/lock $(ARGS)

clean: ## Remove what is built and installed; the local stack's data stays
	rm -rf .aws-sam .venv .venv-clients .venv-litellm .venv-sam .venv-scan .local/clients .local/tools .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find functions layers admin local tests -name __pycache__ -type d -prune -exec rm -r {} +

.venv/.synced: requirements/dev.txt .python-version
	@scripts/venv .venv requirements/dev.txt && touch $@

.venv-clients/.synced: requirements/clients.txt .python-version
	@scripts/venv .venv-clients requirements/clients.txt && touch $@

.venv-litellm/.synced: requirements/litellm.txt .python-version
	@scripts/venv .venv-litellm requirements/litellm.txt && touch $@

.venv-scan/.synced: requirements/scan.txt .python-version
	@scripts/venv .venv-scan requirements/scan.txt && touch $@

.venv-sam/.synced: requirements/sam.txt .python-version
	@scripts/venv .venv-sam requirements/sam.txt && touch $@
