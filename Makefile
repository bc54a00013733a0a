# Every target installs what it needs into .venv, on a machine that has Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test browser monitoring lint dev bench bench-peers chaos node clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    real work through two worker processes; ends by itself within a minute"
	@echo "make test    the whole test suite"
	@echo "make lint    style, types, floors"
	@echo "make dev     broker and worker with reload on examples/shop"
	@echo "make bench   what it can do here, beside bare loops; writes docs/benchmarks"
	@echo "make bench-peers"
	@echo "             distq beside other task queues, installed below .bench; writes docs/benchmarks"
	@echo "make chaos   a storm of faults of hosts, network and broker, and an account of every task; three minutes"
	@echo "             make chaos CHAOS='--minutes 30 --seed 1 --server PROGRAM --out FILE'"
	@echo "make node    packs the package for Node.js into dist; needs node and npm"

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("distq needs Python 3.11 or later, this is " + sys.version.split()[0] + "; name another: make PYTHON=python3.12 …" if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: $(READY)
	$(BIN)/python -m examples.shop.demo

test: $(READY) browser monitoring
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto --dist worksteal

# The dashboard is tested in a real browser: Debian's, where it can be installed.
browser:
	@command -v chromium chromium-browser google-chrome >/dev/null || \
	{ test "$$(id -u)" = 0 && command -v apt-get >/dev/null && { apt-get update -qq; apt-get install -qq -y chromium >/dev/null; }; } || \
	echo "NO BROWSER: THE DASHBOARD WILL NOT BE TESTED; install chromium" >&2

# The Compose files, the alerts and the Grafana dashboard are tested with Debian's Prometheus and redis-cli. Nothing of
# it is started as a service.
monitoring:
	@{ command -v prometheus && command -v promtool && command -v redis-cli && command -v wget; } >/dev/null || \
	{ test "$$(id -u)" = 0 && command -v apt-get >/dev/null && { apt-get update -qq; \
	  RUNLEVEL=1 SYSTEMD_OFFLINE=1 apt-get install -qq -y --no-install-recommends prometheus redis-tools wget >/dev/null; }; } || \
	echo "NO PROMETHEUS: DEPLOYMENT AND MONITORING WILL NOT BE TESTED; install prometheus, redis-tools and wget" >&2

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

dev: $(READY)
	$(BIN)/distq dev examples.shop.app:app

bench: $(READY)
	$(BIN)/python -m benchmarks --out docs/benchmarks

bench-peers: $(READY)
	$(BIN)/python -m benchmarks.peers --out docs/benchmarks

chaos: $(READY)
	$(BIN)/python -m tests.chaos $(CHAOS)

node: $(READY)
	@mkdir -p dist
	cd sdk/node && npm pack --silent --pack-destination ../../dist

clean:
	rm -rf $(VENV) .distq demo-output
