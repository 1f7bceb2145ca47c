"""Runs functions/oci_event as the platform does: the real `fdk`, in an environment of its own, at a unix socket."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from lab.oci.lab import OciLab
from vmferry.engine.qemu.child import start_bound

ROOT = Path(__file__).resolve().parents[2]
FUNCTION = ROOT / "functions" / "oci_event"
FDK = ROOT / ".venv-function" / "bin" / "fdk"
_START_S = 120.0


class FunctionProcess:
    """One function of the tenancy. It dies with us; `kill` and `start` are for those who test that."""

    def __init__(self, lab: OciLab, directory: Path, **config: str) -> None:
        if not FDK.exists():
            raise FileNotFoundError(f"{FDK} is not there; scripts/setup.sh function makes it")
        directory.mkdir(parents=True, exist_ok=True)
        self._sockets = tempfile.TemporaryDirectory(prefix="vmferry-fn-")
        self.socket = Path(self._sockets.name) / "lsnr.sock"  # a unix socket's path has at most 107 bytes
        self.log_file = directory / "function.log"
        self._lab = lab
        self._config = config
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and let the tenancy's events go to it."""
        ours = {"PYTHONDONTWRITEBYTECODE": "1", **self._lab.function_environment(self.socket), **self._config}
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
        with self.log_file.open("ab") as log:
            self._process = start_bound(
                [str(FDK), str(FUNCTION / "func.py"), "handler"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=FUNCTION,
                env={**kept, **ours},
            )  # fmt: skip
        self._wait()
        self._lab.connect_function(socket=self.socket)

    def kill(self) -> None:
        """Kill -9 it; events go on to its socket, where nobody answers."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """End it. May be called twice."""
        self.kill()
        self._sockets.cleanup()

    def call(self, body: bytes) -> tuple[int, str]:
        """Call it by hand, as the platform would; give status and answer."""
        connection = _Connection(self.socket)
        try:
            headers = {"Fn-Call-Id": "1", "Fn-Deadline": "2100-01-01T00:00:00Z", "Content-Type": "application/json"}
            connection.request("POST", "/call", body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def __enter__(self) -> FunctionProcess:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_S
        while True:
            with socket.socket(socket.AF_UNIX) as probe:
                if self.socket.exists() and probe.connect_ex(str(self.socket)) == 0:
                    return
            dead = self._process is None or self._process.poll() is not None
            if dead or time.monotonic() > deadline:
                text = self.log_file.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"the function {'died' if dead else 'does not listen'}:\n{text}")
            time.sleep(0.1)


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock: Any = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
