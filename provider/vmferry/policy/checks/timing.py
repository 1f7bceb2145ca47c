# SPDX-License-Identifier: Apache-2.0
"""Checks of schedules, windows and recovery point objectives."""

from __future__ import annotations

import functools
import itertools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from vmferry.engine.units import format_seconds
from vmferry.policy.days import MonthDays, NthWeekdays
from vmferry.policy.findings import Finding, Place, error, warning
from vmferry.policy.values import LAST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmferry.policy.models.schedule import ScheduleEntry
    from vmferry.policy.schedules import Schedule
    from vmferry.policy.vm import VmPolicy

_LOOK_FROM = datetime(2024, 1, 1, tzinfo=UTC)
"""A fixed date, so that a policy is judged the same every day; the year has a 29 February."""
_LOOK_DAYS = 92
_MOST_RUNS_A_DAY = 48
_SHORTEST_WINDOW_MINUTES = 30


def check_schedule(entry: ScheduleEntry | None, vm: VmPolicy, place: Place) -> Iterator[Finding]:
    """The schedule runs at all, not absurdly often, and no key of it is without meaning."""
    here = (*place, "schedule") if entry is not None else place
    if vm.schedule.next_after(_LOOK_FROM) is None:
        yield error(here, f"the schedule never runs: {vm.schedule.describe()}", "no month has such a day")
        return
    if len(vm.schedule.times) > _MOST_RUNS_A_DAY:
        message = f"{len(vm.schedule.times)} backups a day of one VM"
        yield warning(here, message, "a backup takes minutes; every half hour is the most that makes sense")
    yield from _check_short_months(vm.schedule, here)
    for key in getattr(entry, "idle_keys", list)():
        message = f"{key!r} means nothing with the pattern {getattr(entry, 'pattern', '')!r}"
        yield warning((*here, key), message, "take it away, or use a pattern that reads it")


def _check_short_months(schedule: Schedule, place: Place) -> Iterator[Finding]:
    rule = schedule.days
    if isinstance(rule, MonthDays) and LAST not in rule.days and min(rule.days) >= 29:
        message = f"months without a day {min(rule.days)} have no backup"
        yield warning(place, message, 'use "last" for the last day of each month')
    if isinstance(rule, NthWeekdays) and rule.weeks == {5}:
        yield warning(place, "months with four of these weekdays have no backup", 'use "last" instead of 5')


def check_timing(vm: VmPolicy, place: Place) -> Iterator[Finding]:
    """Backups start inside the window, and often enough for the recovery point objective."""
    gap = longest_gap(vm.schedule)
    if vm.rpo_s is not None and gap is not None and gap.total_seconds() > vm.rpo_s:
        message = f"backups are up to {_words(gap)} apart, the rpo is {_words(timedelta(seconds=vm.rpo_s))}"
        yield warning((*place, "rpo"), message, "run more often, or raise the rpo")
    if vm.window is None:
        return
    here = (*place, "backup_window")
    if vm.window.minutes < _SHORTEST_WINDOW_MINUTES:
        yield warning(here, f"the window is only {vm.window.minutes} minutes long", "make it longer")
    outside = [one for one in vm.schedule.times if not vm.window.holds(one)]
    if outside:
        shown = ", ".join(f"{one:%H:%M}" for one in outside[:3])
        message = f"{shown} is outside of the window {vm.window.start:%H:%M} to {vm.window.end:%H:%M}"
        yield warning(here, message, "the backup waits for the window; move the schedule's time into it")


@functools.lru_cache(maxsize=1024)
def longest_gap(schedule: Schedule) -> timedelta | None:
    """Give the longest time between two runs of a quarter; None when it runs less than twice in it."""
    days = _LOOK_DAYS if len(schedule.times) <= 24 else 8
    runs = schedule.between(_LOOK_FROM, _LOOK_FROM + timedelta(days=days))
    return max((later - earlier for earlier, later in itertools.pairwise(runs)), default=None)


def _words(span: timedelta) -> str:
    return f"{span.days} days" if span.days > 1 else format_seconds(span.total_seconds())
