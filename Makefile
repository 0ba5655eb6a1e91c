# Everything a newcomer and CI need. Each target installs first; nothing outside this folder is changed.

SHELL := /bin/sh
BIN := .venv/bin
STAMP := .venv/.installed
SOURCES := src tests bench scripts
# A company's certificate is among the system's, where pip on Debian finds it; uv looks there when it is told to.
BUNDLES := /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt
CERTIFICATES := $(if $(wildcard $(BUNDLES)),UV_SYSTEM_CERTS=$${UV_SYSTEM_CERTS:-true})

.DEFAULT_GOAL := help
.PHONY: help install preflight demo demo-stop test faults cluster cluster-stop test-kubernetes lint bench clean

help: ## this list
	@echo "make TARGET, where TARGET is:"
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1 \t\2/p' $(MAKEFILE_LIST) | expand -t 20

preflight: ## say what this machine lacks, and the command that gets it
	@sh scripts/preflight.sh >/dev/null && echo "nothing is missing"

install: $(STAMP) ## Tidegate and its tools into .venv/

# uv comes first, with the hash it is locked to; it then makes .venv hold what requirements/dev.txt says, nothing else.
$(STAMP): requirements/dev.txt pyproject.toml
	@set -e; python=$$(sh scripts/preflight.sh); \
	test -x $(BIN)/python || "$$python" -m venv .venv; \
	version=$$(sed -n 's/^uv==\([^ ]*\).*/\1/p' requirements/dev.txt); \
	if ! $(BIN)/uv --version 2>/dev/null | grep -qF "uv $$version"; then \
		$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip --default-pip >/dev/null; \
		awk '/^[^ ]/ { on = /^uv==/ } on' requirements/dev.txt > .venv/uv.txt; \
		$(BIN)/python -m pip install -q --disable-pip-version-check --only-binary :all: --no-deps --require-hashes -r .venv/uv.txt; \
	fi; \
	$(CERTIFICATES) VIRTUAL_ENV=.venv $(BIN)/uv pip sync -q --require-hashes --only-binary :all: --compile-bytecode requirements/dev.txt; \
	$(CERTIFICATES) VIRTUAL_ENV=.venv $(BIN)/uv pip install -q --no-deps -e .; \
	touch $@; \
	echo "installed: $(BIN)/tidegate"

demo: $(STAMP) ## bring up the example in dev, stage and prod, then break a release and watch it put back
	@$(CERTIFICATES) $(BIN)/python scripts/demo.py

demo-stop: ## end what `make demo` left running, and remove its folder
	@if [ -x $(BIN)/python ]; then $(BIN)/python scripts/demo.py --stop; else echo "nothing is installed, so nothing runs"; fi

# Three at once on two processors: half of the time tests wait for what they started.
test: $(STAMP) ## all tests
	@$(BIN)/python -m pytest -n 3 --dist loadgroup $(ARGS)

faults: $(STAMP) ## what takes minutes: kills at every point, long races, 10,000 fuzzed manifests
	@$(BIN)/python -m pytest -n 2 --dist loadgroup -m 'exhaustive and not kubernetes' $(ARGS)

cluster: $(STAMP) ## a real Kubernetes on this machine, for tests; or the one that TIDEGATE_TEST_CONTEXT names
	@$(BIN)/python -m scripts.cluster up $(CLUSTER)

cluster-stop: ## end the cluster, and remove its folder
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m scripts.cluster stop $(CLUSTER); else echo "nothing is installed, so nothing runs"; fi

# A file at a time: the tests of a file share what takes long to bring up.
test-kubernetes: $(STAMP) ## the tests that need the cluster
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m 'kubernetes and not exhaustive' tests/kubernetes $(ARGS)

lint: $(STAMP) ## style, formatting, types, layers
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP) ## measure, and print a table
	@$(BIN)/python -m bench $(ARGS)

clean: demo-stop ## remove what was installed and cached
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	find src tests bench scripts examples -name __pycache__ -type d -prune -exec rm -rf {} +
