# SPDX-License-Identifier: Apache-2.0
"""Whether a backup has to be a full one, and why."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from vmferry.policy.values import LAST, WEEKDAYS
from vmferry.policy.vm import FullRule


@dataclass(frozen=True, slots=True)
class ChainState:
    """What is there already."""

    last_full: datetime | None = None
    """When the newest chain began."""
    incrementals: int = 0
    """How many it has by now."""


def why_full(rule: FullRule, at: datetime, chain: ChainState, timezone: str = "UTC") -> str | None:
    """Say why the backup at this moment is a full one; None when it may be incremental.

    The day of a weekly or monthly full backup need not be one on which backups run: the first backup on or after it is
    full. Days are those of the policy's time zone.
    """
    if not rule.incremental:
        return "incremental backups are switched off"
    if chain.last_full is None:
        return "there is no full backup yet"
    if chain.incrementals >= rule.max_chain:
        return f"the chain has {chain.incrementals} incrementals"
    zone = ZoneInfo(timezone)
    today, last = at.astimezone(zone).date(), chain.last_full.astimezone(zone).date()
    if (today - last).days >= rule.max_age_days:
        return f"the last full backup is {(today - last).days} days old"
    return _why_by_frequency(rule, today, last)


def _why_by_frequency(rule: FullRule, today: date, last: date) -> str | None:
    if rule.frequency == "always":
        return "every backup is full"
    if rule.frequency == "daily" and last < today:
        return "the first backup of a day is full"
    if rule.frequency == "weekly" and last < _latest_weekday(rule.weekday, today):
        return f"{WEEKDAYS[rule.weekday].capitalize()}'s full backup is due"
    if rule.frequency == "monthly" and last < _latest_month_day(rule.month_day, today):
        return "the month's full backup is due"
    return None


def _latest_weekday(weekday: int, today: date) -> date:
    return today - timedelta(days=(today.weekday() - weekday) % 7)


def _latest_month_day(day: int, today: date) -> date:
    due = _in_month(day, today)
    return due if due <= today else _in_month(day, today.replace(day=1) - timedelta(days=1))


def _in_month(day: int, month: date) -> date:
    """Give that day of a month; the last one where the month is too short."""
    length = calendar.monthrange(month.year, month.month)[1]
    return month.replace(day=length if day == LAST else min(day, length))
