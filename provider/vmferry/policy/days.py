# SPDX-License-Identifier: Apache-2.0
"""Rules that say on which dates something happens."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from vmferry.policy.errors import BadValue
from vmferry.policy.values import LAST, WEEKDAYS

BIWEEKLY_ANCHOR = date(2024, 1, 1)
"""A Monday: without an anchor of its own a biweekly schedule counts weeks from here, so week 53 cannot shift it."""


class DayRule(Protocol):
    """Which dates. Rules are values: frozen, comparable, and the same for everybody."""

    def matches(self, day: date) -> bool:
        """Tell whether something happens on that date."""
        ...

    def cron_days(self) -> str | None:
        """Give cron's ``day-of-month month day-of-week``, or None where cron cannot say it."""
        ...

    def describe(self) -> str:
        """Say it in words: ``every Monday and Friday``."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Give what `read_rule` reads."""
        ...


@dataclass(frozen=True, slots=True)
class Weekdays:
    """Every week on these days (0 is Monday)."""

    days: frozenset[int]

    def matches(self, day: date) -> bool:
        """Tell whether something happens on that date."""
        return day.weekday() in self.days

    def cron_days(self) -> str | None:
        """Give cron's three day fields."""
        return f"* * {cron_weekdays(self.days)}"

    def describe(self) -> str:
        """Say it in words."""
        return "every day" if len(self.days) == 7 else f"every {_list_weekdays(self.days)}"

    def to_json(self) -> dict[str, Any]:
        """Give what `read_rule` reads."""
        return {"kind": "weekdays", "days": sorted(self.days)}


@dataclass(frozen=True, slots=True)
class EveryOtherWeek:
    """Every second week, counted from the week of `anchor`, on these days."""

    days: frozenset[int]
    anchor: date = BIWEEKLY_ANCHOR

    def matches(self, day: date) -> bool:
        """Tell whether something happens on that date."""
        monday = self.anchor.toordinal() - self.anchor.weekday()
        return day.weekday() in self.days and (day.toordinal() - monday) // 7 % 2 == 0

    def cron_days(self) -> str | None:
        """Cron cannot count weeks."""
        return None

    def describe(self) -> str:
        """Say it in words."""
        return f"every second {_list_weekdays(self.days)}, counted from the week of {self.anchor}"

    def to_json(self) -> dict[str, Any]:
        """Give what `read_rule` reads."""
        return {"kind": "every_other_week", "days": sorted(self.days), "anchor": self.anchor.isoformat()}


@dataclass(frozen=True, slots=True)
class MonthDays:
    """Every month on these days; `LAST` is the last one, whatever its number. Months without a day skip it."""

    days: frozenset[int]

    def matches(self, day: date) -> bool:
        """Tell whether something happens on that date."""
        return day.day in self.days or (LAST in self.days and day.day == month_length(day))

    def cron_days(self) -> str | None:
        """Give cron's three day fields; plain cron does not know the last day."""
        return None if LAST in self.days else f"{','.join(map(str, sorted(self.days)))} * *"

    def describe(self) -> str:
        """Say it in words."""
        names = [str(one) for one in sorted(self.days - {LAST})] + ["last"] * (LAST in self.days)
        return f"every month on day {_join(names)}"

    def to_json(self) -> dict[str, Any]:
        """Give what `read_rule` reads."""
        return {"kind": "month_days", "days": sorted(self.days)}


@dataclass(frozen=True, slots=True)
class NthWeekdays:
    """Every month on the nth of these weekdays; `LAST` is the last one of the month."""

    weeks: frozenset[int]
    days: frozenset[int]

    def matches(self, day: date) -> bool:
        """Tell whether something happens on that date."""
        if day.weekday() not in self.days:
            return False
        return (day.day - 1) // 7 + 1 in self.weeks or (LAST in self.weeks and day.day + 7 > month_length(day))

    def cron_days(self) -> str | None:
        """Cron joins day of month and weekday by OR, so it cannot say this."""
        return None

    def describe(self) -> str:
        """Say it in words."""
        names = {1: "1st", 2: "2nd", 3: "3rd", 4: "4th", 5: "5th"}
        weeks = [names[one] for one in sorted(self.weeks - {LAST})] + ["last"] * (LAST in self.weeks)
        return f"every month on the {_join(weeks)} {_list_weekdays(self.days)}"

    def to_json(self) -> dict[str, Any]:
        """Give what `read_rule` reads."""
        return {"kind": "nth_weekdays", "weeks": sorted(self.weeks), "days": sorted(self.days)}


def read_rule(raw: dict[str, Any]) -> DayRule:
    """Make a rule from what its `to_json` gave."""
    kind = raw["kind"]
    if kind == "weekdays":
        return Weekdays(frozenset(raw["days"]))
    if kind == "every_other_week":
        return EveryOtherWeek(frozenset(raw["days"]), date.fromisoformat(raw["anchor"]))
    if kind == "month_days":
        return MonthDays(frozenset(raw["days"]))
    if kind == "nth_weekdays":
        return NthWeekdays(frozenset(raw["weeks"]), frozenset(raw["days"]))
    raise BadValue(f"{kind!r} is no kind of day rule", fix="the file was written by a newer version: upgrade vmferry")


def month_length(day: date) -> int:
    """Give the number of days of that date's month."""
    return calendar.monthrange(day.year, day.month)[1]


def cron_weekdays(days: frozenset[int]) -> str:
    """Write weekdays as cron does: Sunday is 0."""
    if len(days) == 7:
        return "*"
    return ",".join(map(str, sorted((one + 1) % 7 for one in days)))


def _list_weekdays(days: frozenset[int]) -> str:
    return _join([WEEKDAYS[one].capitalize() for one in sorted(days)])


def _join(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
