"""A root of our own, in namespaces of our own, where terraform/oci/first_boot.sh may do what it likes.

Below it lie this machine's files, unchanged; what is written goes to memory. Real: the script, PostgreSQL, OpenSSL,
users and groups, Airflow with FAB. Not real, and replaced by a few lines each: systemd (`systemctl` runs the set-up
unit's program, `systemd-run` reads the same files and runs as root), apt-get, the packages of the venv, and Vault.

``python -m tests.e2e.deploy.scratch_root DIRECTORY COMMAND...`` prepares it and runs a command in it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PREFIX, BIN = Path("/opt/vmferry"), Path("/usr/local/scratch")
VAULT_PASSWORD = "what only Vault knows"
ENVIRONMENT = {
    "PATH": f"{BIN}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8",
}  # fmt: skip
_READY_S = 120.0
_SYSTEMD_RUN = """#!/bin/bash
set -eu
while [ "$#" -gt 0 ]; do
  case $1 in
    --quiet | --wait | --pipe | --uid=* | --gid=*) ;;
    -p)
      shift
      case $1 in
        EnvironmentFile=*) set -a; . "${1#*=}"; set +a ;;
        Environment=*) for one in ${1#*=}; do export "${one?}"; done ;;
        *) echo "systemd-run: $1 is not known here" >&2; exit 2 ;;
      esac
      ;;
    -*) echo "systemd-run: $1 is not known here" >&2; exit 2 ;;
    *) break ;;
  esac
  shift
done
exec "$@"
"""
_SYSTEMCTL = """#!/bin/bash
# Of units it knows one: what vmferry-init.service says is done.
set -eu
echo "$*" >>/var/log/systemctl
case "$*" in
  *vmferry-init.service*)
    unit=/etc/systemd/system/vmferry-init.service
    for name in $(sed -n 's/^StateDirectory=//p' "$unit"); do mkdir -p "/var/lib/$name"; done
    environment=$(sed -n 's/^Environment=//p' "$unit")
    file=$(sed -n 's/^EnvironmentFile=\\([^-]\\)/\\1/p' "$unit")
    systemd-run -p EnvironmentFile="$file" -p "Environment=$environment" "$(sed -n 's/^ExecStart=//p' "$unit")"
    ;;
esac
"""
_APT_GET = '#!/bin/bash\necho "$*" >>/var/log/apt-get\n'
_PYTHON = f"""#!/bin/bash
[ "$1" = - ] || exec {ROOT}/.venv/bin/python "$@"
# Vault: first_boot.sh asks it by a few lines of Python, which are looked at and not run: there is no OCI here.
cat >/var/log/asked-of-vault
echo "$2" >/var/log/asked-for
echo {VAULT_PASSWORD!r}
"""


def main(directory: Path, command: Sequence[str]) -> int:
    """Prepare it, go in, run."""
    _run("mount", "--make-rprivate", "/")
    for step in ("link set lo up", "link add eth0 type veth peer name eth1", "addr add 10.20.30.40/24 dev eth0",
                    "link set eth0 up", "link set eth1 up"):  # fmt: skip
        _run("ip", *step.split())
    root = _make_root(directory)
    os.chroot(root)
    os.chdir(ROOT)
    _write_programs()
    _start_postgresql()
    return subprocess.run(list(command), env=ENVIRONMENT, stdin=subprocess.DEVNULL, check=False).returncode


def _make_root(directory: Path) -> Path:
    memory = directory / "memory"
    memory.mkdir()
    _run("mount", "-t", "tmpfs", "-o", "size=2g", "memory", str(memory))
    for name in ("upper", "work", "root"):
        (memory / name).mkdir()
    root = memory / "root"
    _run(
        "mount",
        "-t",
        "overlay",
        "overlay",
        "-o",
        f"lowerdir=/,upperdir={memory}/upper,workdir={memory}/work",
        str(root),
    )
    for name in ("dev", "sys"):
        _run("mount", "--rbind", f"/{name}", f"{root}/{name}")
    _run("mount", "-t", "proc", "proc", f"{root}/proc")
    for name in ("run", "tmp"):
        _run("mount", "-t", "tmpfs", name, f"{root}/{name}")
    (root / "tmp").chmod(0o1777)
    for one in {Path(sys.base_prefix), ROOT}:
        (root / one.relative_to("/")).mkdir(parents=True, exist_ok=True)
        _run("mount", "--bind", str(one), str(root / one.relative_to("/")))
    return root


def _write_programs() -> None:
    programs = {
        BIN / "systemctl": _SYSTEMCTL,
        BIN / "systemd-run": _SYSTEMD_RUN,
        BIN / "apt-get": _APT_GET,
        PREFIX / "venv/bin/python": _PYTHON,
        PREFIX / "venv/bin/airflow": f'#!/bin/bash\nexec {ROOT}/.venv/bin/airflow "$@"\n',
        PREFIX / "bin/init.sh": (ROOT / "deploy/image/init.sh").read_text(),
    }
    for path, text in programs.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    (PREFIX / "dags").mkdir()
    for dag in ("oci_disk_import.py", "janitor.py"):
        (PREFIX / "dags" / dag).write_text((ROOT / "dags" / dag).read_text())
    for name in ("/etc/vmferry", "/etc/systemd/system"):
        Path(name).mkdir(parents=True, exist_ok=True)
    settings = "SECRET_OCID=ocid1.vaultsecret.oc1..test\nFUNCTION_USER=oci-function\nPORT=8443\n"
    Path("/etc/vmferry/first_boot.env").write_text(settings)


def _start_postgresql() -> None:
    """As Debian's package does it when it is installed: a cluster at the usual port and socket."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    data, sockets = Path("/var/lib/postgresql/scratch"), Path("/var/run/postgresql")
    for one in (data, sockets):
        one.mkdir(parents=True)
        _run("chown", "postgres:", str(one))
    as_postgres = ["runuser", "-u", "postgres", "--"]
    authentication = ["--auth-local=peer", "--auth-host=scram-sha-256"]
    _run(*as_postgres, str(programs / "initdb"), "-D", str(data), *authentication)
    options = ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-k", str(sockets)]
    with Path("/var/log/postgresql-scratch").open("wb") as log:
        subprocess.Popen(
            [*as_postgres, str(programs / "postgres"), "-D", str(data), *options],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    deadline = time.monotonic() + _READY_S
    while subprocess.run([programs / "pg_isready", "-q"], check=False).returncode:
        if time.monotonic() > deadline:
            raise TimeoutError(Path("/var/log/postgresql-scratch").read_text())
        time.sleep(0.2)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
