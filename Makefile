# Each target does its own set-up: a virtual environment in .venv with everything the project needs.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
DEMO ?= demo

.PHONY: demo demo-run test nightly lint lock audit setup programs vendor clean

# The main job, end to end: simulate a study, train, score, call peaks with MACS3, show the page.
demo: setup vendor
	$(BIN)/seq2exp-viz demo $(DEMO)

# The same without serving the page at the end.
demo-run: setup vendor
	$(BIN)/seq2exp-viz demo $(DEMO) --no-serve

test: setup programs vendor lint
	$(BIN)/python -m pytest -n 2 -m "not browser and not nightly"
	$(BIN)/python -m pytest -n 2 -m "browser and not nightly"

# Tests that take too long for every change.
nightly: setup programs vendor
	$(BIN)/python -m pytest -n 2 -m nightly

# Python, prose and, where npm is there, JavaScript.
lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory node_modules/.package-lock.json && npm run --silent lint; \
	else echo "No npm found: the JavaScript was not checked (Debian: apt-get install npm)"; fi

# The JavaScript linter, as package-lock.json pins it.
node_modules/.package-lock.json: package.json package-lock.json
	npm ci --silent --ignore-scripts --no-audit --no-fund
	touch $@

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; try: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[model,dev]'
	touch $@

# igv.js 3.8 by npm, checked against its hash; without npm the copy inside igv-notebook is served.
vendor: setup
	-$(BIN)/python -m seq2exp_viz.serving.vendor

# What the tests need besides Python: a browser for the page, nginx as the proxy in front of it, bedtools to compare
# files with, npm for igv.js 3.8 and for the check of the JavaScript, strace to watch whom the program contacts. Debian's
# packages are installed where the rights are there; otherwise a line says what to install.
programs:
	@for program in chromium bedtools nginx npm strace; do \
	  command -v $$program >/dev/null || [ -x /usr/sbin/$$program ] || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	    { apt-get install -y -q $$program || { apt-get update -q && apt-get install -y -q $$program; }; }; } || \
	  echo "No $$program found: tests need it (Debian: apt-get install $$program)"; done

# The locks anew: what the project and its extra `model` need, on every platform, with hashes. Packages without wheels
# go into requirements-built.lock; torch is locked by hand, as the CPU build comes from another index.
LOCK = build/tools/bin/uv pip compile --constraints constraints.txt --generate-hashes --universal --python-version 3.11 \
  --no-header --no-annotate --quiet
lock: build/tools/.installed
	echo "torch ; sys_platform == 'never'" > build/tools/without-torch.txt
	$(LOCK) pyproject.toml requirements-lock.in --extra model --overrides build/tools/without-torch.txt \
	  --no-emit-package torch --no-emit-package macs3 --no-emit-package cykhash --output-file requirements.lock
	printf 'cykhash\nmacs3\n' | $(LOCK) - --no-deps --output-file requirements-built.lock

# Known vulnerabilities of the versions in requirements.lock, from the public advisory database.
audit: build/tools/.installed
	build/tools/bin/pip-audit --disable-pip --require-hashes --strict --requirement requirements.lock \
	  --requirement requirements-built.lock

build/tools/.installed:
	$(PYTHON) -m venv build/tools
	build/tools/bin/python -m pip install --quiet uv==0.13.9 pip-audit==2.10.1
	touch $@

clean:
	rm -rf $(VENV) $(DEMO) build dist assets/vendor node_modules
