#!/usr/bin/env bash
# Installs vmferry and all the Python packages it runs with, pinned, into a directory: install_image.sh DIRECTORY
# It makes DIRECTORY/venv, and dags, dag_templates and bin (scripts of deploy/image) beside it. The Dockerfile runs it, and so does
# an installation without containers. PYTHON names the Python to use, 3.11 or later.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[ "$#" -eq 1 ] || { echo "usage: scripts/install_image.sh DIRECTORY" >&2 && exit 2; }
prefix=$1
python=$prefix/venv/bin/python
# Airflow's image installs for a user by default, which a venv refuses.
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_RETRIES=5 PIP_QUIET=1
# The machine's own certificates, so that it also works behind a company's proxy.
export UV_SYSTEM_CERTS=true UV_LINK_MODE=copy UV_NO_PROGRESS=1 UV_PYTHON_DOWNLOADS=never

"${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed" >&2 && exit 2; }
"${PYTHON:-python3}" -m venv "$prefix/venv"
"$python" -m pip install -r requirements/uv.txt
uv=$prefix/venv/bin/uv
"$uv" pip install -q --python "$python" -r requirements/image.txt
"$uv" pip install -q --python "$python" --no-deps --no-build-isolation .
"$uv" pip check -q --python "$python"
"$python" -m pip uninstall -y uv
for part in dags dag_templates deploy/image; do
  name=$(basename "$part")
  target=$prefix/${name/image/bin}
  mkdir -p "$target"
  cp -r "$part/." "$target"
done
"$prefix/venv/bin/vmferry" --version
