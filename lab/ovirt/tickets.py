"""Tickets of the real imageio daemon, through its control socket, as a host's agent handles them."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from pathlib import Path
from typing import Any


class TicketError(RuntimeError):
    """The daemon refused, or it is not there."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"imageio: {status} {text}")
        self.status = status


class Tickets:
    """Adds, asks for, extends and removes tickets."""

    def __init__(self, control: Path) -> None:
        self._control = control
        self.issued: list[str] = []
        """All there ever were, for tests that look for them where they should not be."""

    def add(self, ticket: dict[str, Any]) -> None:
        """Let clients reach something."""
        self.issued.append(ticket["uuid"])
        self._call("PUT", ticket["uuid"], ticket)

    def get(self, ticket_id: str) -> dict[str, Any]:
        """Return idle time, connections, bytes transferred ..."""
        found: dict[str, Any] = json.loads(self._call("GET", ticket_id))
        return found

    def extend(self, ticket_id: str, timeout_s: int) -> None:
        """Put its end off."""
        self._call("PATCH", ticket_id, {"timeout": timeout_s})

    def remove(self, ticket_id: str) -> None:
        """Cancel it; raises with status 409 while a client stays connected."""
        self._call("DELETE", ticket_id)

    def _call(self, method: str, ticket_id: str, body: dict[str, Any] | None = None) -> bytes:
        with contextlib.closing(_UnixConnection(self._control)) as connection:
            try:
                connection.request(method, f"/tickets/{ticket_id}", body=json.dumps(body) if body else None)
                response = connection.getresponse()
                answer = response.read()
            except (OSError, http.client.HTTPException) as error:
                raise TicketError(0, f"{method} ticket: the daemon does not answer: {error}") from None
        if response.status >= 300:
            raise TicketError(response.status, answer.decode(errors="replace"))
        return answer


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
