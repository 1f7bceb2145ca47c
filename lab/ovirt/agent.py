"""What a hypervisor's agent (VDSM) does for the engine: it runs qemu processes, and they outlive the engine.

The agent runs in the process that owns the lab; the engine, a process of its own that a test may kill, asks it over a
unix socket. Everything the agent started dies with the lab's process.
"""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import socketserver
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from lab.imageio import ImageioDaemon
from vmferry.engine.qemu.child import start_bound

STOP_S = 30.0


class GuestAgent(Protocol):
    """What runs inside of a VM and is asked to stop writing for a moment."""

    def freeze(self) -> None:
        """Write nothing until `thaw`."""

    def thaw(self) -> None:
        """Go on; may be called twice."""


class HostAgent:
    """Owns the processes of one simulated host."""

    def __init__(self, run: Path, logs: Path, imageio: ImageioDaemon) -> None:
        self.guests: dict[str, GuestAgent] = {}
        """By VM; one that is not here has nothing to freeze."""
        self.socket = run / "agent.sock"
        self.imageio = imageio
        self._logs = logs
        self._lock = threading.Lock()
        self._imageio_lock = threading.Lock()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        logs.mkdir(parents=True, exist_ok=True)
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def answer(self, wish: dict[str, Any]) -> dict[str, Any]:
        """Do one thing that the engine asked for."""
        able: dict[str, Callable[..., dict[str, Any]]] = {
            "spawn": self._spawn, "stop": self._stop, "is_alive": self._is_alive, "imageio": self._steer_imageio,
            "freeze": self._freeze, "thaw": self._thaw,
        }  # fmt: skip
        return able[wish.pop("do")](**wish)

    def _spawn(self, name: str, command: Sequence[str]) -> dict[str, Any]:
        with self._lock:
            old = self._processes.get(name)
            if old is not None and old.poll() is None:
                return {"pid": old.pid}
            with (self._logs / f"{name}.log").open("ab") as log:
                made = start_bound(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            self._processes[name] = made
            return {"pid": made.pid}

    def _stop(self, name: str, kill: bool = False) -> dict[str, Any]:
        with self._lock:
            process = self._processes.pop(name, None)
        if process is not None:
            end(process, kill=kill)
        return {}

    def _is_alive(self, name: str) -> dict[str, Any]:
        with self._lock:
            process = self._processes.get(name)
            alive = process is not None and process.poll() is None
            if process is not None and not alive:
                del self._processes[name]
        log = self._logs / f"{name}.log"
        return {"alive": alive, "log": log.read_text(errors="replace")[-2000:] if log.exists() else ""}

    def _steer_imageio(self, action: str) -> dict[str, Any]:
        with self._imageio_lock:
            if action in ("kill", "restart"):
                self.imageio.kill()
            if action in ("start", "restart"):
                self.imageio.start()
        return {"port": self.imageio.port, "pid": self.imageio.pid}

    def _freeze(self, vm: str) -> dict[str, Any]:
        if vm in self.guests:
            self.guests[vm].freeze()
        return {}

    def _thaw(self, vm: str) -> dict[str, Any]:
        if vm in self.guests:
            self.guests[vm].thaw()
        return {}

    def kill_all(self) -> None:
        """Kill -9 everything, as a host that loses power does."""
        with self._lock:
            for process in self._processes.values():
                end(process, kill=True)
            self._processes.clear()

    def pids(self) -> dict[str, int]:
        """Name the processes that run."""
        with self._lock:
            return {name: one.pid for name, one in self._processes.items() if one.poll() is None}

    def close(self) -> None:
        """Stop everything the way that lets qemu store its bitmaps."""
        self._server.shutdown()
        self._server.server_close()
        with self._lock:
            for process in self._processes.values():
                process.terminate()
            for process in self._processes.values():
                end(process)
            self._processes.clear()
        self._thread.join()


def end(process: subprocess.Popen[bytes], *, kill: bool = False) -> None:
    """Stop a child and wait for it."""
    process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class AgentClient:
    """How the engine talks to the agent."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def ask(self, do: str, **wish: Any) -> dict[str, Any]:
        """Ask for one thing."""
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as stream:
            stream.settimeout(120)
            stream.connect(str(self._path))
            stream.sendall(json.dumps({"do": do, **wish}).encode() + b"\n")
            with stream.makefile("rb") as lines:
                answer: dict[str, Any] = json.loads(lines.readline())
        if "error" in answer:
            raise RuntimeError(f"the host's agent could not {do}: {answer['error']}")
        return answer


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, agent: HostAgent) -> None:
        self.agent = agent
        super().__init__(str(agent.socket), _Handler)


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        line = self.rfile.readline()
        if not line:
            return
        try:
            answer = self.server.agent.answer(json.loads(line))
        except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        with contextlib.suppress(OSError):  # the engine was killed meanwhile
            self.wfile.write(json.dumps(answer).encode() + b"\n")
