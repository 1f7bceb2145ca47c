# SPDX-License-Identifier: Apache-2.0
"""An export of an NBD server as an endpoint."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from vmferry.engine.endpoints.nbd import ranges
from vmferry.engine.endpoints.nbd.connection import NbdConnection
from vmferry.engine.endpoints.nbd.link import Link, Reach
from vmferry.engine.endpoints.nbd.protocol import CAN_MULTI_CONN, READ_ONLY
from vmferry.engine.endpoints.nbd.session import ServerRefused
from vmferry.engine.errors import SourceLost, TargetLost, Unreadable
from vmferry.engine.extents import Extent

_CONNECTIONS = 16
_EXTRA_HANDSHAKE_S = 5.0


class NbdEndpoint:
    """All connections to one export. Breaks are survived; see `link` for what a flush then means."""

    def __init__(self, reach: Reach, *, identity: str = "", overwrites: bool = True) -> None:
        self._reach = reach
        self._overwrites = overwrites
        self._links: list[Link] = []
        self._lent: set[Link] = set()
        self._lock = threading.Lock()
        self._flush_lock = threading.Lock()
        self._main = self._add_link()
        try:
            export = self._main.export
            if reach.writable and export.can(READ_ONLY):
                raise Unreadable(f"{self.name}: the server exports it read-only", fix="start the server writable")
            self.size = export.size
            self.max_connections = _CONNECTIONS if export.can(CAN_MULTI_CONN) else 1
            self.identity = identity or f"{self.name} size={self.size}"
            self.reads_zero = reach.writable and all(extent.zero for extent in self.extents())
        except BaseException:
            self.close()
            raise

    @property
    def name(self) -> str:
        """The address."""
        return self._reach.address.label

    def extents(self, since: str | None = None) -> Iterator[Extent]:
        """Stream data and zero ranges, or what the dirty bitmap `since` has."""
        if since is None:
            return ranges.allocation(self._main, self.size)
        return ranges.dirty(self._main, self.size, since)

    def allocated_extents(self, depth: int = 1) -> Iterator[Extent]:
        """Stream what is in the layer `depth` of a chain of images (1: the topmost), split into data and zero."""
        return ranges.at_depth(self._main, self.size, depth)

    def connect(self) -> NbdConnection:
        """Give the connection that is open already, or one more.

        A server takes as many clients as it was started for and lets the next one wait without a word. Then a
        connection is shared: slower, and right.
        """
        with self._lock:
            if self._main not in self._lent:
                self._lent.add(self._main)
                return self._lend(self._main)
            if len(self._links) >= self.max_connections:
                return self._lend(self._main)
        try:
            return self._lend(self._add_link(_EXTRA_HANDSHAKE_S))
        except (SourceLost, TargetLost):
            self.max_connections = len(self._links)
            return self._lend(self._main)

    def give_back(self, link: Link) -> None:
        """Take a connection back; extents still use the first one."""
        with self._lock:
            self._lent.discard(link)
            if link is self._main or link not in self._links:
                return
        with contextlib.suppress(ServerRefused, TargetLost):
            link.flush(always=False)  # nobody else would; a failure shows at the endpoint's next flush
        link.close()
        with self._lock:
            self._links.remove(link)

    def flush(self, asking: Link) -> None:
        """Flush what was written over any link; see `link` for why the oldest one is enough as long as it held."""
        with self._flush_lock:
            with self._lock:
                marks = [(link, link.mark()) for link in self._links if link is not self._main]
            self._main.flush(always=True)
            for link, mark in marks:
                if self._main.was_reopened:
                    link.flush(always=link is asking)
                else:
                    link.settle(mark)
            self._reach.refuse_doubt()

    def close(self) -> None:
        """Close all connections."""
        self._reach.closed.set()
        with self._lock:
            links, self._links = self._links, []
        for link in links:
            link.close()

    def _lend(self, link: Link) -> NbdConnection:
        return NbdConnection(self.name, link, flush=self.flush, give_back=self.give_back, overwrites=self._overwrites)

    def _add_link(self, handshake_timeout_s: float | None = None) -> Link:
        link = Link(self._reach)
        link.open(handshake_timeout_s)
        with self._lock:
            self._links.append(link)
        return link
