# make demo    learn to reach, live: a simulated Sawyer, genuine ROS 2 nodes, three minutes of robot time
# make test    ruff, mypy, import-linter and all tests
# make ros1    set-up of ROS 1 for the tests of that side, which `make test` then runs, too: Debian's packages, as root
# make models  set-up of the parsers of URDF and SDF for the tests of these files, which `make test` then runs, too
# make fuzz    a search for inputs that make a parser or handler fail: a minute for each, runs/fuzz (docs/fuzzing.md)
# make robots  other people's models of the arms, with which `make test` then compares ours
# make test-intera    only these tests, after that set-up
# make browser set-up of Chromium for the tests of the page, which `make test` then runs, too: Debian's package, as root
# make lint    only the static checks
# make build   set-up alone: .venv, packages, messages. Every target does it; the second time it takes a moment
# make docs    the documentation as a site, in build/site; --strict: a broken link is an error
# make sbom    the bill of materials of set-up, build/sbom.json (CycloneDX), from the locks
# make audit   the locks against the known advisories, and by pip-audit, where that and a network are
# make chaos   200 kills of nodes, damaged logs, the fault table and a short soak: less than 20 minutes on a quiet machine
# make clean   remove all that was made, except runs/
#
# Arguments of the demo:  make demo ARGS="duration_min:=10 seed:=3"     (their list: make args)
# Another Python:         make demo PYTHON=python3.12
# Another ROS 2:          make demo ROS_DISTRO=kilted   (jazzy, the default, or kilted; also test, build, args; .venv-kilted)

PYTHON ?= python3
ARGS ?=
# Only from the command line: in a terminal where another ROS 2 is sourced, the environment has one, too.
DISTRO := $(if $(filter command,$(firstword $(origin ROS_DISTRO))),$(ROS_DISTRO),jazzy)
VENV := $(if $(filter jazzy,$(DISTRO)),.venv,.venv-$(DISTRO))
BIN := $(VENV)/bin

.PHONY: help demo test docs ros1 browser models robots fuzz chaos test-intera lint build args sbom audit clean
.DEFAULT_GOAL := help

help:
	@sed -n '/^#/!q;s/^# \{0,1\}//p' Makefile

build:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) was not found: install it (Debian, Ubuntu: apt install python3 python3-venv python3-dev)."; exit 1; }
	@$(PYTHON) tools/bootstrap.py $(DISTRO)

demo: build
	@$(BIN)/tdm_ros up sawyer_reach $(ARGS)

args: build
	@$(BIN)/tdm_ros up sawyer_reach --show-args

lint: build
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# First what needs no processor for itself, on all cores, then what is in real time, one at a time. With ARGS, what they say.
# A worker that crashed is not replaced: pytest-xdist 3.8 gives the new one no tests (loadfile), and waits for it for ever.
PYTEST = INTERA_TESTS=$$(.venv-intera/bin/python -c "import rospy, mujoco" 2>/dev/null && echo 1) \
  ROS1_PYTHON=$(ROS1_PYTHON) $(BIN)/python -m pytest

docs: build
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "build/site/index.html"

test: lint
ifneq ($(strip $(ARGS)),)
	$(PYTEST) $(ARGS)
else
	failed=0; $(PYTEST) -m "not real_time" -n logical --dist loadfile --max-worker-restart 0 || failed=$$?; \
	$(PYTEST) -m real_time && exit $$failed
endif

# A ROS 1 Python of its own: the wheels of ROS 2 in .venv have packages of the same names.
ROS1_PYTHON ?= /usr/bin/python3
ROS1_PACKAGES := python3-rospy python3-rosmaster python3-genpy python3-tf python3-sensor-msgs python3-geometry-msgs \
  ros-std-msgs ros-sensor-msgs ros-geometry-msgs python3-venv

ros1:
	@if ! $(ROS1_PYTHON) -c "import rospy, rosmaster, genpy, tf, sensor_msgs.msg, venv, ensurepip" 2>/dev/null \
	  || ! test -d /usr/share/sensor_msgs/msg; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; \
	  then apt-get update -q && apt-get install -q -y --no-install-recommends $(ROS1_PACKAGES); \
	  else echo "ROS 1 was not found for $(ROS1_PYTHON): install it (Debian 12: apt install $(ROS1_PACKAGES))."; exit 1; fi; fi
	@.venv-intera/bin/python -c "import numpy, mujoco, gymnasium" 2>/dev/null \
	  || { $(ROS1_PYTHON) -m venv --system-site-packages .venv-intera \
	    && .venv-intera/bin/pip install -q -c constraints.txt numpy mujoco gymnasium; }

browser:
	@command -v chromium >/dev/null || { if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; \
	  then apt-get update -q && apt-get install -q -y --no-install-recommends chromium; \
	  else echo "Chromium was not found: install it (Debian: apt install chromium)."; exit 1; fi; }

MODEL_PACKAGES := sdformat-sdf libsdformat-dev ignition-tools liburdfdom-tools

models: build
	@$(BIN)/python -c "import pydrake" 2>/dev/null || $(BIN)/pip install -q -c constraints.txt -r requirements/models.txt
	@if ! command -v ign >/dev/null || ! command -v check_urdf >/dev/null; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; \
	  then apt-get update -q && apt-get install -q -y --no-install-recommends $(MODEL_PACKAGES); \
	  else echo "ign or check_urdf was not found: install them (Debian 12: apt install $(MODEL_PACKAGES))."; exit 1; fi; fi

fuzz: build
	@$(BIN)/python -c "import atheris" 2>/dev/null || $(BIN)/pip install -q -c constraints.txt -r requirements/fuzz.txt
	$(BIN)/python -m fuzz $(ARGS)

robots: build
	@$(BIN)/pip install -q --no-deps -c constraints.txt -r requirements/robots.txt

sbom:
	@$(PYTHON) tools/sbom.py build/sbom.json

audit: build
	@$(BIN)/python tools/audit.py
	@if command -v pip-audit >/dev/null; then for lock in requirements/*.lock; do \
	  pip-audit --disable-pip --require-hashes -r $$lock || exit 1; done; \
	  else echo "pip-audit was not found: only requirements/advisories.json was compared (pipx install pip-audit)."; fi

chaos: build
	$(BIN)/python -m benchmarks.chaos $(ARGS)

test-intera: build ros1
	INTERA_TESTS=1 ROS1_PYTHON=$(ROS1_PYTHON) $(BIN)/python -m pytest test/intera $(ARGS)

clean:
	rm -rf .venv .venv-kilted .venv-intera build install log *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -not -path './runs/*' -prune -exec rm -rf {} +
