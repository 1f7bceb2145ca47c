# SPDX-License-Identifier: Apache-2.0
"""How fast a job may go: a token bucket whose rate can change while the job runs, and by the time of day.

Control file: ``{"bytes_per_s": 52428800, "windows": [{"from": "08:00", "to": "18:00", "bytes_per_s": 9}]}``.
A window that holds now beats the plain rate; ``null`` or 0 means no limit. Whoever steers the job replaces the file;
it is looked at twice a second.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Optional

from vmferry.engine.errors import BadInput

_LOOK_S = 0.5
_SHORTEST_WAIT_S = 0.001
_DAY_MINUTES = 24 * 60
_BURST_S = 0.25
"""How much may be saved up: a short burst, so that the rate seen over a second is the one asked for."""


class RateWindow(NamedTuple):
    """A part of the day, in local time of the machine, with its own rate."""

    start_minute: int
    end_minute: int
    """May be before the start: then the window runs over midnight."""
    bytes_per_s: Optional[int]
    """None: no limit."""

    def holds(self, minute: int) -> bool:
        """Tell whether this minute of the day is inside."""
        if self.start_minute <= self.end_minute:
            return self.start_minute <= minute < self.end_minute
        return minute >= self.start_minute or minute < self.end_minute


def parse_windows(raw: Sequence[Mapping[str, Any]]) -> tuple[RateWindow, ...]:
    """Read ``[{"from": "08:00", "to": "18:00", "bytes_per_s": 1048576}]``."""
    return tuple(map(_window, raw))


def _window(raw: Mapping[str, Any]) -> RateWindow:
    window = RateWindow(_minute(str(raw["from"])), _minute(str(raw["to"])), _rate(raw.get("bytes_per_s")))
    if window.start_minute == window.end_minute:
        raise BadInput(
            f"a window from {raw['from']} to {raw['to']} has no length", fix="write 00:00 to 24:00 for all day"
        )
    return window


class Throttle:
    """Shared by all workers of a job; `take` waits until the bytes are allowed."""

    def __init__(
        self,
        bytes_per_s: int | None = None,
        *,
        windows: Sequence[RateWindow] = (),
        control: Path | None = None,
        minute_of_day: Callable[[], int] | None = None,
    ) -> None:
        self._bytes_per_s = bytes_per_s or None
        self._windows = tuple(windows)
        self._control = control
        self._minute_of_day = minute_of_day or _local_minute
        self._lock = threading.Lock()
        self._debt = 0.0
        self._then = time.monotonic()
        self._looked = -_LOOK_S
        self._seen: tuple[int, int] | None = None

    def rate(self) -> int | None:
        """Give the bytes per second that hold now; None means no limit."""
        now = time.monotonic()
        if self._control is not None and now - self._looked >= _LOOK_S:
            self._looked = now
            self._read_control(self._control)
        if self._windows:
            minute = self._minute_of_day()
            for window in self._windows:
                if window.holds(minute):
                    return window.bytes_per_s
        return self._bytes_per_s

    def take(self, count: int, cancel: threading.Event) -> None:
        """Wait until `count` bytes may be moved; returns early when cancelled."""
        with self._lock:
            self._settle()
            self._debt += count
        while not cancel.is_set():
            with self._lock:
                self._settle()
                rate = self.rate()
                # Everybody owes the same debt: a worker goes on when what is owed fits into the burst.
                if rate is None:
                    self._debt = 0.0
                    return
                wait = (self._debt - rate * _BURST_S) / rate
            if wait <= 0:
                return
            cancel.wait(min(max(wait, _SHORTEST_WAIT_S), _LOOK_S))

    def _settle(self) -> None:
        now = time.monotonic()
        rate = self.rate()
        if rate is not None:
            self._debt = max(0.0, self._debt - (now - self._then) * rate)
        self._then = now

    def _read_control(self, control: Path) -> None:
        try:
            status = control.stat()
            mark = (status.st_mtime_ns, status.st_ino)
            if mark == self._seen:
                return
            raw = json.loads(control.read_text())
            self._seen = mark
            rate = _rate(raw["bytes_per_s"]) if "bytes_per_s" in raw else self._bytes_per_s
            windows = parse_windows(raw["windows"]) if "windows" in raw else self._windows
            self._bytes_per_s, self._windows = rate, windows
        except (OSError, ValueError, KeyError, TypeError, AttributeError, BadInput):
            # Not there, or half of an edit by hand: the last good rate holds.
            return


def _rate(value: Any) -> int | None:
    rate = int(value) if value is not None else 0
    if rate < 0:
        raise BadInput(f"{value} bytes a second is no rate", fix="give a number above 0, or null for no limit")
    return rate or None


def _minute(text: str) -> int:
    hour, _, minute = text.partition(":")
    if not (hour.isdigit() and minute.isdigit() and int(minute) < 60 and int(hour) * 60 + int(minute) <= _DAY_MINUTES):
        raise BadInput(f"{text!r} is not a time of day", fix="write it as 08:30")
    return int(hour) * 60 + int(minute)


def _local_minute() -> int:
    now = time.localtime()
    return now.tm_hour * 60 + now.tm_min
