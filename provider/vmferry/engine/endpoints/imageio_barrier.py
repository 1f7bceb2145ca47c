# SPDX-License-Identifier: Apache-2.0
"""Makes a flush mean what it says, although the daemon may have died and come back in between."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Optional

from vmferry.engine.endpoints.imageio_connection import ImageioConnection
from vmferry.engine.errors import TargetLost

if TYPE_CHECKING:
    from vmferry.engine.endpoints.imageio import ImageioEndpoint


class Barrier:
    """A connection for flushing only, never opened anew while there are writes it has not flushed.

    A worker's connection that broke tells little: the daemon closes idle ones. But when THIS connection, known to work
    before the first write since the last flush, is dead at the next flush, the daemon that acknowledged those writes
    may be dead too, and a flush over a new connection would promise what nobody can keep.
    """

    def __init__(self, endpoint: ImageioEndpoint) -> None:
        self._endpoint = endpoint
        self._connection = ImageioConnection(endpoint)
        self._lock = threading.Lock()
        self._is_armed = False
        self._is_dirty = False
        self._lost: Optional[TargetLost] = None

    def arm(self) -> None:
        """Be sure that the connection works, before a write is sent."""
        if self._is_armed:
            return
        with self._lock:
            if not self._is_armed and not self._is_dirty:
                self._flush_persistently()
            self._is_armed = True

    def note_write(self) -> None:
        """A write was acknowledged."""
        self._is_dirty = True

    def flush(self) -> None:
        """Flush everything acknowledged so far, or raise `TargetLost`, from then on always."""
        with self._lock:
            if self._lost:
                raise self._lost
            was_dirty, self._is_dirty, self._is_armed = self._is_dirty, False, False
            if not was_dirty:
                self._flush_persistently()
                return
            try:
                self._connection.flush_once()
            except Exception as error:
                self._lost = self._explain(error)
                raise self._lost from error

    def _flush_persistently(self) -> None:
        while True:
            try:
                self._connection.flush_once()
            except Exception as error:
                if not self._connection.outlast(error):
                    raise
            else:
                return

    def _explain(self, error: Exception) -> TargetLost:
        why = f"answers {code}" if isinstance(code := getattr(error, "code", None), int) else "went away"
        return TargetLost(
            f"{self._endpoint.name}: the daemon {why} before it had flushed what it acknowledged",
            fix="start it again: the copy goes on from the last flush in its journal",
        )

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
