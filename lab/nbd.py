# SPDX-License-Identifier: Apache-2.0
"""A real qemu-nbd on loopback or a unix socket that tests and the demo can kill and start again at the same address."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.pki import Certificate
from vmferry.engine.endpoint import EndpointSpec
from vmferry.engine.qemu.child import start_bound
from vmferry.engine.qemu.images import file_node
from vmferry.engine.qemu.tools import find_tool


@dataclass
class NbdServer:
    """One image served over NBD. It dies with this process."""

    image: Path
    """What it serves."""
    image_format: str = "raw"
    """Its format."""
    socket_path: Path | None = None
    """Where to listen; a free TCP port of 127.0.0.1 when None."""
    export: str = ""
    """The export's name."""
    read_only: bool = False
    """Refuse writes."""
    shared: int = 16
    """How many clients at once."""
    tls: Certificate | None = None
    """Speak TLS, with this certificate."""
    options: Sequence[str] = ()
    """More options of qemu-nbd, e.g. --bitmap=NAME."""
    port: int = 0
    """The TCP port, once started."""
    _process: subprocess.Popen[bytes] | None = None
    _reserved: socket.socket | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Where a client finds it."""
        scheme = "nbds" if self.tls else "nbd"
        if self.socket_path:
            return f"{scheme}+unix:///{self.export}?socket={self.socket_path}"
        return f"{scheme}://127.0.0.1:{self.port}/{self.export}"

    def spec(self, **options: Any) -> EndpointSpec:
        """Describe it to the engine."""
        trust = {"tls_ca": str(self.tls.ca)} if self.tls else {}
        return EndpointSpec("nbd", self.url, options={**trust, **options})

    @property
    def pid(self) -> int:
        """The server's process id, to kill it."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it; it can be connected to when this returns."""
        assert self._process is None, "is running already"
        with self._listen() as listener:
            self._process = start_bound(self._command(), listening=True, stdin=listener)

    def kill(self) -> None:
        """Kill -9: what it has not flushed may be lost, its address refuses connections."""
        self._end(subprocess.Popen.kill)

    def stop(self) -> None:
        """Let it end in peace and give the port back; may be called twice."""
        self._end(subprocess.Popen.terminate)
        if self._reserved:
            self._reserved.close()
            self._reserved = None
        if self.socket_path:
            self.socket_path.unlink(missing_ok=True)

    def _end(self, how: Any) -> None:
        if self._process:
            how(self._process)
            self._process.wait()
            self._process = None

    def _command(self) -> list[str]:
        command = [find_tool("qemu-nbd"), "--persistent", f"--shared={self.shared}", f"--export-name={self.export}"]
        command += ["--discard=unmap", *(["--read-only"] if self.read_only else []), *self.options]
        if self.tls:
            credentials = f"tls-creds-x509,id=tls,endpoint=server,verify-peer=no,dir={self._credentials(self.tls)}"
            command += ["--object", credentials, "--tls-creds=tls"]
        return [*command, "json:" + json.dumps({"driver": self.image_format, "file": file_node(str(self.image))})]

    def _credentials(self, tls: Certificate) -> Path:
        folder = tls.ca.parent / "qemu"
        folder.mkdir(exist_ok=True)
        for source, name in ((tls.ca, "ca-cert.pem"), (tls.cert, "server-cert.pem"), (tls.key, "server-key.pem")):
            shutil.copyfile(source, folder / name)
        return folder

    @contextlib.contextmanager
    def _listen(self) -> Iterator[socket.socket]:
        if self.socket_path:
            self.socket_path.unlink(missing_ok=True)
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(self.socket_path))
        else:
            self._reserve()
            listener = _tcp_socket(self.port)
        with listener:
            listener.listen(64)
            yield listener

    def _reserve(self) -> None:
        """Keep the port while the server is down: bound but not listening, it refuses connections."""
        if self._reserved is None:
            self._reserved = _tcp_socket(self.port)
            self.port = self._reserved.getsockname()[1]


def _tcp_socket(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    return made


@contextlib.contextmanager
def serve(image: Path, image_format: str = "raw", **settings: Any) -> Iterator[NbdServer]:
    """Serve an image as long as the block lasts; settings as the fields of `NbdServer`."""
    server = NbdServer(image, image_format, **settings)
    server.start()
    try:
        yield server
    finally:
        server.stop()
