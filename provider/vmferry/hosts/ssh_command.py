# SPDX-License-Identifier: Apache-2.0
"""The command lines of ssh and the scripts that run on the other side. Pure: nothing is started here."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from vmferry.engine.jobs import check_job_id
from vmferry.hosts.settings import SshSettings

JOBS = ".local/state/vmferry/jobs"
"""Below the home of the user: survives a reboot, which /tmp and /run do not."""
ENGINES = ".local/share/vmferry"

NO_ENGINE = 97
NO_PYTHON = 127
OLD_PYTHON = 98
TORN_UPLOAD = 96

# Runs on whatever python3 there is, so that one too old can say so.
_RECEIVER = """
import hashlib, os, sys, tempfile
if sys.version_info < (3, 9):
    sys.stderr.write("%d.%d" % sys.version_info[:2])
    sys.exit(98)
data = sys.stdin.buffer.read()
if hashlib.sha256(data).hexdigest() != sys.argv[1]:
    sys.exit(96)
where = os.path.join(os.path.expanduser("~"), sys.argv[2])
os.makedirs(where, exist_ok=True)
fd, name = tempfile.mkstemp(dir=where, prefix=".engine-")
try:
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fchmod(fd, 0o755)
        os.fsync(fd)
    os.rename(name, os.path.join(where, "engine-" + sys.argv[1] + ".pyz"))
except BaseException:
    os.unlink(name)
    raise
fd = os.open(where, os.O_RDONLY)
os.fsync(fd)
"""


def build_ssh(settings: SshSettings, *, control_path: Path | None = None, log_level: str = "ERROR") -> list[str]:
    """Make ssh's command line up to and without the destination."""
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes" if settings.verify_host_key else "no",
        "ConnectTimeout": str(settings.connect_timeout_s),
        "ServerAliveInterval": str(settings.alive_interval_s),
        "ServerAliveCountMax": "3",
        "LogLevel": log_level,
    }
    if settings.known_hosts is not None:
        options["UserKnownHostsFile"] = _quote_option(settings.known_hosts)
        options["GlobalKnownHostsFile"] = "/dev/null"
    if not settings.verify_host_key:
        options["UserKnownHostsFile"] = "/dev/null"
    if control_path is not None:
        options["ControlPath"] = _quote_option(control_path)
    argv = ["ssh", "-F", "none", "-T", "-p", str(settings.port)]
    if settings.identity is not None:
        argv += ["-i", str(settings.identity)]
        options["IdentitiesOnly"] = "yes"
    for name, value in options.items():
        argv += ["-o", f"{name}={value}"]
    for option in settings.options:
        argv += ["-o", option]
    return argv


def _quote_option(path: Path) -> str:
    """Write a path as an option's value: ssh splits at blanks and expands % and ~ there."""
    return '"' + str(path).replace("%", "%%") + '"'


def build_remote(settings: SshSettings, script: str, *, control_path: Path | None = None) -> list[str]:
    """Make the command line that runs a shell script on the host, whatever the user's login shell is."""
    return [
        *build_ssh(settings, control_path=control_path),
        "--",
        settings.destination,
        f"exec /bin/sh -c {shlex.quote(script)}",
    ]


def build_master(settings: SshSettings, control_path: Path) -> list[str]:
    """Make the command line of the connection that all commands share."""
    return [*build_ssh(settings, control_path=control_path), "-M", "-N", "--", settings.destination]


def build_forward(settings: SshSettings, local: Path, remote: Path | int) -> list[str]:
    """Make the command line that brings a socket here; it has a connection of its own, for speed."""
    where = f"127.0.0.1:{remote}" if isinstance(remote, int) else str(remote)
    options = ["ExitOnForwardFailure=yes", "StreamLocalBindUnlink=yes", "StreamLocalBindMask=0177", "ControlPath=none"]
    flags = [word for option in options for word in ("-o", option)]
    return [*build_ssh(settings), *flags, "-N", "-L", f"{local}:{where}", "--", settings.destination]


def build_engine(sha256: str, python: Sequence[str], words: Sequence[str]) -> str:
    """Make the script that runs the engine, or exits with `NO_ENGINE` when this one is not there.

    A word that begins with ``~/`` is meant below the home of the user.
    """
    path = _shell_word(f"~/{ENGINES}/engine-{sha256}.pyz")
    command = " ".join([*map(shlex.quote, python), path, *map(_shell_word, words)])
    return f"[ -f {path} ] || exit {NO_ENGINE}; exec {command}"


def build_receiver(sha256: str, python: Sequence[str]) -> str:
    """Make the script that takes the engine from standard input and puts it in place in one step."""
    return "exec " + " ".join(map(shlex.quote, [*python, "-c", _RECEIVER, sha256, ENGINES]))


def job_path(job_id: str) -> str:
    """Say where a job is, as a word for `build_engine`."""
    return f"~/{JOBS}/{check_job_id(job_id)}"


def _shell_word(word: str) -> str:
    return f'"$HOME"/{shlex.quote(word[2:])}' if word.startswith("~/") else shlex.quote(word)
