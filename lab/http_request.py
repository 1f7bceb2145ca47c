"""One connection to the lab's HTTP server: requests, conditions, ranges, faults and the rate limit."""

from __future__ import annotations

import http.server
import re
import time
from typing import TYPE_CHECKING, Any

from lab.http_object import HttpObject

if TYPE_CHECKING:
    from lab.http import Fault, HttpServer

_RANGE = re.compile(r"bytes=(\d+)-(\d*)$")


class ObjectRequest(http.server.BaseHTTPRequestHandler):
    """Answers GET and HEAD of objects."""

    protocol_version = "HTTP/1.1"
    timeout = 120
    disable_nagle_algorithm = True

    @property
    def lab(self) -> HttpServer:
        """The server with its switches."""
        lab: HttpServer = self.server.lab  # type: ignore[attr-defined]
        return lab

    def handle(self) -> None:
        """Serve the connection until it ends."""
        self._free_at = time.monotonic()
        try:
            if self.lab.admit(self.request):
                super().handle()
        except OSError:
            self.close_connection = True  # the client left, or we cut it
        finally:
            self.lab.dismiss(self.request)

    def finish(self) -> None:
        """Send what is left, if somebody still listens."""
        try:
            super().finish()
        except OSError:
            self.close_connection = True

    def do_HEAD(self) -> None:
        """Say what a GET would answer."""
        self._answer()

    def do_GET(self) -> None:
        """Send the object or a range of it."""
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""

    def _answer(self) -> None:
        fault = self._count()
        if fault and fault.drop_after_bytes is not None and fault.drop_after_bytes < 0:
            self.close_connection = True
            return
        if fault and fault.status:
            self._send_empty(fault.status, fault.headers)
            return
        path = self.path.partition("?")[0]
        found = self.lab.find(path)
        if path in self.lab.redirects:
            self._send_empty(302, {"Location": self.lab.redirects[path]})
        elif refusal := self._refusal(found):
            self._send_empty(refusal)
        elif found:
            self._send_object(found, fault)

    def _count(self) -> Fault | None:
        with self.lab.lock:
            counts = self.lab.counts
            counts.requests += 1
            counts.methods.append(self.command)
            counts.headers.append(dict(self.headers.items()))
        return self.lab.next_fault()

    def _refusal(self, found: HttpObject | None) -> int | None:
        required = self.lab.required_header
        if required and self.headers.get(required[0]) != required[1]:
            return 401
        if self.command in self.lab.refused_methods:
            return 403
        if not found:
            return 404
        matches, since = self.headers.get("If-Match"), self.headers.get("If-Unmodified-Since")
        if matches and (matches != found.etag or matches.startswith("W/")):
            return 412
        return 412 if not matches and since and found.modified and since != found.modified else None

    def _send_object(self, found: HttpObject, fault: Fault | None) -> None:
        span = None if fault and fault.ignore_range else self._range(found)
        if span and span[0] >= found.size_bytes:
            self._send_empty(416, {"Content-Range": f"bytes */{found.size_bytes}"})
            return
        start, end = span or (0, found.size_bytes)
        self.send_response(206 if span else 200)
        if span:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{found.size_bytes}")
        if not (fault and fault.ignore_range):
            self.send_header("Accept-Ranges", "bytes")
        if found.etag:
            self.send_header("ETag", found.etag)
        if found.modified:
            self.send_header("Last-Modified", found.modified)
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        if self.command == "GET":
            self._send_body(found, start, end, fault)

    def _range(self, found: HttpObject) -> tuple[int, int] | None:
        match = _RANGE.match(self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        if not match or (condition and condition not in (found.etag, found.modified)):
            return None
        last = int(match.group(2)) if match.group(2) else found.size_bytes - 1
        return int(match.group(1)), min(last + 1, found.size_bytes)

    def _send_body(self, found: HttpObject, start: int, end: int, fault: Fault | None) -> None:
        sent, drop_after_bytes = 0, fault.drop_after_bytes if fault else None
        for chunk in found.read(start, end):
            if fault and drop_after_bytes is not None and sent + len(chunk) >= drop_after_bytes:
                self.wfile.write(chunk[: drop_after_bytes - sent])
                self.close_connection = True
                fault.then()
                return
            self._pace(len(chunk))
            self.wfile.write(chunk)
            sent += len(chunk)
            with self.lab.lock:
                self.lab.counts.body_bytes += len(chunk)

    def _pace(self, length: int) -> None:
        if self.lab.rate_bytes_per_s:
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + length / self.lab.rate_bytes_per_s
            time.sleep(max(0.0, self._free_at - now))

    def _send_empty(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()
