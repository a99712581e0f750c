# SPDX-License-Identifier: GPL-2.0-only
# make demo, make test and make bench do all the set-up they need on a fresh Debian machine.

KERNEL ?= 6.1
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help setup demo demo-process test docs man lint bench fuzz soak soak-process corpus clean

help:
	@echo "make demo [KERNEL=6.1]  boot a kernel, patch it while it runs, take the patch back (6.1, 6.12, 7.2)"
	@echo "make demo-process       patch a redis-server and a library while they are used, in a guest"
	@echo "make test               everything that is tested, on real kernels"
	@echo "make docs               this documentation as a site, in build/site"
	@echo "make man                the manual page, from the commands as they are"
	@echo "make lint               ruff and mypy"
	@echo "make bench              how long a guest stands still, what a patched call costs, how fast a scan is;"
	@echo "                        a page of it in build/bench"
	@echo "make fuzz               25,200 hostile inputs of every kind, and 60,000 guided by coverage"
	@echo "make soak               a thousand operations on patches under load, of kernels and of servers, and oddtoc ended after every single packet"
	@echo "make soak-process       of these, those on redis-server and nginx: a thousand patches and reverts each, every request counted"
	@echo "make corpus             every fix between two Debian versions of 6.1, built, applied, reverted; goes on where it stopped"
	@echo "make setup              install what the others need, and nothing else"
	@echo "make clean              remove the virtual environment"

setup: .stamps/venv

.stamps/packages: tools/packages
	@tools/packages
	@mkdir -p .stamps && touch $@

.stamps/venv: pyproject.toml constraints.txt | .stamps/packages
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "oddtoc needs Python 3.11 or newer; $(PYTHON) is older: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@mkdir -p .stamps && touch $@

demo: setup
	@$(BIN)/oddtoc demo --kernel $(KERNEL)

demo-process: setup
	@$(BIN)/oddtoc demo-process --kernel $(KERNEL)

test: lint
	$(BIN)/pytest -n 2 --dist loadfile

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: setup
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir build/site
	@echo "build/site/index.html; to search in it: $(PYTHON) -m http.server --directory build/site"

man: setup
	$(BIN)/python tools/manual > man/oddtoc.1

bench: setup
	$(BIN)/python -m bench.pause --json build/bench/pause.json
	$(BIN)/python -m bench.cost --json build/bench/cost.json
	$(BIN)/python -m bench.scan --json build/bench/scan.json
	$(BIN)/python -m bench.process --json build/bench/process.json
	$(BIN)/oddtoc report build/bench/cost.json build/bench/pause.json build/bench/scan.json build/bench/process.json \
		--output build/bench/index.html

fuzz: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fuzz]'
	ODDTOC_FUZZ=14 $(BIN)/pytest -s -o timeout=3000 tests/fuzz
	$(BIN)/python tests/fuzz/guided.py -runs=60000

soak: soak-process
	$(BIN)/python -m soak
	ODDTOC_SOAK=1 $(BIN)/pytest -s -o timeout=20000 tests/live/test_every_packet.py

soak-process: setup
	$(BIN)/python -m soak.process --json build/soak/process.json

corpus: setup
	$(BIN)/python -m corpus

clean:
	rm -rf .venv .stamps
