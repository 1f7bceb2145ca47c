"""What a worker's user data asks for, done as cloud-init does it: keys early, commands last, then a result."""

from __future__ import annotations

import base64
import gzip
import json
import os
import pwd
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

STATUS = Path("/run/cloud-init/status")
RESULT = Path("/run/cloud-init/result.json")
_LOG = Path("/var/log/cloud-init-output.log")
_PROGRAM = """#!/bin/sh
# The lab's stand-in for cloud-init's command line: status, --wait, --long, --format json.
file=/run/cloud-init/status
case " $* " in *" status "*) ;; *) echo "cloud-init: the lab knows only: status" >&2; exit 2 ;; esac
case " $* " in
  *" --wait "*) while [ "$(cat $file 2>/dev/null || echo running)" = running ]; do sleep 0.1; done ;;
esac
now=$(cat $file 2>/dev/null || echo "not started")
case " $* " in
  *json*)
    errors=$(cat /run/cloud-init/errors.json 2>/dev/null || echo '[]')
    printf '{"status": "%s", "errors": %s}\\n' "$now" "$errors" ;;
  *) echo "status: $now" ;;
esac
[ "$now" != error ]
"""
_FORMATS: dict[str, Any] = {
    "b64": base64.b64decode,
    "base64": base64.b64decode,
    "gz+b64": lambda text: gzip.decompress(base64.b64decode(text)),
}


@dataclass
class UserData:
    """User data, read."""

    config: dict[str, Any] = field(default_factory=dict)
    script: str = ""
    error: str = ""


def read_user_data(encoded: str) -> UserData:
    """Read what came in the metadata's user_data."""
    text = base64.b64decode(encoded).decode(errors="replace") if encoded else ""
    if text.startswith("#!"):
        return UserData(script=text)
    if not text.startswith("#cloud-config"):
        return UserData(error="unhandled non-multipart user data" if text.strip() else "")
    try:
        config = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        return UserData(error=f"failed loading yaml: {error}")
    return UserData(config) if isinstance(config, dict) else UserData(error="cloud-config is not a mapping")


def install() -> None:
    """Put the command line there and say that it runs."""
    program = Path("/usr/bin/cloud-init")
    program.write_text(_PROGRAM)
    program.chmod(0o755)
    STATUS.parent.mkdir(exist_ok=True)
    _replace(STATUS, "running")


def apply_early(data: UserData) -> None:
    """Do what is done before anybody can log in: host keys, users' keys, files."""
    keys: dict[str, str] = data.config.get("ssh_keys") or {}
    for name, text in keys.items():
        kind, _, half = name.rpartition("_")
        path = Path(f"/etc/ssh/ssh_host_{kind}_key" + (".pub" if half == "public" else ""))
        path.write_text(text.strip() + "\n")
        path.chmod(0o644 if half == "public" else 0o600)
    for user in [one for one in data.config.get("users") or [] if isinstance(one, dict)]:
        _add_user(user)
        authorize(str(user["name"]), list(user.get("ssh_authorized_keys") or []))
    authorize("opc", list(data.config.get("ssh_authorized_keys") or []))


def apply_late(data: UserData) -> None:
    """Do the rest, and say how it ended."""
    errors = [data.error] if data.error else []
    try:
        for file in data.config.get("write_files") or []:
            _write_file(file)
    except (OSError, KeyError, ValueError) as error:
        errors.append(f"write_files: {error!r}")
    commands: list[Any] = list(data.config.get("bootcmd") or []) + list(data.config.get("runcmd") or [])
    if data.script:
        script = Path("/var/lib/cloud/user-data")
        script.write_text(data.script)
        script.chmod(0o700)
        commands.append([str(script)])
    with _LOG.open("ab") as log:
        errors += [text for command in commands if (text := _run(command, log))]
    finish(errors)


def finish(errors: list[str]) -> None:
    """Write the result."""
    version = {"v1": {"datasource": "DataSourceOracle", "errors": errors}}
    _replace(RESULT.with_name("errors.json"), json.dumps(errors))
    _replace(RESULT, json.dumps(version))
    finished = Path("/var/lib/cloud/instance/boot-finished")
    finished.parent.mkdir(parents=True, exist_ok=True)
    finished.write_text(f"{time.ctime()}\n")
    _replace(STATUS, "error" if errors else "done")


def authorize(user: str, keys: list[str]) -> None:
    """Let keys log in as a user."""
    entry = pwd.getpwnam(user)
    directory = Path(entry.pw_dir) / ".ssh"
    directory.mkdir(mode=0o700, exist_ok=True)
    file = directory / "authorized_keys"
    known = file.read_text().splitlines() if file.exists() else []
    file.write_text("".join(f"{one}\n" for one in dict.fromkeys([*known, *(key.strip() for key in keys)])))
    file.chmod(0o600)
    for path in (directory, file):
        os.chown(path, entry.pw_uid, entry.pw_gid)


def _add_user(user: dict[str, Any]) -> None:
    name = str(user["name"])
    if not any(entry.pw_name == name for entry in pwd.getpwall()):
        argv = ["useradd", "--create-home", "--shell", str(user.get("shell") or "/bin/bash"), name]
        subprocess.run(argv, check=True, capture_output=True)
        # Without this a key lets nobody in: sshd takes "!" for an account that is locked.
        subprocess.run(["usermod", "--password", "*", name], check=True, capture_output=True)
    rules = user.get("sudo") or []
    if rules:
        lines = "".join(f"{name} {rule}\n" for rule in ([rules] if isinstance(rules, str) else rules))
        path = Path("/etc/sudoers.d") / f"90-cloud-init-{name}"
        path.write_text(lines)
        path.chmod(0o440)


def _write_file(file: dict[str, Any]) -> None:
    path = Path(file["path"])
    path.parent.mkdir(parents=True, exist_ok=True)
    decode = _FORMATS.get(file.get("encoding") or "", lambda text: str(text).encode())
    with path.open("ab" if file.get("append") else "wb") as out:
        out.write(decode(file.get("content") or ""))
    path.chmod(int(str(file.get("permissions") or "0644"), 8))
    owner, _, group = str(file.get("owner") or "root:root").partition(":")
    subprocess.run(["chown", f"{owner}:{group or owner}", str(path)], check=True, capture_output=True)


def _run(command: Any, log: Any) -> str:
    argv = ["/bin/sh", "-c", command] if isinstance(command, str) else [str(word) for word in command]
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
    except OSError as error:
        return f"runcmd: {argv[0]}: {error.strerror}"
    return f"runcmd: {argv[-1][:80]!r} ended with {done.returncode}" if done.returncode else ""


def _replace(path: Path, text: str) -> None:
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text)
    fresh.chmod(0o644)
    fresh.replace(path)
