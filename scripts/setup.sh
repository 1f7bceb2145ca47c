#!/usr/bin/env bash
# Sets up all that vmferry needs, on Debian 12+ and Ubuntu 22.04+, as root or with sudo.
# Run it as often as you like: what is there already is left alone, and then it takes less than a second.
# `setup.sh airflow` installs Airflow too, into the same .venv: some 120 packages that nothing else needs.
# `setup.sh openstack` installs the apt packages of the lab's OpenStack; its Python packages are that lab's own business.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly CALLER=setup
readonly LOG=build/setup.log
readonly LAST=build/setup.last # what the last command printed
readonly VENV=.venv
readonly STAMP=$VENV/vmferry-setup.stamp
readonly AIRFLOW_STAMP=$VENV/vmferry-airflow.stamp
# The machine's own certificates, so that set-up also works behind a company's proxy.
export UV_SYSTEM_CERTS=true UV_LINK_MODE=copy UV_NO_PROGRESS=1 UV_PYTHON_DOWNLOADS=never
export PIP_DISABLE_PIP_VERSION_CHECK=1
# shellcheck source=scripts/apt.sh
. scripts/apt.sh

is_good_python() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
  local name
  for name in python3 python3.11 python3.12 python3.13 python3.14 /usr/bin/python3; do
    if is_good_python "$name"; then
      command -v "$name"
      return
    fi
  done
  return 1
}

# Ubuntu 22.04 has Python 3.10 as python3, and 3.11 beside it.
install_python() {
  find_python >/dev/null && return
  update_lists
  [ -n "$(apt-cache madison python3.11 2>/dev/null)" ] \
    || die "no Python 3.11 or later with venv on this machine, and apt has none; install one and run this again"
  install_packages python3.11 python3.11-venv python3.11-dev
}

inputs_hash() {
  { cat requirements/dev.txt requirements/uv.txt pyproject.toml scripts/setup.sh scripts/apt.sh "$@"; pwd; } | sha256sum | cut -d' ' -f1
}

is_up_to_date() {
  [ -f "$STAMP" ] && [ "$(cat "$STAMP")" = "$(inputs_hash)" ] && $VENV/bin/python -c 'import vmferry' 2>/dev/null
}

make_venv() {
  if $VENV/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then return; fi
  local python
  python=$(find_python) || die "no Python 3.11 or later with venv"
  say "$VENV with $($python --version) from $python"
  run "$python" -m venv --clear $VENV || die "could not make $VENV; see $LOG"
}

# uv from PATH, else our own in .venv.
find_uv() {
  local uv
  for uv in uv $VENV/bin/uv; do
    if "$uv" --version >/dev/null 2>&1; then
      echo "$uv"
      return
    fi
  done
  return 1
}

install_uv() {
  find_uv >/dev/null && return
  say "uv, from requirements/uv.txt"
  $VENV/bin/python -m pip --version >/dev/null 2>&1 || run $VENV/bin/python -m ensurepip || die "no pip in $VENV"
  run_three_times $VENV/bin/python -m pip install -q -r requirements/uv.txt || die "could not install uv; see $LOG"
}

install_requirements() {
  local uv
  install_uv
  uv=$(find_uv)
  say "Python packages of requirements/dev.txt"
  run_three_times "$uv" pip install -q --python $VENV/bin/python -r requirements/dev.txt \
    || die "could not install requirements/dev.txt; see $LOG"
  say "vmferry itself, editable"
  run "$uv" pip install -q --python $VENV/bin/python --no-deps --no-build-isolation -e . \
    || die "could not install vmferry; see $LOG"
}

has_airflow() {
  [ -f "$AIRFLOW_STAMP" ] && [ "$(cat "$AIRFLOW_STAMP")" = "$(inputs_hash requirements/airflow.txt)" ] \
    && [ -x $VENV/bin/airflow ]
}

# A package that apt does not have stops nobody: only its tests fail, and say so.
install_for_e2e() {
  local wanted known=() name
  mapfile -t wanted < <(listed_packages scripts/packages-e2e.apt)
  mapfile -t wanted < <(missing_packages "${wanted[@]}")
  [ "${#wanted[@]}" -gt 0 ] || return 0
  update_lists
  for name in "${wanted[@]}"; do
    if [ -n "$(apt-cache madison "$name" 2>/dev/null)" ]; then known+=("$name"); else say "apt has no $name here"; fi
  done
  [ "${#known[@]}" -eq 0 ] || install_packages "${known[@]}"
}

install_airflow() {
  local uv
  install_for_e2e
  has_airflow && return
  install_uv
  uv=$(find_uv)
  say "Python packages of requirements/airflow.txt"
  run_three_times "$uv" pip install -q --python $VENV/bin/python -r requirements/airflow.txt \
    || die "could not install requirements/airflow.txt; see $LOG"
  inputs_hash requirements/airflow.txt >"$AIRFLOW_STAMP"
  say "Airflow is there after $SECONDS s"
}

# The function has an environment of its own, as it has in its image: fdk brings an old pytest along.
install_function() {
  local uv stamp=.venv-function/vmferry-setup.stamp list=functions/oci_event/requirements.txt
  [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(sha256sum <"$list")" ] && return
  install_uv
  uv=$(find_uv)
  say "Python packages of $list, into .venv-function"
  run $VENV/bin/python -m venv --clear .venv-function || die "could not make .venv-function; see $LOG"
  run_three_times "$uv" pip install -q --python .venv-function/bin/python -r "$list" \
    || die "could not install $list; see $LOG"
  sha256sum <"$list" >"$stamp"
}

# Databases and the like come with these packages, and no package may start one by itself.
install_openstack() {
  local policy=/usr/sbin/policy-rc.d packages missing
  mapfile -t packages < <(listed_packages scripts/packages-openstack.apt)
  mapfile -t missing < <(missing_packages "${packages[@]}")
  [ "${#missing[@]}" -gt 0 ] || return 0
  if [ ! -e $policy ]; then
    can_be_root || die "neither root nor sudo; ask an admin for: apt-get install ${missing[*]}"
    printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
    as_root chmod +x $policy
    trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  install_packages "${packages[@]}"
}

set_up() {
  mkdir -p build
  exec 9>build/setup.lock
  flock 9 # two makes at once: the second waits and finds all done
  : >"$LAST"
  command -v dpkg-query >/dev/null || die "this is no Debian or Ubuntu; see scripts/packages.apt for what is needed"
  local packages
  mapfile -t packages < <(listed_packages scripts/packages.apt scripts/packages-build.apt scripts/packages-dev.apt)
  install_packages "${packages[@]}"
  if is_up_to_date; then return; fi
  install_python
  make_venv
  install_requirements
  inputs_hash >"$STAMP"
  say "done in $SECONDS s"
}

main() {
  case "${1:-}" in
    "") set_up ;;
    airflow) set_up && install_airflow ;;
    function) set_up && install_function ;;
    openstack) set_up && install_openstack ;;
    *) echo "setup: usage: scripts/setup.sh [airflow | function | openstack]" >&2 && exit 2 ;;
  esac
}

main "$@"
