"""A real sshd on a loopback port, with keys, home and host of its own: a machine to reach over SSH.

It can be killed with everything that hangs on it, and be started again on the same port with the same host key, which
is what a network or a host that goes away for a while looks like from outside. It ends with who started it.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from vmferry.hosts.settings import SshSettings
from vmferry.hosts.ssh_command import JOBS

_START_S = 20.0


class Sshd:
    """One sshd; a context manager that stops it at the end."""

    def __init__(self, directory: Path, *, env: dict[str, str] | None = None) -> None:
        self.directory = directory
        self.address = "127.0.0.1"
        self.port = _free_port()
        self.user = pwd.getpwuid(os.getuid()).pw_name
        self.home = directory / "home"
        self.home.mkdir(parents=True)
        self.identity = _make_key(directory / "id_ed25519")
        self.host_key = _make_key(directory / "host_key")
        self.known_hosts = directory / "known_hosts"
        self.known_hosts.write_text(f"[{self.address}]:{self.port} {_public(self.host_key)}\n")
        (directory / "authorized_keys").write_text(_public(self.identity) + "\n")
        (directory / "authorized_keys").chmod(0o600)
        self._config = directory / "sshd_config"
        self._config.write_text(self._settings({"HOME": str(self.home), **(env or {})}))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def jobs(self) -> Path:
        """Say where the jobs of this host are."""
        return self.home / JOBS

    def settings(self, **changes: Any) -> SshSettings:
        """Reach it as it should be reached: key and host key known, a Python with nothing installed."""
        usual: dict[str, Any] = {"address": self.address, "user": self.user, "port": self.port}
        usual.update(identity=self.identity, known_hosts=self.known_hosts, python=(sys.executable, "-I", "-S"))
        return SshSettings(**{**usual, **changes})

    def start(self) -> None:
        """Start it, and return when it answers."""
        if os.getuid() == 0:
            # Where sshd locks its unprivileged half in; only a service's start-up makes it.
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        program = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        if program is None:
            raise FileNotFoundError("sshd is not installed: apt install openssh-server")
        with (self.directory / "sshd.log").open("ab") as log:
            # sshd wants to be called by its full path: it starts itself again for each connection.
            argv = ["setpriv", "--pdeathsig", "KILL", "--", program, "-D", "-e", "-f", str(self._config)]
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._wait()

    def kill(self) -> None:
        """Kill it and every session on it; jobs that were started detached live on. May be called twice."""
        process, self._process = self._process, None
        if process is None:
            return
        victims = [process.pid, *_descendants(process.pid)]
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()

    def change_host_key(self) -> None:
        """Get another host key, as a machine does that was installed anew, or one that stands in for it."""
        for path in (self.host_key, self.host_key.with_name(self.host_key.name + ".pub")):
            path.unlink()
        _make_key(self.host_key)

    def __enter__(self) -> Sshd:
        self.start()
        return self

    def __exit__(self, kind: object, value: object, trace: TracebackType | None) -> None:
        self.kill()

    def _settings(self, env: dict[str, str]) -> str:
        lines = [
            f"Port {self.port}",
            f"ListenAddress {self.address}",
            f"HostKey {self.host_key}",
            f"AuthorizedKeysFile {self.directory / 'authorized_keys'}",
            "AuthenticationMethods publickey",
            "PermitRootLogin prohibit-password",
            "StrictModes no",  # test directories lie below world-writable /tmp
            "UsePAM no",
            "PidFile none",
            "PrintMotd no",
            "MaxStartups 100",
            "MaxSessions 100",
            "SetEnv " + " ".join(f'{name}="{value}"' for name, value in env.items()),
        ]
        return "\n".join(lines) + "\n"

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            assert self._process is not None
            if self._process.poll() is not None:
                raise RuntimeError(f"sshd ended at once: {(self.directory / 'sshd.log').read_text()}")
            with contextlib.suppress(OSError), socket.create_connection((self.address, self.port), 1) as connection:
                if connection.recv(4) == b"SSH-":
                    return
            time.sleep(0.02)
        raise TimeoutError(f"sshd does not answer on port {self.port}")


def _free_port() -> int:
    """Find a port outside the range of outgoing connections, so that it is still free when sshd starts again."""
    while True:
        port = random.randrange(15000, 32000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _make_key(path: Path) -> Path:
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(path)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    return path


def _public(key: Path) -> str:
    return key.with_name(key.name + ".pub").read_text().strip()


def _descendants(pid: int) -> list[int]:
    """List the children of a process and theirs."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found, queue = [], [pid]
    while queue:
        for child in children.get(queue.pop(), []):
            found.append(child)
            queue.append(child)
    return found
