# SPDX-License-Identifier: Apache-2.0
"""How long to wait before a server is asked again, and when to give up."""

from __future__ import annotations

import email.utils
import random
import threading
import time
from typing import Callable, Optional

from vmferry.engine.errors import Cancelled, EngineError

FIRST_DELAY_S = 0.05
MAX_DELAY_S = 5.0


class Outage:
    """A span of failures without one success; grows its delays and ends after `limit_s`.

    Delays double and are jittered, so that many workers do not come back in one crowd.
    """

    def __init__(self, limit_s: float, closed: threading.Event, lost: Callable[[str], EngineError]) -> None:
        self.limit_s = limit_s
        self.attempts = 0
        self._closed = closed
        self._lost = lost
        self._began: Optional[float] = None

    @property
    def ongoing(self) -> bool:
        """True between a failure and the next success."""
        return self._began is not None

    def end(self) -> None:
        """Something worked: the next failure begins a new outage."""
        self._began, self.attempts = None, 0

    def wait(self, why: str, retry_after_s: Optional[float] = None) -> None:
        """Wait until it is worth asking again, or raise what `lost` makes of the reason."""
        now = time.monotonic()
        if self._began is None:
            self._began = now
        left_s = self._began + self.limit_s - now
        delay_s = self._delay() if retry_after_s is None else retry_after_s
        if left_s <= 0:
            raise self._lost(f"{why}, for {self.limit_s:g} s")
        if retry_after_s is not None and retry_after_s > left_s:
            raise self._lost(f"{why} and wants us to come back in {retry_after_s:g} s")
        self.attempts += 1
        if self._closed.wait(min(delay_s, left_s)):
            raise Cancelled("closed while waiting for a server to come back")

    def _delay(self) -> float:
        ceiling_s = min(MAX_DELAY_S, FIRST_DELAY_S * 2.0 ** min(self.attempts, 10))
        return ceiling_s * (0.5 + random.random() / 2)  # noqa: S311 - jitter, not a secret


def parse_retry_after(text: Optional[str]) -> Optional[float]:
    """Turn a Retry-After header, seconds or a date, into seconds from now."""
    if not text:
        return None
    if text.strip().isdigit():
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return max(0.0, moment.timestamp() - time.time())
