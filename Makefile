# Two commands: `make demo` shows the main job, `make test` proves it.
# The versions that the tests ran on, newest first. PYTHON=… names another interpreter.
TESTED := 3.13 3.12 3.11
PYTHON ?= $(addprefix python,$(TESTED)) python3
VENV   ?= .venv
BIN    := $(VENV)/bin
.DEFAULT_GOAL := help

# Layers 0 and 1: words and rules. Every branch of them is tested.
comma := ,
space := $(subst ,, )
RULES := $(subst $(space),$(comma),$(addprefix smki_sync/,errors.py events.py timestamps.py model/* catalogue.py merge.py planner.py policy.py records.py trust/* x509/*))

.PHONY: help setup demo test quick bare check format fuzz bench mutants kill model year pins sample kept docs generate clean

help:  ## what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

setup: $(VENV)/.done  ## a virtual environment with the pinned packages

$(VENV)/.done: requirements.txt pyproject.toml
	@python=$$(packaging/python.sh $(PYTHON)) && echo "$$python -m venv $(VENV)" && "$$python" -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup  ## the whole story in a terminal, on a simulated repository
	@$(BIN)/smki-sync demo

check: setup  ## formatting, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: check  ## everything: formatting, lint, types, tests, docs
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
	$(BIN)/coverage report --include='$(RULES)' --fail-under=100

quick: check  ## the tests of rules, mirror and configuration: about a minute, while you work
	$(BIN)/pytest -q tests/test_architecture.py tests/test_names.py $(wildcard tests/unit/test_*.py) \
	  tests/unit/config tests/unit/mirror tests/unit/model tests/unit/trust

bare: setup  ## `make demo` and `make test` in a bare Debian made by debootstrap; needs root (SUITE=bookworm)
	$(BIN)/python packaging/bare.py $(if $(MIRROR),--mirror $(MIRROR)) $(or $(SUITE),trixie)

format: setup  ## let ruff lay the code out
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

fuzz: setup  ## hostile files by chance, many more than in the tests (FUZZ=examples of each kind)
	SMKI_SYNC_FUZZ_EXAMPLES=$(or $(FUZZ),20000) $(BIN)/pytest -q tests/resilience/fuzz

bench: setup  ## what a large full costs, beside the straightforward script (BENCH="--records 5000000")
	PYTHONPATH=tests $(BIN)/python -m performance $(BENCH)
	PYTHONPATH=tests $(BIN)/python -m performance.transfer $(BENCH_TRANSFER)
	PYTHONPATH=tests $(BIN)/python -m performance.overlap $(BENCH_OVERLAP)
	PYTHONPATH=tests $(BIN)/python -m performance.chains $(BENCH_CHAINS)

kill: setup  ## a run killed, stopped and robbed of its disk at every moment there is: an hour
	SMKI_SYNC_KILLS=all $(BIN)/pytest tests/resilience/kill

model: setup  ## random histories of a repository and its mirror (LIVES=10000): an hour and a half
	SMKI_SYNC_LIVES=1000 $(BIN)/pytest tests/scenarios/model_based
	SMKI_SYNC_LIVES=$(or $(LIVES),10000) $(BIN)/pytest -q tests/scenarios/merge_model

year: setup  ## a year of daily runs, with faults, outages and new keys: two minutes
	SMKI_SYNC_YEAR=whole $(BIN)/pytest tests/scenarios/year

mutants: setup  ## each rule changed a little: does a test notice? in build/mutants (MUTANTS="smki_sync.planner*")
	rm -rf build/mutants && mkdir -p build/mutants && git archive HEAD | tar -x -C build/mutants
	cp tests/mutants.cfg build/mutants/setup.cfg
	$(BIN)/pip install --quiet --disable-pip-version-check --target build/mutants/tool mutmut
	cd build/mutants && PYTHONPATH=tool ../../$(BIN)/python -m mutmut run $(MUTANTS)

PIN := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-annotate --no-header --quiet

pins: setup  ## resolve requirements.txt anew, with hashes, naming no index; and what of it runs, builds, and lists
	$(BIN)/pip install --quiet uv
	$(PIN) --upgrade --group dev pyproject.toml -o requirements.txt
	$(PIN) -c requirements.txt pyproject.toml -o packaging/pins/run.txt
	echo hatchling | $(PIN) -c requirements.txt - -o packaging/pins/build.txt
	printf 'cyclonedx-python-lib\njsonschema\n' | $(PIN) --upgrade - -o packaging/pins/sbom.txt

audit: setup  ## what is known against the pinned packages (ADVISORIES=a copy of github.com/pypa/advisory-database)
	$(BIN)/python packaging/audit.py $(or $(ADVISORIES),$(error name a copy of the advisories: ADVISORIES=DIR))

sbom: setup  ## the packages of a release as CycloneDX, in build/; its tool stays out of what it describes
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --upgrade \
	  --target build/sbom -r packaging/pins/sbom.txt
	$(BIN)/python packaging/packages.py > build/packages.json
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) PYTHONPATH=build/sbom \
	  $(BIN)/python packaging/sbom.py < build/packages.json > build/smki-sync.cdx.json
	@echo build/smki-sync.cdx.json

docs: setup  ## the documentation as a site, in build/docs
	$(BIN)/sphinx-build -q -W --keep-going -aE -b html docs build/docs
	@echo build/docs/index.html

generate: setup  ## generate docs/commands.md, the manual page, units and the cron file from the code
	$(BIN)/python packaging/generate.py .

sample: setup  ## make sample_data/ again from its seed
	$(BIN)/python -m smki_sync.simulator.repository sample_data

kept: setup  ## a mirror of today's schema for tests of upgrades, in tests/operations/kept; after `make sample` too
	$(BIN)/python tests/operations/kept/make.py

clean:  ## remove what was made
	rm -rf $(VENV) .coverage* .mypy_cache .ruff_cache .pytest_cache
