# SPDX-License-Identifier: Apache-2.0
"""How far a job is: bytes, rate and the time that is left, told to whoever listens at most once in a while."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Optional

from vmferry.engine.units import format_bytes, format_seconds

_RATE_SPAN_S = 10.0


class Status(NamedTuple):
    """How far a job is, at one moment."""

    bytes_done: int
    """Read, skipped as zeros, or found done by an earlier run."""
    bytes_total: Optional[int]
    """None until it is known."""
    zero_bytes: int
    """The part of `bytes_done` that nobody had to move."""
    bytes_per_s: float
    """Over the last ten seconds."""
    eta_s: Optional[float]
    """Seconds that are left at this rate; None when nobody can tell."""

    def to_json(self) -> dict[str, Any]:
        """Turn into plain data."""
        return self._asdict()

    def line(self) -> str:
        """Write one tidy line for a log."""
        total = f" of {format_bytes(self.bytes_total)}" if self.bytes_total is not None else ""
        percent = f" ({100 * self.bytes_done / self.bytes_total:.0f} %)" if self.bytes_total else ""
        eta = f", {format_seconds(self.eta_s)} left" if self.eta_s is not None else ""
        return f"{format_bytes(self.bytes_done)}{total}{percent}, {format_bytes(self.bytes_per_s)}/s{eta}"


class Progress:
    """Counts; used by all workers at once."""

    def __init__(self, report: Callable[[Status], None] | None = None, *, every_s: float = 1.0) -> None:
        self._report = report
        self._every_s = every_s
        self._lock = threading.Lock()
        self._done = self._zero = 0
        self._total: int | None = None
        self._last_report = time.monotonic()
        self._past: deque[tuple[float, int]] = deque([(self._last_report, 0)])

    def set_total(self, total_bytes: int | None) -> None:
        """Say how much there is to do."""
        self._total = total_bytes

    def add(self, done_bytes: int, *, zero_bytes: int = 0) -> None:
        """Count bytes that are done; `zero_bytes` is the part of them that nobody had to move."""
        with self._lock:
            self._done += done_bytes
            self._zero += zero_bytes
            now = time.monotonic()
            if self._report is None or now - self._last_report < self._every_s:
                return
            self._last_report = now
            status = self._status(now)
        self._report(status)

    def finish(self) -> None:
        """Report the last state, whatever the time."""
        if self._report is not None:
            self._report(self.status())

    def status(self) -> Status:
        """Give the state now."""
        with self._lock:
            return self._status(time.monotonic())

    def _status(self, now: float) -> Status:
        self._past.append((now, self._done))
        while len(self._past) > 2 and now - self._past[0][0] > _RATE_SPAN_S:
            self._past.popleft()
        then, done_then = self._past[0]
        rate = (self._done - done_then) / (now - then) if now > then else 0.0
        eta = None
        if self._total is not None and rate > 0:
            eta = max(0, self._total - self._done) / rate
        return Status(self._done, self._total, self._zero, rate, eta)
