# SPDX-License-Identifier: Apache-2.0
"""An object on a web server or in an object storage, read in ranges over several connections."""

from __future__ import annotations

import http.client
import ssl
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Optional

from vmferry.engine.endpoint import Connection, EndpointSpec
from vmferry.engine.endpoints.http_answer import Version, changed
from vmferry.engine.endpoints.http_connection import HttpConnection
from vmferry.engine.endpoints.http_probe import probe
from vmferry.engine.endpoints.web import Location, create_client, create_tls_context, parse_headers, parse_location
from vmferry.engine.endpoints.web_retry import Outage
from vmferry.engine.errors import BadInput, SourceLost
from vmferry.engine.extents import Extent
from vmferry.engine.units import GiB

RECONNECT_S = 60.0
OPENING_S = 10.0
"""At the start nobody has lost anything yet: a wrong host name should not take a minute."""
TIMEOUT_S = 30.0
MAX_CONNECTIONS = 16


class HttpEndpoint:
    """One version of an object; every request says which one, so a replaced object is an error, never a mixture."""

    def __init__(self, spec: EndpointSpec, secrets: Mapping[str, str]) -> None:
        # A pre-signed URL is a secret as a whole: it comes beside the spec, whose address is then only a name.
        self._first = parse_location(secrets.get("url") or spec.address)
        self.name = self._first.name
        self.max_connections = int(spec.options.get("max_connections", MAX_CONNECTIONS))
        self._headers = parse_headers(secrets)
        self._reconnect_s = float(spec.options.get("reconnect_s", RECONNECT_S))
        self._timeout_s = float(spec.options.get("timeout_s", TIMEOUT_S))
        self._options = spec.options
        self._context: Optional[ssl.SSLContext] = None
        self._closed = threading.Event()
        self.location, self.version = self._probe()

    @property
    def size(self) -> int:
        """Bytes of the object."""
        return self.version.size_bytes

    @property
    def identity(self) -> str:
        """Path and version of the object; without the query, which a new signature changes."""
        return f"http {self._first.host}{self._first.path} {self.version.text}"

    @property
    def reads_zero(self) -> bool:
        """A source only."""
        return False

    def extents(self, since: Optional[str] = None) -> Iterable[Extent]:
        """Everything is data: a web server knows nothing of holes."""
        if since is not None:
            raise BadInput(f"{self.name}: a web server does not know what changed since {since}")
        return self._pieces()

    def _pieces(self) -> Iterator[Extent]:
        for start in range(0, self.size, GiB):
            yield Extent(start, min(GiB, self.size - start), False)

    def connect(self) -> Connection:
        """Open one more connection (at its first request)."""
        return HttpConnection(self)

    def close(self) -> None:
        """Wake up and end whoever waits for the server."""
        self._closed.set()

    def create_client(self, location: Location) -> http.client.HTTPConnection:
        """Return a client for a location."""
        if location.scheme == "https" and self._context is None:
            self._context = create_tls_context(self._options, self.name)
        return create_client(location, self._context, self._timeout_s)

    def headers_for(self, location: Location) -> dict[str, str]:
        """Return the headers of a request; the secret ones go only to the host they were given for."""
        common = {"Accept-Encoding": "identity", "User-Agent": "vmferry"}
        return {**common, **self._headers} if location.origin == self._first.origin else common

    def create_outage(self, limit_s: Optional[float] = None) -> Outage:
        """Return the patience one connection has with the server."""
        return Outage(self._reconnect_s if limit_s is None else limit_s, self._closed, self._lost)

    def find_again(self) -> None:
        """Ask the first location once more where the object is: what a redirect led to may have expired."""
        location, version = self._probe()
        if not self.version.is_same(version):
            raise changed(self.name)
        self.location = location

    @property
    def was_redirected(self) -> bool:
        """True when ranges are not read from where the URL points."""
        return self.location != self._first

    def _probe(self) -> tuple[Location, Version]:
        return probe(self, self._first, self.create_outage(min(OPENING_S, self._reconnect_s)))

    def _lost(self, why: str) -> SourceLost:
        return SourceLost(f"{self.name}: {why}", fix="run it again when the server is back: the copy goes on")


def open_http_source(spec: EndpointSpec, secrets: Mapping[str, str]) -> HttpEndpoint:
    """Open an object for reading; raises `BadInput` where the server cannot serve ranges of it."""
    return HttpEndpoint(spec, secrets)
