# SPDX-License-Identifier: Apache-2.0
"""The last decoded groups of a stream, kept for workers that come a little later than others."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Optional

WINDOW_GROUPS = 8
FAR_GROUPS = 64
"""Nobody is so far behind: what lies further back than this was skipped on purpose (a resumed copy)."""
GRACE_S = 1.0
"""How long a group that nobody asked for yet is kept; a worker's way from taking a group to asking for it."""


class StreamWindow:
    """Bounded; a group that was never asked for is dropped last, because losing it costs a whole new pass."""

    def __init__(self) -> None:
        self._groups: OrderedDict[int, bytes] = OrderedDict()
        self._came_at: dict[int, float] = {}
        self._asked: set[int] = set()

    def take(self, index: int) -> Optional[bytes]:
        """Return a group and note that it was asked for."""
        data = self._groups.get(index)
        if data is not None:
            self._asked.add(index)
        return data

    def add(self, index: int, data: bytes) -> None:
        """Keep a group."""
        self._groups[index] = data
        self._came_at[index] = time.monotonic()

    def make_room(self, lowest_wanted: int) -> bool:
        """Drop what can be missed most easily; False when everything may still be wanted."""
        if len(self._groups) < WINDOW_GROUPS:
            return True
        latest = time.monotonic() - GRACE_S
        asked = [index for index in self._groups if index in self._asked and index != lowest_wanted]
        stale = [index for index, came in self._came_at.items() if came < latest or index < lowest_wanted - FAR_GROUPS]
        for index in [*asked, *stale][:1]:
            self._asked.discard(index)
            del self._groups[index], self._came_at[index]
        return len(self._groups) < WINDOW_GROUPS

    def clear(self) -> None:
        """Drop everything."""
        self._groups.clear()
        self._came_at.clear()
        self._asked.clear()
