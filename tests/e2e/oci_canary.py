"""A canary for names: whatever shell, on the host or in a worker, expands one of them calls here."""

from __future__ import annotations

import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Canary:
    """Hears a command that a name holds; workers share the loopback of this machine, so theirs as well."""

    def __init__(self, port: int, heard: list[str]) -> None:
        self.command = f"curl -s --noproxy 127.0.0.1 -A heard 127.0.0.1:{port}"
        """What a name holds; it has no character in it that a name may not have, nor a slash."""
        self._heard = heard

    def heard(self) -> int:
        """Count the calls so far."""
        return len(self._heard)

    def prove(self, name: str, *, inside: int | None = None) -> None:
        """Let a shell expand a name, here or in the namespaces of a process, to see that it would be heard."""
        way = ["nsenter", "--target", str(inside), "--mount", "--pid"] if inside is not None else []
        before = self.heard()
        subprocess.run([*way, "sh", "-c", f"true {name}"], capture_output=True, timeout=60, check=False)
        if self.heard() == before:
            raise AssertionError(f"a shell expanded {name!r}, and nobody heard of it")
        del self._heard[before:]


@contextmanager
def canary() -> Iterator[Canary]:
    """Listen for the length of a block."""
    heard: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            heard.append(self.rfile.readline(4096).decode(errors="replace"))
            self.wfile.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Handler) as server:
        address: Any = server.server_address
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield Canary(address[1], heard)
        finally:
            server.shutdown()
