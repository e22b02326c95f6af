# Everything needs only Python >= 3.11, a Rust toolchain and the package registries.
# CI and the pre-commit hooks call these same targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
PROFILE ?= release
VENV := .venv
BIN := $(VENV)/bin

# Both cargo and maturin must build against the interpreter of .venv, or they rebuild in turn.
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PATH := $(CURDIR)/$(BIN):$(PATH)

CRATE := --manifest-path native/Cargo.toml --locked
LOADGEN := --manifest-path bench/loadgen/Cargo.toml --locked
NATIVE_SOURCES := pyproject.toml native/Cargo.toml native/Cargo.lock $(shell find native/src -name '*.rs')
PLUGIN_SOURCES := $(shell find tests/plugins -name '*.py' -o -name pyproject.toml)
LOCKED_GROUPS := build test lint docs
LLVM_COV_VERSION := 0.9.1

.PHONY: help
help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

# --- build and run -------------------------------------------------------------------------------

.PHONY: build
build: $(BIN)/ingest ## Create .venv and build the server: leaves .venv/bin/ingest (PROFILE=dev is quicker)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "make: $(PYTHON) is older than Python 3.11; try make PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# One stamp per locked group of requirements.
$(VENV)/installed-%: requirements/%.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --requirement $<
	@touch $@

# The package of a third party that the tests load, by pip alone: what it needs is installed.
$(VENV)/installed-plugins: $(PLUGIN_SOURCES) $(VENV)/installed-runtime $(VENV)/installed-test
	$(BIN)/python -m pip install --quiet --no-index --no-deps --no-build-isolation \
		--force-reinstall ./tests/plugins
	@touch $@

# One stamp per profile: building another one makes the previous stale, and so does losing the module.
$(VENV)/built-$(PROFILE): $(NATIVE_SOURCES) $(VENV)/installed-build $(VENV)/installed-runtime \
		$(if $(wildcard ingest/_native.*.so),,FORCE)
	rm -f $(VENV)/built-*
	PIP_QUIET=1 VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin develop --quiet --profile $(PROFILE)
	@touch $@

$(BIN)/ingest: $(VENV)/built-$(PROFILE)
	@touch $@

.PHONY: FORCE
FORCE:

.PHONY: run
run: build ## Build, start the server with its defaults and say how to send a first event
	@printf '%s\n' \
		'' \
		'The server starts with its defaults: JSON and syslog over TCP and UDP on 127.0.0.1:5140,' \
		'events in ./ingest-data, http://127.0.0.1:5142 for /metrics and /status. Ctrl-C drains and stops.' \
		'' \
		'In another shell, in this directory, send a first event:' \
		'' \
		"  echo '{\"level\":\"INFO\",\"message\":\"hello\"}' | nc -N 127.0.0.1 5140" \
		"  echo '<14>checkout: order placed' | nc -N 127.0.0.1 5140" \
		'  $(BIN)/ingest send --count 1000' \
		'' \
		'and see it stored:' \
		'' \
		'  $(BIN)/ingest tail -n 5' \
		'  $(BIN)/ingest status' \
		'  zstd -dc ingest-data/journal/*/*.zst | wc -l' \
		''
	@exec $(BIN)/ingest serve

# --- test ----------------------------------------------------------------------------------------

.PHONY: test
test: test-rust test-python ## Run every Rust and Python test and report the coverage of both

.PHONY: test-python
test-python: build $(VENV)/installed-test $(VENV)/installed-plugins
	cargo build --quiet --release $(LOADGEN)
	rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest $(PYTEST_ARGUMENTS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# What the tests and the bench run. It is unpacked and not installed: the packages of rsyslog and
# syslog-ng exclude each other, and neither is to become a daemon of this machine.
CLIENTS := .clients
CLIENT_PACKAGES := "rsyslog rsyslog-openssl haproxy" syslog-ng-core libsimdjson-dev

.PHONY: clients
clients: $(CLIENTS)/unpacked ## Unpack what tests and bench need of others (rsyslog, ...), where there is apt

$(CLIENTS)/unpacked: Makefile
	rm -rf $(CLIENTS)
	mkdir -p $(CLIENTS)/packages/partial
	for packages in $(CLIENT_PACKAGES); do \
		apt-get install --quiet --quiet --yes --no-install-recommends --reinstall --download-only \
			--option Debug::NoLocking=true --option APT::Sandbox::User=root \
			--option Dir::Cache::archives=$(CURDIR)/$(CLIENTS)/packages $$packages; \
	done
	for package in $(CLIENTS)/packages/*.deb; do dpkg --extract "$$package" $(CLIENTS); done
	rm -r $(CLIENTS)/packages
	touch $@

# Other seeds in every run, and so many times the examples of `make test`.
DIFFERENTIAL_SCALE ?= 50

.PHONY: differential
differential: build $(VENV)/installed-test ## Compare the stages with fapilog's on many random events (minutes)
	DIFFERENTIAL_SCALE=$(DIFFERENTIAL_SCALE) $(BIN)/python -m pytest --timeout=0 tests/differential \
		tests/end_to_end/test_secrets.py $(PYTEST_ARGUMENTS)

# The core of the crate is tested without an interpreter; tests/ covers py/ through the module.
# Without rustup there is no llvm-tools, so the tests run without their coverage.
.PHONY: test-rust
test-rust: $(BIN)/python
	@if command -v rustup >/dev/null; then \
		$(MAKE) --no-print-directory $(BIN)/cargo-llvm-cov; \
		cargo llvm-cov test $(CRATE) --no-default-features; \
	else \
		echo 'No rustup here, so no llvm-tools: Rust tests run without coverage.'; \
		cargo test $(CRATE) --no-default-features; \
	fi
	cargo test --quiet $(LOADGEN)

$(BIN)/cargo-llvm-cov: | $(BIN)/python
	rustup component add llvm-tools
	cargo install --quiet --locked --version $(LLVM_COV_VERSION) --root $(VENV) cargo-llvm-cov

# --- lint and format -----------------------------------------------------------------------------

.PHONY: lint
lint: lint-python lint-rust ## Check style, types, layers and the stub, in Python and Rust

.PHONY: lint-python
lint-python: build $(VENV)/installed-test $(VENV)/installed-lint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest ingest._native --mypy-config-file pyproject.toml
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive ingest

.PHONY: lint-rust
lint-rust: $(BIN)/python
	cargo fmt --manifest-path native/Cargo.toml --check
	cargo fmt --manifest-path bench/loadgen/Cargo.toml --check
	cargo clippy --quiet $(CRATE) --all-targets -- -D warnings
	cargo clippy --quiet $(LOADGEN) --all-targets -- -D warnings

.PHONY: format
format: $(VENV)/installed-lint ## Format Python and Rust, and fix what ruff can fix
	$(BIN)/ruff check --fix --exit-zero
	$(BIN)/ruff format
	cargo fmt --manifest-path native/Cargo.toml
	cargo fmt --manifest-path bench/loadgen/Cargo.toml

# --- measure, document, keep house ---------------------------------------------------------------

.PHONY: bench
bench: build ## Measure what matters most, in about six minutes; to bench/results (BENCH_ARGUMENTS=...)
	cargo build --quiet --release $(LOADGEN)
	$(BIN)/python -m bench $(BENCH_ARGUMENTS)

.PHONY: bench-full
bench-full: build ## Measure every case, five times, on a machine where nothing else runs
	cargo build --quiet --release $(LOADGEN)
	$(BIN)/python -m bench --full $(BENCH_ARGUMENTS)

.PHONY: bench-peers
bench-peers: build $(if $(shell command -v apt-get),clients) ## Measure other programs at the same jobs beside the server
	cargo build --quiet --release $(LOADGEN)
	$(BIN)/python -m bench --why peers --peers --limits --events 4500000 --runs 3 $(BENCH_ARGUMENTS)

# Runs are kept in .benchmarks; BENCH_MICRO_ARGUMENTS=--benchmark-compare compares with the last one.
.PHONY: bench-micro
bench-micro: build $(VENV)/installed-test ## Measure each part of the hot path (BENCH_MICRO_ARGUMENTS=--benchmark-compare)
	$(BIN)/python -m pytest bench/micro -p no:randomly --timeout=0 --benchmark-autosave \
		--benchmark-group-by=group --benchmark-columns=min,median,iqr,rounds --benchmark-sort=name \
		--benchmark-disable-gc $(BENCH_MICRO_ARGUMENTS)

# As maturin builds it, but with symbols, and linked so that what is at an offset in the file is at the
# same address in memory: perf finds the callers of a function only then.
.PHONY: profile
profile: build ## Sample the workers under load: CPU per event by phase (PROFILE_ARGUMENTS=...; needs perf)
	cargo build --quiet --release $(LOADGEN)
	PYO3_BUILD_EXTENSION_MODULE=1 cargo rustc --quiet $(CRATE) --profile profiling --lib -- -C link-arg=-Wl,-z,separate-code
	$(BIN)/python -m bench.profile $(PROFILE_ARGUMENTS)

.PHONY: plots
plots: build ## Draw results into docs/pictures (RESULTS="bench/results/... bench/results/...-profile")
	$(BIN)/python -m bench.plots $(RESULTS)

.PHONY: chaos
chaos: build ## Strike a loaded server with faults; what survived goes to docs/chaos.md (CHAOS_ARGUMENTS=...)
	cargo build --quiet --release $(LOADGEN)
	$(BIN)/python -m chaos --why 'every fault' $(CHAOS_ARGUMENTS)

.PHONY: reference
reference: build ## Write docs/reference/ anew from the program
	$(BIN)/python docs/generate.py

.PHONY: docs
docs: build $(VENV)/installed-docs ## Build the documentation site into site/
	$(BIN)/python docs/generate.py --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

.PHONY: lock
lock: $(BIN)/python ## Resolve pyproject.toml anew into requirements/*.txt
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
		--no-header pyproject.toml --output-file requirements/runtime.txt
	for group in $(LOCKED_GROUPS); do \
		$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
			--no-header --group "$$group" --constraints requirements/runtime.txt \
			--output-file "requirements/$$group.txt"; \
	done

.PHONY: all
all: format lint test docs ## Everything a change must pass

.PHONY: clean
clean: ## Remove what was built (not ingest-data)
	rm -rf $(VENV) $(CLIENTS) site dist native/target bench/loadgen/target ingest/*.so
	rm -rf .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find ingest tests bench chaos -name __pycache__ -type d -prune -exec rm -rf {} +
