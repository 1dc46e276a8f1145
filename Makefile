# Everything here works from a fresh clone: Python 3.13 and make are all it needs.

SHELL := bash
.SHELLFLAGS := -o pipefail -c
UV_VERSION := 0.13.8
VENV := .venv
PY := $(VENV)/bin/python
UV := $(VENV)/bin/uv

# Compiled modules make every start faster, whatever the machine's default is.
unexport PYTHONDONTWRITEBYTECODE
export UV_PYTHON_DOWNLOADS := never
export VIRTUAL_ENV :=

# What checks need instead of secrets; nothing runs on these.
CHECK_ENV := SECRET_KEY=only-for-checks-0123456789-abcdefghijklmnopqrstuvwxyz API_KEY_PEPPERS=check \
	ENCRYPTION_KEYS=Y2hlY2stZW5jcnlwdGlvbi1rZXktMzItYnl0ZXMhISE=
DEPLOY_ENV := CONSOLE_URL=https://console.example.com SMTP_HOST=smtp.example.com SMTP_PASSWORD=check

# What uv says, without a line for each package.
BIG := sed -u '/^ [+~-] /d; s/^ *Down/  Down/'

# Where processes are killed no other test may run: how soon they are back is looked at.
UNIT := --ignore tests/e2e --ignore tests/story --ignore tests/engines --ignore tests/kills
ENGINES := $(if $(filter vllm,$(ENGINE)),engines)
CHROMIUM := $(wildcard /usr/bin/chromium)

.PHONY: up down clean demo-data test lint unit kills suite e2e fmt bench bench-affinity bench-revocations \
	ingest-bench audit-bench bench-pages soak simulate simulate-stripe simulate-year demo-month kill-tests kill-closes \
	mutation chromium engines test-engines storm engines-lock

up: $(VENV)/.up .run/env $(ENGINES) ## run the whole platform until Ctrl-C; ENGINE=vllm on real vLLM
	@ENGINE=$(ENGINE) $(PY) manage.py up

down: ## stop it
	@if [ -x $(PY) ] && [ -e .run/env ]; then $(PY) manage.py down; else echo "Nothing runs."; fi

clean: down ## forget its data
	rm -rf .run

demo-data: $(VENV)/.up .run/env ## 500 organizations and 90 days of requests into it; EVENTS=200000
	$(PY) manage.py demo_data $(if $(EVENTS),--events $(EVENTS)) $(if $(FORCE),--force)

test: $(VENV)/.dev ## everything that .ci/run checks
	@$(MAKE) --no-print-directory --output-sync=target -j 2 lint kills
	@$(MAKE) --no-print-directory suite e2e test-engines

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(CHECK_ENV) $(VENV)/bin/mypy .
	$(VENV)/bin/lint-imports
	git ls-files -z 'console/templates/*.html' | xargs -0 -r $(VENV)/bin/djade --check
	$(CHECK_ENV) $(PY) -m console.embedded $(PY) -W error manage.py makemigrations --check --dry-run
	$(CHECK_ENV) $(DEPLOY_ENV) $(PY) manage.py check --deploy --fail-level WARNING

unit: kills suite

kills: $(VENV)/.dev
	$(PY) -m tests.again tests/kills

suite: $(VENV)/.dev
	$(PY) -m tests.again -n 3 --dist worksteal $(UNIT)

e2e: $(VENV)/.dev chromium
	$(PY) -m tests.again -n 2 --dist worksteal tests/e2e tests/story

bench: $(VENV)/.dev ## the gateway's speed, beside nginx; PEERS=1 beside others too, ONLY=nonstream
	$(PY) -m tests.bench $(if $(PEERS),--peers) $(if $(ONLY),--only $(ONLY))

bench-affinity: $(VENV)/.dev ## what affinity is worth, over four engines with prefix caches
	$(PY) -m tests.bench.affinity

bench-pages: $(VENV)/.dev ## how long every page of the console takes with demo data; EVENTS=200000
	$(PY) -m tests.bench.pages $(if $(EVENTS),--events $(EVENTS)) $(if $(ONLY),--only $(ONLY))

ingest-bench: $(VENV)/.dev ## records a second from the streams into the books; EVENTS=200000
	EVENTS=$(or $(EVENTS),200000) $(PY) -m tests.bench.ingest

bench-revocations: $(VENV)/.dev ## how long a revoked key still works, over two gateways under load
	$(PY) -m tests.bench.revocations

audit-bench: $(VENV)/.dev ## audit entries a second into one chain and into eight
	$(PY) -m tests.bench.audit

soak: $(VENV)/.dev ## 800 streams at once; MINUTES=5
	$(PY) -m tests.bench --soak $(or $(MINUTES),5)

simulate: $(VENV)/.dev ## faults in any order over metering and the books; SEEDS=1000 FIRST=1
	$(PY) -m tests.simulation --seeds $(or $(SEEDS),200) --first $(or $(FIRST),1)

simulate-stripe: $(VENV)/.dev ## payments, with everything between us and Stripe going wrong; SEEDS=500 FIRST=1
	$(PY) -m tests.stripe_simulation --seeds $(or $(SEEDS),500) --first $(or $(FIRST),1)

simulate-year: $(VENV)/.dev ## a year of 20 organizations, and once more from its log; ORGANIZATIONS=20 MONTHS=12 SEED=1
	$(PY) -m tests.year --organizations $(or $(ORGANIZATIONS),20) --months $(or $(MONTHS),12) --seed $(or $(SEED),1)

demo-month: $(VENV)/.dev ## what the SDKs saw of a month, and what is invoiced for it; MONTH=2028-02, BREAK=event
	$(PY) -m tests.month $(if $(MONTH),--month $(MONTH)) $(if $(BREAK),--break $(BREAK))

kill-tests: $(VENV)/.dev ## processes killed and frozen under load; RUNS=23 FIRST=1, LONG=1 as make up runs them
	$(PY) -m tests.kills --runs $(or $(RUNS),23) --first $(or $(FIRST),1) $(if $(LONG),--long)

kill-closes: $(VENV)/.dev ## PostgreSQL, Stripe's double and workers killed while months close; RUNS=20 FIRST=1
	$(PY) -m tests.kills.closes --runs $(or $(RUNS),20) --first $(or $(FIRST),1)

mutation: $(VENV)/.dev ## small changes of what handles money, each of which a test has to notice; SAMPLE=300 FRESH=1
	$(PY) -m tests.mutation --sample $(or $(SAMPLE),0) $(if $(FRESH),--fresh)

engines: .engines/ready ## real vLLM on the CPU, where the machine can; else the reason

test-engines: $(VENV)/.dev .engines/ready ## the gateway in front of real vLLM
	@if [ -e .engines/ready ]; then $(PY) -m tests.again tests/engines; fi

storm: $(VENV)/.dev .engines/ready ## drain, kill and stall three real vLLM servers under load
	@if [ -e .engines/ready ]; then STORM=1 $(PY) -m pytest -s tests/engines/test_three_backends.py; fi

.engines/ready: $(wildcard deploy/engines/*) | $(UV)
	@deploy/engines/install.sh $(UV)

engines-lock: | $(UV) ## after a change of deploy/engines/requirements.in
	@cd deploy/engines && $(CURDIR)/$(UV) pip compile -q --upgrade --python-version 3.11 \
		--python-platform x86_64-manylinux_2_28 --override overrides.txt --no-emit-package torch \
		--generate-hashes --no-annotate --find-links "$(PIP_FIND_LINKS)" \
		--custom-compile-command "make engines-lock" requirements.in -o requirements.txt

fmt: $(VENV)/.dev
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format
	git ls-files -z 'console/templates/*.html' | xargs -0 -r $(VENV)/bin/djade

# The project's own environment: uv inside it, everything else from the lock.
$(UV):
	@python=; for candidate in python3.13 python3 python; do \
		if $$candidate -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null; \
		then python=$$candidate; break; fi; done; \
	if [ -z "$$python" ]; then echo "Sluice needs Python 3.13, and finds none: install it first." >&2; exit 1; fi; \
	echo "Making $(VENV) with $$($$python --version)"; \
	$$python -m venv $(VENV) || { echo "On Debian and Ubuntu: apt-get install python3.13-venv" >&2; exit 1; }; \
	$(PY) -m pip install -qq uv==$(UV_VERSION)

$(VENV)/.up: uv.lock | $(UV)
	@echo "Installing packages"
	@$(UV) sync --locked --inexact --no-default-groups --group embedded --group demo 2>&1 | $(BIG)
	@touch $@

$(VENV)/.dev: uv.lock | $(UV)
	@$(UV) sync --locked --inexact --all-groups 2>&1 | $(BIG)
	@touch $@

.run/env:
	@$(PY) -m console.local

chromium:
ifeq ($(CHROMIUM),)
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	else echo "The browser tests need Chromium: apt-get install chromium" >&2; exit 1; fi
endif
