"""A mail server and a web hook on loopback that keep what they are told."""

from __future__ import annotations

import base64
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class WebHook(ThreadingHTTPServer):
    """Takes JSON, at any path."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _WebHookHandler)
        self.told: list[dict[str, Any]] = []
        self.paths: list[str] = []


class _WebHookHandler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, WebHook)
        self.server.paths.append(self.path)
        self.server.told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *said: Any) -> None:
        pass


class MailServer(socketserver.ThreadingTCPServer):
    """Speaks as much SMTP as a client needs that logs in (RFC 5321, RFC 4954)."""

    daemon_threads = True

    def __init__(self, user: str, password: str) -> None:
        super().__init__(("127.0.0.1", 0), _MailHandler)
        self.login = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        self.mails: list[EmailMessage] = []

    @property
    def server_port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])


class _MailHandler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self._say("220 sink")
        known = False
        for raw in iter(self.rfile.readline, b""):
            line = raw.decode().strip()
            verb = line[:4].upper()
            if verb in ("EHLO", "HELO"):
                self._say("250-sink", "250 AUTH PLAIN")
            elif verb == "AUTH":
                known = line.split()[-1] == self._server.login
                self._say("235 in" if known else "535 wrong user or password")
            elif verb == "QUIT":
                self._say("221 bye")
                return
            elif verb == "DATA" and known:
                self._take()
            else:
                self._say("250 yes" if known else "530 log in first")

    def _take(self) -> None:
        self._say("354 go on")
        lines = list(iter(self.rfile.readline, b".\r\n"))
        mail = message_from_bytes(b"".join(lines), policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self._server.mails.append(mail)
        self._say("250 taken")

    def _say(self, *lines: str) -> None:
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())

    @property
    def _server(self) -> MailServer:
        assert isinstance(self.server, MailServer)
        return self.server


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    """Let a server answer for the length of a block."""
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
