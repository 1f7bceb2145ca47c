#!/usr/bin/env bash
# Pins the versions of all we install into requirements/dev.txt, airflow.txt and image.txt: names and versions, no
# addresses, so that the same files work with any mirror. airflow.txt is dev.txt and what Airflow needs on top; image.txt
# is the part of it that runs in the container image; openstack.txt is what the lab's OpenStack runs with. Versions that
# are pinned already stay, unless --upgrade.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export UV_SYSTEM_CERTS=true UV_NO_PROGRESS=1 UV_PYTHON_DOWNLOADS=never

lock() {
  local output=$1
  shift
  uv pip compile --quiet --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
    --python .venv/bin/python --python-version 3.11 --python-platform linux \
    "$@" --output-file "requirements/$output"
  echo "lock: $(wc -l <"requirements/$output") packages in requirements/$output"
}

lock dev.txt "$@" pyproject.toml requirements/dev.in
lock airflow.txt "$@" --constraints requirements/dev.txt pyproject.toml requirements/dev.in requirements/airflow.in
lock image.txt "$@" --constraints requirements/airflow.txt --extra ovirt --extra oci --extra openstack pyproject.toml requirements/airflow.in requirements/image.in
lock openstack.txt "$@" requirements/openstack.in
lock ../functions/oci_event/requirements.txt "$@" functions/oci_event/requirements.in
