# SPDX-License-Identifier: Apache-2.0
"""Groups commits: flush the target, then write the journal, while the other workers go on.

At most `UNCOMMITTED_BYTES` are ever on the way and not in the journal: that is what a kill can cost.
"""

from __future__ import annotations

import threading

from vmferry.engine.endpoint import Connection
from vmferry.engine.journal import Journal, ZeroRun
from vmferry.engine.proof.digests import ProofGroup
from vmferry.engine.units import MiB

UNCOMMITTED_BYTES = 64 * MiB
_FLUSH_AT_BYTES = 32 * MiB
"""Flushing early leaves room for the workers to go on while the flush runs."""


class Commits:
    """Collects what the workers finished until it is flushed and written down."""

    def __init__(self, journal: Journal, *, limit_bytes: int = UNCOMMITTED_BYTES) -> None:
        self._journal = journal
        self._limit_bytes = limit_bytes
        self._changed = threading.Condition()
        self._open_bytes = 0
        self._ready_bytes = 0
        self._ready: list[ProofGroup | ZeroRun] = []
        self._touched = False
        self._flushing = False
        self._flush_lock = threading.Lock()

    def begin(self, count: int, connection: Connection, stop: threading.Event) -> None:
        """Announce work on `count` bytes; waits (or flushes) when too much is on the way."""
        while not stop.is_set():
            with self._changed:
                if self._open_bytes + count <= self._limit_bytes or not self._open_bytes:
                    self._open_bytes += count
                    return
                if self._flushing or not self._ready:
                    self._changed.wait(0.2)
                    continue
            self.flush(connection)

    def finish(self, count: int, record: ProofGroup | ZeroRun, connection: Connection, *, touched: bool) -> None:
        """Hand in finished work; `touched` says whether the target was written to."""
        with self._changed:
            self._ready.append(record)
            self._ready_bytes += count
            self._touched |= touched
            due = self._ready_bytes >= _FLUSH_AT_BYTES and not self._flushing
        if due:
            self.flush(connection)

    def flush(self, connection: Connection) -> None:
        """Make everything handed in so far safe, and write it down."""
        with self._flush_lock:
            with self._changed:
                batch, count, touched = self._ready, self._ready_bytes, self._touched
                if not batch:
                    return
                self._ready, self._ready_bytes, self._touched = [], 0, False
                self._flushing = True
            try:
                if touched:
                    connection.flush()
                self._journal.commit(batch)
            finally:
                with self._changed:
                    self._flushing = False
                    self._open_bytes -= count
                    self._changed.notify_all()
