#!/usr/bin/env bash
# Pins the versions of all we install into requirements/dev.txt: names and versions, no addresses,
# so that the same file works with any mirror. Versions that are pinned already stay, unless --upgrade.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export UV_SYSTEM_CERTS=true UV_NO_PROGRESS=1 UV_PYTHON_DOWNLOADS=never

uv pip compile --quiet --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
  --python .venv/bin/python --python-version 3.11 --python-platform linux \
  "$@" pyproject.toml requirements/dev.in --output-file requirements/dev.txt
echo "lock: $(wc -l <requirements/dev.txt) packages in requirements/dev.txt"
