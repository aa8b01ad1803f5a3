# make demo    learn to reach, live: a simulated Sawyer, genuine ROS 2 nodes, three minutes of robot time
# make test    ruff, mypy, import-linter and all tests
# make lint    only the static checks
# make build   set-up alone: .venv, packages, messages. Every target does it; the second time it takes a moment
# make clean   remove all that was made, except runs/
#
# Arguments of the demo:  make demo ARGS="duration_min:=10 seed:=3"     (their list: make args)
# Another Python:         make demo PYTHON=python3.12

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin

.PHONY: help demo test lint build args clean
.DEFAULT_GOAL := help

help:
	@sed -n '/^#/!q;s/^# \{0,1\}//p' Makefile

build:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) was not found: install it (Debian, Ubuntu: apt install python3 python3-venv python3-dev)."; exit 1; }
	@$(PYTHON) tools/bootstrap.py

demo: build
	@$(BIN)/tdm_ros up sawyer_reach $(ARGS)

args: build
	@$(BIN)/tdm_ros up sawyer_reach --show-args

lint: build
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest $(ARGS)

clean:
	rm -rf .venv build install log *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -not -path './runs/*' -prune -exec rm -rf {} +
