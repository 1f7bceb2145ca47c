"""The REAL ovirt-imageio daemon as a plain process on loopback: TLS of our own authority, tickets on a unix socket."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from lab.pki import Certificate
from vmferry.engine.qemu.child import start_bound

START_TIMEOUT_S = 60.0

_CONFIG = """
[daemon]
systemd_enable = false
drop_privileges = false
poll_interval = 0.1
run_dir = {directory}
[tls]
enable = true
key_file = {certificate.key}
cert_file = {certificate.cert}
ca_file = {certificate.ca}
[remote]
host = 127.0.0.1
port = {port}
[local]
enable = {local}
socket = {directory}/local.sock
[control]
transport = unix
socket = {directory}/control.sock
remove_timeout = 10
[handlers]
keys = stderr
[logger_root]
level = {level}
handlers = stderr
"""


class ImageioDaemon:
    """One daemon. `kill` and `start` let it die and come back on the same port, without its tickets.

    With `log_level` DEBUG, from its next start on, it logs each read and write.
    `local` offers clients on this machine its unix socket, which they then use instead of TLS.
    """

    def __init__(self, directory: Path, certificate: Certificate, *, local: bool = False) -> None:
        self.directory = directory
        self.certificate = certificate
        self.port = 0
        self._local = local
        self.log_level = "INFO"
        self._log = directory / "daemon.log"
        self._process: subprocess.Popen[bytes] | None = None
        (directory / "conf.d").mkdir(parents=True, exist_ok=True)
        self.start()

    @property
    def pid(self) -> int:
        """Process id of the daemon."""
        assert self._process
        return self._process.pid

    @property
    def log(self) -> str:
        """What the daemon wrote since it was started last."""
        return self._log.read_text()

    @property
    def old_logs(self) -> list[Path]:
        """What it wrote before it was killed, the oldest first."""
        return sorted(self.directory.glob("daemon.*.log"), key=lambda path: int(path.name.split(".")[1]))

    def url(self, ticket_id: str) -> str:
        """Where a client finds a ticket's disk."""
        return f"https://localhost:{self.port}/images/{ticket_id}"

    def start(self) -> None:
        """Start the daemon and wait until it is ready."""
        config = _CONFIG.format(
            directory=self.directory,
            certificate=self.certificate,
            port=self.port,
            local="true" if self._local else "false",
            level=self.log_level,
        )
        (self.directory / "conf.d" / "50-lab.conf").write_text(config)
        program = Path(sys.executable).parent / "ovirt-imageio"
        command = [sys.executable, str(program), "-c", str(self.directory)]
        if self._log.exists():
            self._log.rename(self.directory / f"daemon.{len(self.old_logs)}.log")
        with self._log.open("wb") as log:
            self._process = start_bound(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while "Ready for requests" not in self.log:
            assert self._process
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"the imageio daemon did not start:\n{self.log}")
            time.sleep(0.02)
        match = re.search(r"remote\.service listening on \('127\.0\.0\.1', (\d+)\)", self.log)
        assert match
        self.port = int(match.group(1))

    def add_ticket(self, url: str, size_bytes: int, *, ops: Sequence[str] = ("read", "write"), **more: Any) -> str:
        """Let clients reach `url` (nbd:unix:PATH or file://PATH); more: dirty, timeout, inactivity_timeout, uuid."""
        ticket_id = str(more.setdefault("uuid", str(uuid.uuid4())))
        defaults = {"timeout": 3600, "inactivity_timeout": 300, "sparse": True}
        self._control("PUT", ticket_id, {**defaults, "url": url, "size": size_bytes, "ops": list(ops), **more})
        return ticket_id

    def get_ticket(self, ticket_id: str) -> dict[str, Any]:
        """Return what the daemon says about a ticket: connections, idle_time, transferred ..."""
        found: dict[str, Any] = json.loads(self._control("GET", ticket_id))
        return found

    def extend_ticket(self, ticket_id: str, timeout_s: int) -> None:
        """Let a ticket expire so many seconds from now."""
        self._control("PATCH", ticket_id, {"timeout": timeout_s})

    def remove_ticket(self, ticket_id: str) -> None:
        """Cancel a ticket and its connections; may be called twice."""
        self._control("DELETE", ticket_id)

    def _control(self, method: str, ticket_id: str, body: Mapping[str, Any] | None = None) -> bytes:
        connection = _UnixConnection(self.directory / "control.sock")
        try:
            connection.request(method, f"/tickets/{ticket_id}", body=json.dumps(body) if body else None)
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status >= 300:
            raise RuntimeError(f"imageio {method} ticket: {response.status} {answer.decode()}")
        return answer

    def kill(self) -> None:
        """Kill the daemon as a power cut would; its tickets are gone."""
        if self._process:
            self._process.kill()
            self._process.wait()
        for name in ("control.sock", "local.sock"):
            (self.directory / name).unlink(missing_ok=True)

    def close(self) -> None:
        """End the daemon."""
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def __enter__(self) -> ImageioDaemon:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over the daemon's control socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(60)
        self.sock.connect(os.fspath(self._path))
