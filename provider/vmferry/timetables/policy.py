# SPDX-License-Identifier: Apache-2.0
"""A policy's schedule as a timetable: every other week, the last Friday, day and night, which cron cannot say.

The scheduler deserializes it for every DAG, so it needs nothing but the standard-library part of the policy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import pendulum
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction, Timetable

from vmferry.policy.schedules import Schedule
from vmferry.policy.vm import Window


class PolicyTimetable(Timetable):
    """Runs when the schedule says.

    Of the runs that were missed while nobody scheduled, the last one is made up for, if its window still holds: a
    backup that is hours late is better than none until tomorrow.
    """

    def __init__(self, schedule: Mapping[str, Any], window: Sequence[str] | None = None) -> None:
        self._schedule = Schedule.from_json(dict(schedule))
        self._window = Window(*map(time.fromisoformat, window)) if window else None
        self.description = self._schedule.describe()

    @property
    def summary(self) -> str:
        """What the UI shows in its lists."""
        return self._schedule.to_cron() or self._schedule.describe()

    def serialize(self) -> dict[str, Any]:
        """Give what `deserialize` reads."""
        window = [f"{self._window.start:%H:%M}", f"{self._window.end:%H:%M}"] if self._window else None
        return {"schedule": self._schedule.to_json(), "window": window}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> PolicyTimetable:
        """Make a timetable from what `serialize` gave."""
        return cls(data["schedule"], data["window"])

    def infer_manual_data_interval(self, *, run_after: pendulum.DateTime) -> DataInterval:
        """A manual run is about the moment it is for."""
        return DataInterval.exact(run_after)

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """Say when the next run is."""
        last = last_automated_data_interval.end if last_automated_data_interval else None
        run = self.next_run(last, restriction.earliest, datetime.now(UTC), catchup=restriction.catchup)
        if run is None or (restriction.latest is not None and run > restriction.latest):
            return None
        return DagRunInfo.exact(pendulum.instance(run))

    def next_run(
        self, last: datetime | None, earliest: datetime | None, now: datetime, *, catchup: bool
    ) -> datetime | None:
        """Give the moment of the next run; in the past for one that was missed."""
        if catchup:
            return self._schedule.next_after(last or earliest or now)
        newest = self._schedule.latest_until(now) if last is not None else None
        if newest is not None and last is not None and newest > last and self._may_start(now):
            return newest
        return self._schedule.next_after(max(now, *(one for one in (last, earliest) if one is not None)))

    def _may_start(self, now: datetime) -> bool:
        zone = ZoneInfo(self._schedule.timezone)
        return self._window is None or self._window.holds(now.astimezone(zone).time())
