# SPDX-License-Identifier: Apache-2.0
"""A way to an NBD server that outlives its sockets: breaks, comes back, and remembers what was lost by that.

Reads, writes and zeroing may be repeated, so a request that got no answer is sent again over a new socket. What
cannot be repeated from here are writes that the server had acknowledged but not flushed: when a server dies and is
started again, they may be gone, and a flush of the NEW server says nothing about them. Hence one rule:

    a link whose socket broke while it had acknowledged, unflushed writes makes every later flush of the endpoint
    raise `TargetLost`; the copy is then resumed from its journal, which knows only flushed writes.

One link can vouch for all others only if it is the oldest and its socket never broke: then its server has been there
all the time, and every other link led to it. Only that one is flushed, and the others write on meanwhile. Once it has
been opened again, a flush goes over every link that wrote; each either reaches the server that took the writes or
finds its socket broken.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from vmferry.engine.endpoints.nbd.address import NbdAddress
from vmferry.engine.endpoints.nbd.handshake import Export, SessionBroken
from vmferry.engine.endpoints.nbd.protocol import BASE_ALLOCATION, SEND_FLUSH
from vmferry.engine.endpoints.nbd.session import Session
from vmferry.engine.errors import BadInput, EngineError, SourceChanged, SourceLost, TargetLost

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0
_T = TypeVar("_T")


@dataclass
class Reach:
    """How to get to the server, shared by all links of an endpoint."""

    address: NbdAddress
    writable: bool
    """Says whether it is the source or the target that is lost."""
    timeout_s: float = 60
    """Without an answer for so long, a socket counts as broken."""
    reconnect_s: float = 60
    """For so long a link tries to come back."""
    contexts: list[str] = field(default_factory=lambda: [BASE_ALLOCATION])
    """What new sessions ask the server to report. Grows when somebody asks for a bitmap."""
    size: int | None = None
    """Known after the first session; a server that comes back with another size is another disk."""
    writes_in_doubt: threading.Event = field(default_factory=threading.Event)
    """Set when acknowledged writes may have been lost."""
    closed: threading.Event = field(default_factory=threading.Event)
    """Set when the endpoint is closed: nobody waits for the server any more."""
    why: Callable[[], str] = lambda: ""
    """What else is known about a server that is gone, e.g. its last words."""

    def refuse_doubt(self) -> None:
        """Raise when acknowledged writes may have been lost."""
        if self.writes_in_doubt.is_set():
            what = f"{self.address.label}: the server went away and came back; writes it had not flushed may be lost"
            raise TargetLost(what, fix="resume the copy: it goes on from the journal's last commit")

    def lost(self, broken: Exception) -> EngineError:
        """Say that the server is gone."""
        words = self.why()
        what = f"{self.address.label}: the connection broke and did not come back: {broken}"
        kind = TargetLost if self.writable else SourceLost
        return kind(f"{what} ({words})" if words else what, fix="check that the server runs, then resume the copy")


class Link:
    """One connection for one thread at a time; others may use it in between, each call is one whole request."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._lock = threading.RLock()
        self._session: Session | None = None
        self._acknowledged = 0
        self._flushed = 0
        self.was_reopened = False

    @property
    def export(self) -> Export:
        """What the server said about the export when this link was last opened."""
        with self._lock:
            return self._live().export

    def open(self, handshake_timeout_s: float | None = None) -> None:
        """Connect once, without patience: at the start a server that is not there is rather a wrong address."""
        with self._lock:
            try:
                self._session = self._dial(handshake_timeout_s)
            except SessionBroken as broken:
                kind = TargetLost if self._reach.writable else SourceLost
                words = self._reach.why() or str(broken)
                raise kind(f"{self._reach.address.label}: {words}", fix="check that the server runs") from broken

    def call(self, request: Callable[[Session], _T]) -> _T:
        """Make one request; over a new socket when the old one breaks."""
        with self._lock:
            give_up_at: float | None = None
            while True:
                try:
                    return request(self._live())
                except SessionBroken as broken:
                    self._drop()
                    give_up_at = give_up_at or time.monotonic() + self._reach.reconnect_s
                    self._come_back(give_up_at, broken)

    def write(self, request: Callable[[Session], None]) -> None:
        """Make a request that changes the export."""
        with self._lock:
            self.call(request)
            self._acknowledged += 1

    def flush(self, *, always: bool) -> None:
        """Flush over this link when it wrote since its last flush, or `always`."""
        with self._lock:
            if (always or self._unflushed) and self.export.can(SEND_FLUSH):
                self.call(Session.flush)
            self._flushed = self._acknowledged

    def mark(self) -> int:
        """Say how many writes have been acknowledged so far."""
        return self._acknowledged

    def settle(self, mark: int) -> None:
        """Learn that the writes up to a mark were flushed over another link."""
        self._flushed = max(self._flushed, mark)

    @property
    def _unflushed(self) -> bool:
        return self._acknowledged > self._flushed

    def learn(self, context: str) -> None:
        """Make sure that the server reports this context over this link."""
        with self._lock:
            if context in self.export.contexts.values():
                return
            if context not in self._reach.contexts:
                self._reach.contexts.append(context)
            self.flush(always=False)
            self.close()
            self.call(lambda session: None)
            if context not in self.export.contexts.values():
                self._reach.contexts.remove(context)
                raise BadInput(f"{self._reach.address.label}: the server does not know {context}", fix="check its name")

    def close(self) -> None:
        """Close the socket; the next call opens one again. Writes nobody flushed are in doubt from then on."""
        with self._lock:
            if self._session is not None:
                self._session.close()
                self._session = None
                self.was_reopened = True
            if self._unflushed:
                self._reach.writes_in_doubt.set()

    def _live(self) -> Session:
        if self._session is None:
            self._session = self._dial()
        return self._session

    def _drop(self) -> None:
        if self._session is not None:
            self._session.close(politely=False)
            self._session = None
        if self._unflushed:
            self._reach.writes_in_doubt.set()

    def _come_back(self, give_up_at: float, broken: SessionBroken) -> None:
        pause_s = _FIRST_PAUSE_S
        while time.monotonic() < give_up_at:
            if self._reach.closed.wait(min(pause_s, max(give_up_at - time.monotonic(), 0))):
                break
            try:
                self._session = self._dial()
                self.was_reopened = True
            except (SessionBroken, BadInput) as error:  # BadInput: a server that does not have its exports yet
                broken = error if isinstance(error, SessionBroken) else SessionBroken(str(error))
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            else:
                return
        raise self._reach.lost(broken) from broken

    def _dial(self, handshake_timeout_s: float | None = None) -> Session:
        reach = self._reach
        session = Session(reach.address, reach.contexts, reach.timeout_s, handshake_timeout_s)
        if reach.size is None:
            reach.size = session.export.size
        elif reach.size != session.export.size:
            session.close()
            what = f"{reach.address.label}: the server came back with {session.export.size} bytes, was {reach.size}"
            raise (TargetLost if reach.writable else SourceChanged)(what, fix="check what the server exports")
        return session
