#!/usr/bin/env bash
# Installs the apt packages of lists that are missing: install_packages.sh LIST...
# The container image and `make setup` use the same lists and the same steps.
set -euo pipefail

readonly CALLER=packages
LOG=$(mktemp) LAST=$(mktemp)
readonly LOG LAST
trap 'rm -f "$LOG" "$LAST"' EXIT
# shellcheck source=scripts/apt.sh
. "$(dirname "${BASH_SOURCE[0]}")/apt.sh"

[ "$#" -gt 0 ] || die "usage: scripts/install_packages.sh LIST..."
packages=$(listed_packages "$@") || die "no such list"
mapfile -t packages <<<"$packages"
install_packages "${packages[@]}"
say "${#packages[@]} packages are there"
