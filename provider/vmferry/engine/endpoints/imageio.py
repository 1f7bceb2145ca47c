# SPDX-License-Identifier: Apache-2.0
"""A disk of an oVirt transfer, through the ovirt-imageio daemon of a host.

`ovirt_imageio` is GPL-2.0-or-later, so it is imported here only, inside a function and only when such a disk is opened
(docs/adr/0001).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from typing import Any, Callable, Optional, TypeVar

from vmferry.engine.endpoint import Connection, EndpointSpec
from vmferry.engine.endpoints.file import too_small
from vmferry.engine.endpoints.imageio_barrier import Barrier
from vmferry.engine.endpoints.imageio_connection import ImageioConnection
from vmferry.engine.endpoints.imageio_extents import ExtentSpool
from vmferry.engine.endpoints.imageio_wire import EXTENTS_TIMEOUT_S, Abilities, ImageioWire, persist, redact
from vmferry.engine.endpoints.web import check_trust, parse_location
from vmferry.engine.endpoints.web_retry import Outage
from vmferry.engine.errors import BadInput, EngineError, SourceError, SourceLost, TargetError, TargetLost, ToolMissing
from vmferry.engine.extents import Extent
from vmferry.engine.units import MiB

RECONNECT_S = 60.0
OPENING_S = 10.0
BUFFER_BYTES = 1 * MiB

_Answer = TypeVar("_Answer")

_CHATTY = ("client", "backends.http")  # at DEBUG these loggers of ovirt_imageio write the ticket


class ImageioEndpoint:
    """One transfer. Options: tls_ca, secure, proxy_url, reconnect_s, extents_timeout_s, identity, reads_zero, label.

    A new transfer of the same disk has another URL, so a driver gives `identity` (e.g. disk and backup id) for a copy
    that is to be resumed.
    """

    def __init__(self, spec: EndpointSpec, secrets: Mapping[str, str], writable: bool) -> None:
        self._options = spec.options
        self._create_client = _load_client()
        self._closed = threading.Event()
        self._spools: dict[str, ExtentSpool] = {}
        self._spool_lock = threading.Lock()
        self._limit_s = float(spec.options.get("reconnect_s", RECONNECT_S))
        self.error_kind: type[EngineError] = TargetError if writable else SourceError
        self._lost_kind: type[EngineError] = TargetLost if writable else SourceLost
        url = secrets.get("url") or spec.address
        self.name = str(spec.options.get("label") or redact(parse_location(url)))
        proxy_url = secrets.get("proxy_url") or spec.options.get("proxy_url")
        self._wires = [self._create_wire(each) for each in (url, proxy_url) if each]
        self._abilities = self._persist(self._reach, min(OPENING_S, self._limit_s))
        if writable and not self._abilities.writable:
            raise BadInput(f"{self.name}: the transfer is only for reading", fix="open an upload transfer")
        self.size = self._persist(lambda: self._wire.read_size(), min(OPENING_S, self._limit_s))
        self.identity = f"imageio {spec.options.get('identity') or redact(self._wire.location)} size={self.size}"
        self.reads_zero = writable and bool(spec.options.get("reads_zero", False))
        self.barrier = Barrier(self)

    @property
    def _wire(self) -> ImageioWire:
        return self._wires[0]

    def _create_wire(self, url: str) -> ImageioWire:
        return ImageioWire(parse_location(url), self._options, self.name)

    def _reach(self) -> Abilities:
        """Ask the host what the transfer allows; where it cannot be reached, the proxy, and from then on only that."""
        *others, last = self._wires
        for wire in others:
            try:
                return wire.read_abilities()
            except OSError as error:
                check_trust(error, self.name)
        abilities = last.read_abilities()
        self._wires = [last]
        return abilities

    def _persist(self, ask: Callable[[], _Answer], limit_s: float) -> _Answer:
        return persist(ask, self.create_outage(limit_s), self.name, self.error_kind)

    def _lost(self, why: str) -> EngineError:
        return self._lost_kind(f"{self.name}: {why}", fix="run it again when the host is back: the copy goes on")

    @property
    def max_connections(self) -> int:
        """What the daemon takes at once."""
        return max(1, min(self._abilities.max_readers, self._abilities.max_writers))

    def extents(self, since: Optional[str] = None) -> Iterable[Extent]:
        """Stream the extents; with `since`, what the transfer's backup says has changed since its checkpoint."""
        context = "zero" if since is None else "dirty"
        with self._spool_lock:
            if context not in self._spools:
                self._spools[context] = self._fetch(since)
        return self._spools[context]

    def _fetch(self, since: Optional[str]) -> ExtentSpool:
        timeout_s = float(self._options.get("extents_timeout_s", EXTENTS_TIMEOUT_S))
        return self._persist(lambda: self._wire.fetch_extents(since, self.size, timeout_s), self._limit_s)

    def connect(self) -> Connection:
        """Open one more connection (at its first request)."""
        return ImageioConnection(self)

    def open_client(self) -> Any:
        """Connect one more `ImageioClient`."""
        return self._create_client(
            self._wire.location.url,
            cafile=self._options.get("tls_ca"),
            secure=bool(self._options.get("secure", True)),
            buffer_size=BUFFER_BYTES,
        )

    def create_outage(self, limit_s: Optional[float] = None) -> Outage:
        """Return the patience one connection has with the daemon."""
        return Outage(self._limit_s if limit_s is None else limit_s, self._closed, self._lost)

    def close(self) -> None:
        """End all waits; free the extents."""
        self._closed.set()
        self.barrier.close()
        for spool in self._spools.values():
            spool.close()
        self._spools.clear()


def open_imageio(spec: EndpointSpec, secrets: Mapping[str, str], *, writable: bool) -> ImageioEndpoint:
    """Open a transfer for reading, or also for writing."""
    return ImageioEndpoint(spec, secrets, writable)


def open_imageio_target(spec: EndpointSpec, size_bytes: int, secrets: Mapping[str, str]) -> ImageioEndpoint:
    """Open an upload transfer for an image of `size_bytes`."""
    endpoint = open_imageio(spec, secrets, writable=True)
    if endpoint.size < size_bytes:
        endpoint.close()
        raise too_small(endpoint.name, endpoint.size, size_bytes, "create a larger disk")
    return endpoint


def _load_client() -> Any:
    try:
        from ovirt_imageio.client import ImageioClient
    except ImportError as error:
        raise ToolMissing(
            "the Python package ovirt_imageio is not installed",
            fix="install airflow-provider-vmferry[ovirt]",
        ) from error
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.INFO)
    return ImageioClient
