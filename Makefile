# Two commands do everything on a machine that has Python 3.11 or later and make:
#   make run    start the exchange, trade a day, settle it, go on serving
#   make test   check and test everything
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: run test fuzz audit check loops kernels interpreted bounds-checked explore explore-settlement explore-faults clean

run: $(READY)
	$(BIN)/carbonex demo

test: $(READY)
	$(MAKE) --jobs=2 $(if $(CARBONEX_THOROUGH),$(MODES)) loops check
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder

# Format, lint, types, import directions.
check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The kernels' tests with the compiler off, and with every index checked.
MODES := bounds-checked interpreted
kernels: $(READY)
	$(MAKE) --jobs=2 $(MODES)

interpreted: $(READY)
	NUMBA_DISABLE_JIT=1 $(BIN)/pytest tests/matching tests/settlement tests/exchange tests/registry -m kernels

# Compiled once, before several workers need them.
loops: $(READY)
	$(BIN)/python -c "from exchange import flow, trading; from registry import title; \
		[loops.warm_up() for loops in (trading, flow, title)]"

bounds-checked: $(READY)
	NUMBA_BOUNDSCHECK=1 $(BIN)/pytest tests/matching tests/settlement tests/exchange tests/registry -m kernels

# Every route of a running exchange, asked at random for FUZZ_SECONDS and as long as it takes to ask each once; then
# every parser for so long in all, guided by coverage where there is a fuzzer for this Python. CARBONEX_SEED says
# where chance starts, else 1.
FUZZ_SECONDS ?= 60
fuzz: $(READY)
	-$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[fuzz]'
	CARBONEX_FUZZ=$(FUZZ_SECONDS) $(BIN)/pytest -n 2 -m fuzz tests/fuzz

# What is known against the exact versions that make installs; needs the network, and a service that tells.
audit: $(READY)
	$(PYTHON) -m venv $(VENV)-audit
	$(VENV)-audit/bin/pip install --quiet --disable-pip-version-check pip-audit==2.10.1
	$(VENV)-audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip --progress-spinner off

# New random histories of the trading path against its readable twin; EXAMPLES says how many.
EXAMPLES ?= 20000
explore: $(READY)
	CARBONEX_EXPLORE=$(EXAMPLES) $(BIN)/pytest --hypothesis-profile explore --timeout 0 \
		tests/exchange/test_trading_path.py -k twin

# New random histories of settlement beside a plain ledger, and NONSENSE commands of every room with any values.
NONSENSE ?= 100000
explore-settlement: $(READY)
	CARBONEX_NONSENSE=$(NONSENSE) $(BIN)/pytest --hypothesis-profile explore --timeout 0 \
		tests/exchange/test_settlement_histories.py tests/exchange/test_nonsense.py

# New seeds of the whole exchange under faults: SEEDS of them from SEED on, of STEPS each, until one fails.
SEEDS ?= 20000
SEED ?= $(shell date +%s)
STEPS ?= 300
explore-faults: $(READY)
	$(BIN)/carbonex faults --seed $(SEED) --seeds $(SEEDS) --steps $(STEPS)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "carbonex needs Python 3.11 or later; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

clean:
	rm -rf $(VENV) $(VENV)-audit var
