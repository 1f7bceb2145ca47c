"""HTTPS in front of the simulated site: signatures, faults, the API, and the hooks of the lab."""

from __future__ import annotations

import contextlib
import http.server
import json
import secrets
import socket
import socketserver
import ssl
import time
import traceback
import urllib.parse
from typing import Any

from lab.oci import api  # noqa: F401 - registers the routes
from lab.oci.contents import change
from lab.oci.faults import CODES, Rule
from lab.oci.links import follow_link, object_of, open_link
from lab.oci.metadata import answer_federation
from lab.oci.router import Refusal, Reply, Request, dispatch, find_route
from lab.oci.signature import verify
from lab.oci.sim import answer_hook
from lab.oci.site import Site

CHUNK_BYTES, SLOW_CHUNK_BYTES = 1 << 20, 64 << 10
MAX_JSON_BYTES = 8 << 20
FEDERATION = "/v1/x509"


class HttpsServer(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Listens on loopback."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, site: Site, context: ssl.SSLContext, port: int) -> None:
        self.site = site
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


class Cut(Exception):
    """The connection ends here."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HttpsServer
    timeout = 120
    _sent_bytes = 0
    """Of the object that is just now sent."""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
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
        parts = urllib.parse.urlsplit(self.path)
        with contextlib.suppress(Cut, OSError):
            if parts.path.startswith("/_sim/"):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, answer = answer_hook(self.server.site, parts.path[len("/_sim/") :], body)
                self._send(Reply(answer, status))
                return
            self._check_cut()
            self._answer_call(parts)
            return
        self.close_connection = True

    def _answer_call(self, parts: urllib.parse.SplitResult) -> None:
        site = self.server.site
        request = self._read(parts)
        text = request.raw.decode(errors="replace")
        rule = site.faults.take_call(self.command, parts.path, parts.query, text)
        note: dict[str, Any] = {"time": time.time(), "method": self.command, "path": parts.path, "query": parts.query}
        note.update(body=text[:4000], fault=rule.action if rule else None)
        site.calls.append(note)
        if rule and rule.action == "drop":
            raise Cut
        reply = self._handle(request, rule)
        note["status"] = reply.status
        if request.principal:
            note["principal"] = request.principal.id
        if rule and rule.action == "lose_answer":
            raise Cut
        self._sent_bytes = 0
        try:
            self._send(reply, rule)
        finally:
            if reply.file:
                note.update(start=reply.file[1], sent_bytes=self._sent_bytes)

    def _read(self, parts: urllib.parse.SplitResult) -> Request:
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        length = int(headers.get("content-length") or 0)
        request = Request(self.command, urllib.parse.unquote(parts.path), query, headers, length=length)
        found = find_route(self.command, follow_link(request.path))
        if found and found[0].streams:
            request.stream = self.rfile
            self.close_connection = True  # unless the body is read to its end
        elif length > MAX_JSON_BYTES:
            self.close_connection = True
        else:
            request.raw = self.rfile.read(length)
        return request

    def _handle(self, request: Request, rule: Rule | None) -> Reply:
        try:
            if rule and rule.action == "delay":
                time.sleep(float(rule.value))
            if rule and rule.action == "status":
                status = int(rule.value)
                raise Refusal(status, rule.code or CODES.get(status, "InternalServerError"), rule.message)
            if rule and rule.action == "change_object":
                bucket, name = object_of(follow_link(request.path))
                change(self.server.site, bucket, name)
            reply = self._route(request)
            if request.stream is not None and request.length == 0:
                self.close_connection = False
            return reply
        except Refusal as refusal:
            self._drain(request)
            body = {"code": refusal.code, "message": refusal.message} if refusal.status != 304 else None
            return Reply(body, refusal.status)
        except (Cut, OSError):
            raise
        except Exception as error:  # noqa: BLE001 - a border: the caller gets an answer whatever is wrong here
            traceback.print_exc()
            return Reply({"code": "InternalServerError", "message": f"[simulator failed: {error!r}]"}, 500)

    def _drain(self, request: Request) -> None:
        """Read a body that nobody wants, so that its sender gets to hear why; a long one is not waited for."""
        if request.stream is not None and request.length <= MAX_JSON_BYTES:
            request.stream.read(request.length)
            self.close_connection = False

    def _route(self, request: Request) -> Reply:
        site = self.server.site
        if request.path.startswith("/p/"):
            request.principal = open_link(site, request)
        else:
            body = None if request.stream is not None else request.raw
            needs_host = request.path != FEDERATION
            find_key = site.principals.find_key
            request.principal = verify(self.command, self.path, request.headers, body, find_key, needs_host=needs_host)
        if request.raw and "json" in request.headers.get("content-type", "json"):
            request.body = _parse(request.raw)
        if request.path == FEDERATION:
            return answer_federation(site, request)
        found = find_route(self.command, request.path)
        if found is None:
            raise Refusal(404, "NotFound", f"{self.command} {request.path} [simulator: not there]")
        return dispatch(site, request, *found)

    def _check_cut(self) -> None:
        settings = self.server.site.settings
        while settings["cut_until"] > time.time():
            if not settings["cut_hangs"]:
                raise Cut
            time.sleep(0.05)

    def _send(self, reply: Reply, rule: Rule | None = None) -> None:
        content = b"" if reply.body is None else json.dumps(reply.body).encode()
        if rule and rule.action == "malformed":
            content = content[: len(content) // 2]
        length = reply.file[2] - reply.file[1] if reply.file else len(content)
        self.send_response(reply.status)
        asked = self.headers.get("opc-request-id")
        self.send_header("opc-request-id", "/".join(filter(None, (asked, secrets.token_hex(16).upper()))))
        if reply.body is not None:
            self.send_header("Content-Type", "application/json")
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status != 204 and "content-length" not in reply.headers:
            self.send_header("Content-Length", str(length))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "HEAD":
            return
        if reply.file:
            self._send_file(*reply.file, rule)
        else:
            self.wfile.write(content)

    def _send_file(self, file: Any, start: int, end: int, rule: Rule | None) -> None:
        with file:
            file.seek(start)
            began, sent, total, cuts = time.monotonic(), 0, end - start, self.server.site.cuts
            step = SLOW_CHUNK_BYTES if rule and rule.action == "slow" else CHUNK_BYTES
            while sent < total:
                chunk = file.read(min(step, total - sent))
                if rule and rule.action == "cut_body" and sent + len(chunk) > int(rule.value):
                    self.wfile.write(chunk[: max(0, int(rule.value) - sent)])
                    raise Cut
                self._check_cut()
                if cuts != self.server.site.cuts and not self.server.site.settings["cut_hangs"]:
                    raise Cut  # it was cut since, if only for a moment
                self.wfile.write(chunk)
                sent += len(chunk)
                self._sent_bytes = sent
                if not chunk:
                    raise Cut
                if rule and rule.action == "slow":
                    time.sleep(max(0.0, began + sent / float(rule.value) - time.monotonic()))


def _parse(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise Refusal(400, "CannotParseRequest", f"The request is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise Refusal(400, "CannotParseRequest", "The request is not a JSON object")
    return body
