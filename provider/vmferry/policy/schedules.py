# SPDX-License-Identifier: Apache-2.0
"""A schedule: on which dates, at what times of day, in which time zone; and when it runs next.

Times that a clock change skips or repeats follow RFC 5545 (3.3.5): a time that does not exist is read with the offset
from before the gap (02:30 runs at what the clock then calls 03:30), a time that exists twice runs once, the first time.
Two times that become the same moment run once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from vmferry.policy.cron import parse_day_fields
from vmferry.policy.days import DayRule
from vmferry.policy.days import read_rule as read_plain_rule
from vmferry.policy.values import parse_time

_ONE_DAY = timedelta(days=1)
_SEARCH_DAYS = 3300
"""How far `next_after` looks: 29 February may be eight years away (1896 to 1904, 2096 to 2104)."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When something runs. A value: two schedules that are equal run at the same moments."""

    days: DayRule
    times: tuple[time, ...]
    """Times of day, ascending."""
    timezone: str = "UTC"

    def next_after(self, moment: datetime) -> datetime | None:
        """Give the first run after this moment, in UTC; None when there is none in the next nine years."""
        first = _aware(moment).astimezone(self._zone).date() - _ONE_DAY
        for offset in range(_SEARCH_DAYS):
            # The day after is looked at as well: a gap may move a time past the first ones of the next date.
            runs = [run for day in (offset, offset + 1) for run in self._runs_on(_shift(first, day)) if run > moment]
            if runs:
                return min(runs)
        return None

    def latest_until(self, moment: datetime) -> datetime | None:
        """Give the last run up to and including this moment, in UTC; None when there is none in nine years before."""
        last = _aware(moment).astimezone(self._zone).date() + _ONE_DAY
        for offset in range(_SEARCH_DAYS):
            # The day before is looked at as well, for the same reason as in `next_after`.
            runs = [run for day in (offset, offset + 1) for run in self._runs_on(_shift(last, -day)) if run <= moment]
            if runs:
                return max(runs)
        return None

    def between(self, start: datetime, end: datetime) -> tuple[datetime, ...]:
        """Give all runs from `start` up to but not including `end`, in UTC, ascending."""
        day = _aware(start).astimezone(self._zone).date() - _ONE_DAY
        last = _aware(end).astimezone(self._zone).date() + _ONE_DAY
        runs: set[datetime] = set()
        while day <= last:
            runs.update(run for run in self._runs_on(day) if start <= run < end)
            day = _shift(day, 1)
        return tuple(sorted(runs))

    def to_cron(self) -> str | None:
        """Give the five fields of cron, or None where cron cannot say it."""
        day_fields = self.days.cron_days()
        hours = sorted({one.hour for one in self.times})
        minutes = sorted({one.minute for one in self.times})
        if day_fields is None or len(hours) * len(minutes) != len(self.times):
            return None
        return f"{_cron_list(minutes, 60)} {_cron_list(hours, 24)} {day_fields}"

    def describe(self) -> str:
        """Say it in words: ``every Sunday at 03:00 (UTC)``."""
        times = [one.strftime("%H:%M") for one in self.times]
        shown = ", ".join(times) if len(times) <= 6 else f"{len(times)} times from {times[0]} to {times[-1]}"
        return f"{self.days.describe()} at {shown} ({self.timezone})"

    def to_json(self) -> dict[str, Any]:
        """Give what `Schedule.from_json` reads; rendered DAG files and the timetable hold it."""
        times = [one.strftime("%H:%M") for one in self.times]
        return {"days": self.days.to_json(), "times": times, "timezone": self.timezone}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Schedule:
        """Make a schedule from what `to_json` gave."""
        return cls(read_rule(raw["days"]), tuple(parse_time(one) for one in raw["times"]), raw["timezone"])

    @property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)  # cached by zoneinfo

    def _runs_on(self, day: date) -> Iterator[datetime]:
        if self.days.matches(day):
            zone = self._zone
            for one in self.times:
                # fold=0 is RFC 5545's rule for both cases: see PEP 495, "conversion from local to UTC".
                yield datetime.combine(day, one, tzinfo=zone).astimezone(UTC)


def read_rule(raw: dict[str, Any]) -> DayRule:
    """Make a day rule from what its `to_json` gave."""
    return parse_day_fields(raw["fields"]) if raw["kind"] == "cron" else read_plain_rule(raw)


def make_schedule(days: DayRule, times: Iterator[time] | tuple[time, ...], timezone: str = "UTC") -> Schedule:
    """Make a schedule with its times in order and each once."""
    return Schedule(days, tuple(sorted(set(times))), timezone)


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a schedule needs moments with a time zone")
    return moment


def _shift(day: date, days: int) -> date:
    return day + timedelta(days=days)


def _cron_list(numbers: list[int], full: int) -> str:
    return "*" if len(numbers) == full else ",".join(map(str, numbers))
