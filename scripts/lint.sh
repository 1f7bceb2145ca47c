#!/usr/bin/env bash
# All static checks, each in one line when it is clean and with its output when it is not.
# Every check runs, so that one look shows all there is to do. `make lint` calls this.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

readonly ENGINE=provider/vmferry/engine
readonly PYTHON=.venv/bin/python
failed=()

check() {
  local name=$1 output start=$SECONDS
  shift
  if output=$("$@" 2>&1); then
    printf 'lint: %-13s clean  (%d s) %s\n' "$name" $((SECONDS - start)) "$(awk 'NF { last = $0 } END { print last }' <<<"$output")"
  else
    printf 'lint: %-13s FAILED (%d s)\n' "$name" $((SECONDS - start))
    printf '%s\n' "$output" | sed 's/^/  | /'
    failed+=("$name")
  fi
}

# What git knows of or would add; safe.directory because CI clones may belong to another user.
files() { git -c safe.directory='*' ls-files --cached --others --exclude-standard --deduplicate -- "$@"; }

existing() { while read -r name; do [ ! -e "$name" ] || echo "$name"; done; }

spelling() { files | existing | grep -Ev '^(LICENSE|requirements/.*txt)$|\.(png|gz|xz|zst|qcow2)$' | xargs -d '\n' codespell; }

shells() { files '*.sh' '.ci/run' | existing | xargs -d '\n' shellcheck; }

# A real 3.9 is the better judge: it imports every module of the engine. PYTHON39 names one that is not on PATH.
python39() {
  local python=${PYTHON39:-python3.9}
  vermin --quiet --target=3.9- --violations --no-tips --no-parse-comments "$ENGINE" || return 1
  if [ -n "${PYTHON39:-}" ] || "$python" -c 'import sys' 2>/dev/null; then
    PYTHONPATH=provider "$python" -B -W error scripts/check_imports.py vmferry.engine
  else
    echo "by vermin; no $python here"
  fi
}

# Its schema first, then our own rules.
deployment() { check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yaml && "$PYTHON" scripts/check_deployment.py; }

check "ruff" ruff check .
check "ruff format" ruff format --check .
check "mypy" mypy
check "floors" lint-imports --no-cache
check "engine" "$PYTHON" scripts/check_engine.py "$ENGINE"
check "python 3.9" python39
check "spelling" spelling
check "shellcheck" shells
check "sizes" "$PYTHON" scripts/check_sizes.py
check "words" "$PYTHON" scripts/check_words.py
check "terraform" "$PYTHON" scripts/check_terraform.py
check "deployment" deployment
check "command docs" "$PYTHON" scripts/command_docs.py --check

if [ "${#failed[@]}" -gt 0 ]; then
  echo "lint: ${#failed[@]} of the checks failed: ${failed[*]}"
  exit 1
fi
echo "lint: all clean"
