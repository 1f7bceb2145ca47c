# `make` prints what there is. Every target sets up first, which takes less than a second when all is there.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON := .venv/bin/python
JOBS ?= 2
ARGS ?=
# What `make test` leaves to targets of their own.
OTHER_SUITES := tests/unit/airflow tests/integration/ovirt tests/integration/lab_ovirt tests/integration/lab_oci tests/integration/oci tests/integration/openstack tests/integration/cli_sites
# Tools of the virtual environment first; tools for root last, for those whose PATH lacks them.
export PATH := $(CURDIR)/.venv/bin:$(PATH):/usr/local/sbin:/usr/sbin:/sbin

.PHONY: help setup setup-airflow setup-function demo demo-disk demo-oci lab test test-ovirt test-oci openstack-up openstack-down test-openstack test-airflow screenshots test-scale test-chaos test-chaos-airflow lint format bench docs lock engine clean

help: ## print this
	@echo "vmferry: make TARGET, where TARGET is"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo 'Options: JOBS=N tests at once (now $(JOBS)), ARGS="-k word" for pytest and bench.'

setup: ## install what is missing: apt packages, .venv, vmferry itself
	@scripts/setup.sh

setup-function: ## the OCI function's own environment, into .venv-function
	@scripts/setup.sh function

setup-airflow: ## the same and Airflow, into the same .venv
	@scripts/setup.sh airflow

demo: setup-airflow ## a VM is backed up, its site dies, it lives on at another: through a real Airflow (DEMO_EXIT=1: then end)
	@$(PYTHON) -m lab.demo

demo-disk: setup ## a disk is backed up, damaged, caught and restored, on this machine, in two minutes
	@$(PYTHON) -m lab.demo.disk

demo-oci: setup-airflow setup-function ## an image is uploaded, its event starts the import, a proven volume comes out (DEMO_EXIT=1: then end)
	@$(PYTHON) -m lab.demo oci

lab: setup ## two simulated oVirt sites with VMs at work, for your own Airflow, until Ctrl-C (docs/lab.md)
	@$(PYTHON) -m lab.demo sites

test: setup ## unit, contract and integration tests, under 15 minutes
	@$(PYTHON) -m pytest -n $(JOBS) --durations=10 $(OTHER_SUITES:%=--ignore=%) tests/unit tests/contract tests/integration $(ARGS)

test-ovirt: setup ## the oVirt driver against simulated engines over real imageio and qemu
	@$(PYTHON) -m pytest -n $(JOBS) --durations=10 tests/integration/lab_ovirt tests/integration/ovirt tests/integration/cli_sites $(ARGS)

test-oci: setup setup-function ## the simulated Oracle Cloud against the unmodified SDK, as root
	@$(PYTHON) -m pytest -n $(JOBS) --dist loadfile --durations=10 tests/integration/lab_oci tests/integration/oci $(ARGS)

openstack-up: setup ## a real OpenStack on this machine, as root, on Debian 12; again: what is missing (lab/openstack)
	@scripts/setup.sh openstack
	@$(PYTHON) -m lab.openstack up

openstack-down: setup ## stop it; PURGE=1 removes its directory too
	@$(PYTHON) -m lab.openstack down $(if $(PURGE),--purge)

test-openstack: setup ## the OpenStack driver against a real OpenStack, as root; it is up for that long (KEEP=1: it stays up)
	@scripts/setup.sh openstack
	@$(if $(KEEP),,trap '$(PYTHON) -m lab.openstack down' EXIT;) $(PYTHON) -m lab.openstack up && $(PYTHON) -m pytest --durations=10 tests/integration/openstack $(ARGS)

test-airflow: setup-airflow setup-function ## operators and DAGs, and runs of them in a real Airflow, minutes long
	@$(PYTHON) -m pytest --durations=10 tests/unit/airflow tests/e2e $(ARGS)

screenshots: setup-airflow ## make the pictures in docs/images anew, by the tests of the UI
	@VMFERRY_SCREENSHOTS=docs/images $(PYTHON) -m pytest --basetemp=/tmp/vmferry-screenshots tests/e2e/ui $(ARGS)
	@rm -rf /tmp/vmferry-screenshots

test-scale: setup-airflow ## 5 000 VMs: rendered, listed by a real DAG processor, edited; prints CPU seconds
	@$(PYTHON) -m pytest tests/scale $(ARGS)

test-chaos: setup ## kill everything at random moments, minutes long
	@$(PYTHON) -m pytest -n $(JOBS) tests/chaos -m chaos --durations=10 $(ARGS)

test-chaos-airflow: setup-airflow setup-function ## kill parts of a real Airflow, of its oVirt sites and of its OCI at 40 random moments each, an hour
	@$(PYTHON) -m pytest tests/storm tests/storm_oci $(ARGS)

lint: setup ## style, types, floors, Python 3.9, spelling, sizes, words
	@scripts/lint.sh

format: setup ## put the Python files into shape
	@ruff check --fix-only -q . && ruff format .

bench: setup ## speed against named peers, as ratios in one run
	@$(PYTHON) -m tests.bench $(ARGS)

docs: setup ## write docs/commands anew from the commands' own help
	@$(PYTHON) scripts/command_docs.py

lock: setup ## pin requirements/dev.txt anew (UPGRADE=1: the newest versions)
	@scripts/lock.sh $(if $(UPGRADE),--upgrade)

engine: setup ## build build/vmferry-engine.pyz, which runs under Python 3.9+ with nothing installed
	@mkdir -p build
	@$(PYTHON) -m vmferry.hosts.zipapp build/vmferry-engine.pyz

clean: ## remove what was built (.venv stays; remove it by hand to start from nothing)
	@rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find provider lab tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
