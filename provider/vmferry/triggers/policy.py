# SPDX-License-Identifier: Apache-2.0
"""Watches the policy file, so that a change of it is rendered at once and not when the clock says so."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

EVERY_S = 5.0


class PolicyTrigger(BaseEventTrigger):
    """Fires each time the file has other bytes than before, once two looks have found the same: an editor was done.

    It fires for what it finds first, too: nobody knows what that was when nobody looked, and rendering the same again
    changes nothing.

    :param path: The policy.
    :param every_s: How often it looks.
    """

    def __init__(self, path: str, every_s: float = EVERY_S) -> None:
        super().__init__()
        self.path = path
        self.every_s = every_s

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give class and arguments."""
        return f"{__name__}.{type(self).__name__}", {"path": self.path, "every_s": self.every_s}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look, for ever."""
        told, before = "", await asyncio.to_thread(digest, self.path)
        while True:
            await asyncio.sleep(self.every_s)
            found = await asyncio.to_thread(digest, self.path)
            if found and found == before and found != told:
                told = found
                yield TriggerEvent({"sha256": found})
            before = found


def digest(path: str) -> str:
    """Give the SHA-256 of a file; empty while it cannot be read."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return ""
