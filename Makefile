# Everything here sets itself up: a fresh machine needs Python 3.11+ and make.
PYTHON ?= $(shell command -v python3.13 >/dev/null 2>&1 && python3.13 -c '' 2>/dev/null && echo python3.13 || echo python3)
VENV := .venv
BIN := $(VENV)/bin
export PYTHONPATH := shared:.:layers/runtime

.PHONY: run test check bench lock build clean

# The gateway on 127.0.0.1:$(PORT), with embedded tables and, where no credentials are set, simulated providers.
run: $(VENV)/.run
	@$(BIN)/python -m dev.serve

test: $(VENV)/.test check
	@$(BIN)/python -m pytest -n auto --dist loadfile

check: $(VENV)/.test
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/pyright --pythonpath $(BIN)/python

# SECTIONS: some of those that `python -m bench --help` names. litellm and tokens install what they compare with under build/.
bench: $(VENV)/.test
	@$(BIN)/python -m bench $(SECTIONS)

build:
	sam build

lock:
	sh scripts/lock.sh

clean:
	rm -rf $(VENV) .aws-sam build

$(VENV)/bin/python:
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements/run.txt | $(VENV)/bin/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt
	@touch $@

# The SAM CLI's own requirements clash with ours; only the Runtime Interface Emulator inside it is wanted.
$(VENV)/.test: requirements/test.txt requirements/sam-cli.txt | $(VENV)/bin/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/test.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
		--target $(VENV)/sam-cli --upgrade -r requirements/sam-cli.txt
	@touch $@ $(VENV)/.run
