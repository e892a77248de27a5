# What a newcomer types. Everything is installed into .venv from a lock file.
.POSIX:
.SUFFIXES:
.PHONY: help demo test unit bench attack soak check format audit galaxy galaxy-stop lock pin \
	clean

# Compiled bytecode makes every start several times faster.
unexport PYTHONDONTWRITEBYTECODE
# In a clone, everything that is installed or kept stays in the clone.
GALAXY_JOBS_HOME ?= $(CURDIR)/.local
export GALAXY_JOBS_HOME
# The release of the local Galaxy, such as 24.2; by default the newest.
GALAXY ?=
export GALAXY
# Set to record what Galaxy answers: see CONTRIBUTING.md.
RECORD ?=
export RECORD
# A file of tests runs in one of these processes; much of its time is waiting.
WORKERS ?= 6
PYTEST = $(PY) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder \
	$(if $(RANDOM),-p randomly)
PY = .venv/bin/python
GJ = .venv/bin/galaxy-jobs

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' Makefile | column -t -s '|'

.venv/ready: .dev/requirements.lock pyproject.toml
	@.dev/install.sh

# Others set variables of such names, too: only those given to make count.
given = $(if $(filter command,$(firstword $(origin $(1)))),$(2) $($(1)))

demo: .venv/ready ## a real Galaxy, a real job, the service left running (PORT=, GALAXY_PORT=)
	@$(GJ) demo $(if $(DEMO_EXIT),--exit) $(call given,PORT,--port) \
		$(call given,GALAXY_PORT,--galaxy-port)

test: .venv/ready ## all tests, on a real PostgreSQL, Galaxy and browser (GALAXY=24.2)
	@.dev/browser.sh
	@$(PYTEST) $(TESTS)

unit: .venv/ready ## the tests that need no service (RANDOM=1: in random order)
	@$(PYTEST) tests/unit

bench: .venv/ready ## ratios against what others do; PARTS="sweep ..." for some
	@$(PY) -m bench $(PARTS)

chaos: .venv/ready ## submissions under random kills and faults (SEED=7, UNSAFE=1)
	@$(PY) -m tests.chaos $(if $(SEED),--seed $(SEED)) $(if $(UNSAFE),--unsafe)

attack: .venv/ready ## what attackers try, on real processes; prints what it cost
	@$(PY) -m pytest tests/attacks -q -p no:xdist

soak: .venv/ready ## ten minutes of work and kills: memory, answers, recovery (MINUTES=10)
	@$(PY) -m tests.attacks.soak $(if $(MINUTES),--minutes $(MINUTES))

check: .venv/ready ## formatter, linter, types, layers
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/ruff check --quiet .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-cache

format: .venv/ready ## put the code into shape
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix .

audit: ## known vulnerabilities of the locked packages (needs uv)
	@for lock in .dev/requirements.lock deploy/requirements.lock; do \
		uvx --quiet pip-audit --strict --disable-pip --require-hashes \
			--requirement $$lock || exit 1; \
	done

galaxy: .venv/ready ## install and start the local Galaxy alone (GALAXY=24.2)
	@$(GJ) galaxy start $(if $(GALAXY),--version $(GALAXY)) \
		$(call given,GALAXY_PORT,--port)

galaxy-stop: .venv/ready ## stop it
	@$(GJ) galaxy stop $(if $(GALAXY),--version $(GALAXY))

lock: ## resolve the lock files anew (needs uv)
	@.dev/lock.sh --upgrade
	@.dev/galaxy-locks.sh

pin: ## pin the images of deploy/ by digest (needs docker and its registry)
	@.dev/pin-images.sh

clean: ## remove all that make has installed or kept, with the data in it
	@if [ -x $(GJ) ]; then export GALAXY_JOBS_HOME=$(CURDIR)/.local; \
		$(GJ) galaxy remove && $(GJ) database remove --yes; fi
	rm -rf .venv .local dist build .mypy_cache .ruff_cache .hypothesis .pytest_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
