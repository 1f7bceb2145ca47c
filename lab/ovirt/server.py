"""HTTPS in front of the simulated engine: log-in, the API, and the hooks of the lab."""

from __future__ import annotations

import gzip
import http.server
import json
import socket
import socketserver
import ssl
import time
import traceback
import urllib.parse
import xml.etree.ElementTree as ET
from typing import Any

from lab.ovirt import api  # noqa: F401 - registers the routes
from lab.ovirt.engine import Engine
from lab.ovirt.faults import Rule
from lab.ovirt.router import Refusal, Reply, Request, dispatch
from lab.ovirt.sim import answer_hook
from lab.ovirt.sso import Tokens
from lab.ovirt.xml import BASE, encode, tag

HTML_503 = (
    '<!DOCTYPE HTML PUBLIC "-//IETF//DTD HTML 2.0//EN">\n<html><head>\n<title>503 Service Unavailable</title>\n'
    "</head><body>\n<h1>Service Unavailable</h1>\n<p>The server is temporarily unable to service your\nrequest due to "
    "maintenance downtime or capacity\nproblems. Please try again later.</p>\n</body></html>\n"
)
HTML_401 = "<html><head><title>Error</title></head><body>Unauthorized</body></html>"


class HttpsServer(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Listens on loopback."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, engine: Engine, context: ssl.SSLContext, port: int) -> None:
        self.engine = engine
        self.tokens = Tokens(engine)
        self._context = context
        super().__init__(("127.0.0.1", port), _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept; the handshake is left to the client's own thread."""
        connection, address = self.socket.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wrapped = self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return wrapped, address

    def server_bind(self) -> None:
        """Bind without asking a name server who we are."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HttpsServer
    timeout = 120
    _sent = 0
    """Bytes of the last answer, as they went over the wire."""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        """The calls are kept for /_sim/log instead."""

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urllib.parse.urlsplit(self.path)
        if parts.path.startswith("/_sim/"):
            self._answer_hook(parts.path, body)
            return
        rule = self.server.engine.faults.take_call(self.command, parts.path, parts.query, body.decode(errors="replace"))
        note = {"time": time.time(), "method": self.command, "path": parts.path, "query": parts.query}
        if not parts.path.endswith("/token"):
            note["body"] = body.decode(errors="replace")[:4000]
        self.server.engine.calls.append(note)
        try:
            note["status"] = self._answer_with_fault(rule, parts, body)
            note["bytes"] = self._sent
        finally:
            # It was done, but nobody was there any more to be told.
            note.setdefault("status", 0)
        if rule is not None:
            note["fault"] = rule.action

    def _answer_with_fault(self, rule: Rule | None, parts: urllib.parse.SplitResult, body: bytes) -> int:
        action = rule.action if rule else ""
        if rule is not None and action == "delay":
            time.sleep(float(rule.value))
        if action == "drop":
            self.close_connection = True
            return 0
        if rule is not None and action in ("html503", "status", "401", "409"):
            return self._send_fault(rule)
        if rule is not None and action not in ("delay", "lose_answer", "malformed"):
            self.server.engine.act(rule)
        status, kind, content = self._handle(parts, body)
        if action == "lose_answer":
            self.close_connection = True
            return 0
        if action == "malformed":
            content = content[: len(content) // 2]
        self._send(status, kind, content)
        return status

    def _send_fault(self, rule: Rule) -> int:
        if rule.action == "html503":
            self._send(503, "text/html; charset=iso-8859-1", HTML_503.encode())
            return 503
        if rule.action == "401":
            self.server.tokens.forget_all()
            self._send(401, "text/html;charset=UTF-8", HTML_401.encode())
            return 401
        status = 409 if rule.action == "409" else int(rule.value)
        self._send(status, "application/xml;charset=UTF-8", encode(_fault(Refusal(status, rule.detail))))
        return status

    def _handle(self, parts: urllib.parse.SplitResult, body: bytes) -> tuple[int, str, bytes]:
        path = parts.path
        if path.startswith("/ovirt-engine/sso/"):
            status, answer = self.server.tokens.log_in(body.decode())
            return status, "application/json", json.dumps(answer).encode()
        if path == "/ovirt-engine/services/sso-logout":
            self.server.tokens.log_out(body.decode())
            return 200, "application/json", b"{}"
        if path == "/ovirt-engine/services/pki-resource":
            return 200, "application/x-x509-ca-cert", self.server.engine.settings.ca.read_bytes()
        if path == BASE or path.startswith(BASE + "/"):
            return self._handle_api(parts, body)
        return 404, "text/html", b"<html><body>Not Found</body></html>"

    def _handle_api(self, parts: urllib.parse.SplitResult, body: bytes) -> tuple[int, str, bytes]:
        user = self.server.tokens.user_of(self.headers.get("Authorization") or "")
        if user is None:
            return 401, "text/html;charset=UTF-8", HTML_401.encode()
        engine = self.server.engine
        try:
            request = self._request(parts, body, user)
            with engine.lock:
                engine.begin_call(request.correlation, user)
                found = dispatch(engine, request)
                reply = found if isinstance(found, Reply) else Reply(found)
                content = encode(reply.body)
                if request.method != "GET":
                    engine.save()
            return reply.status, "application/xml;charset=UTF-8", content
        except Refusal as refusal:
            return refusal.status, "application/xml;charset=UTF-8", encode(_fault(refusal))
        except Exception as error:  # noqa: BLE001 - a border: the caller gets an answer whatever is wrong here
            traceback.print_exc()
            fault = _fault(Refusal(500, f"[Internal Engine Error: {error}]"))
            return 500, "application/xml;charset=UTF-8", encode(fault)

    def _request(self, parts: urllib.parse.SplitResult, body: bytes, user: str) -> Request:
        query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            element = ET.fromstring(body) if body.strip() else tag("empty")
        except ET.ParseError as error:
            raise Refusal(400, f"The request cannot be parsed: {error}", "Malformed XML") from None
        path = urllib.parse.unquote(parts.path[len(BASE) :]).rstrip("/")
        correlation = query.get("correlation_id") or headers.get("correlation-id") or ""
        return Request(self.command, path, query, headers, element, user, correlation)

    def _answer_hook(self, path: str, body: bytes) -> None:
        status, answer = answer_hook(self.server.engine, self.server.tokens, path[len("/_sim/") :], body)
        self._send(status, "application/json", json.dumps(answer).encode())

    def _send(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        if len(content) > 1024 and "gzip" in (self.headers.get("Accept-Encoding") or ""):
            content = gzip.compress(content, 1)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="RESTAPI"')
        self.end_headers()
        self.wfile.write(content)
        self._sent = len(content)


def _fault(refusal: Refusal) -> ET.Element:
    return tag("fault", detail=refusal.detail, reason=refusal.reason)
