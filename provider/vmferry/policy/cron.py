# SPDX-License-Identifier: Apache-2.0
"""Cron expressions: five fields, read into a rule for the dates and a list of times.

Where cron programs differ we say what we do: when day of month and weekday are both given, a date that fits either is
taken, but ``*/2`` counts as given by nobody (it begins with a star), so that both must fit; that is what cron(5) says.
``L`` (last day of the month), ``fri#2`` (second Friday) and ``L5`` (last Friday) are understood too, as in Airflow.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, time
from typing import Any

from vmferry.policy.days import DayRule, MonthDays, NthWeekdays, Weekdays, cron_weekdays
from vmferry.policy.errors import BadValue
from vmferry.policy.values import LAST

_MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_MONTHS = {
    "jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6,
    "jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11, "dec": 12,
}  # fmt: skip
_DAYS = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}
_ITEM = re.compile(r"^(?P<low>[a-z0-9]+|\*)(?:-(?P<high>[a-z0-9]+))?(?:/(?P<step>\d{1,3}))?$")
_FIX = 'write five fields as "minute hour day-of-month month day-of-week", such as "15 6,18 * * 1-5"'


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: dict[str, int]


_MINUTE = _Field("minute", 0, 59, {})
_HOUR = _Field("hour", 0, 23, {})
_MONTH_DAY = _Field("day of month", 1, 31, {})
_MONTH = _Field("month", 1, 12, _MONTHS)
_WEEKDAY = _Field("day of week", 0, 7, _DAYS)


@dataclass(frozen=True, slots=True)
class CronDays:
    """The dates of a cron expression."""

    fields: str
    """Day of month, month, day of week, as they were written."""
    months: frozenset[int]
    month_days: MonthDays | None
    weekdays: Weekdays | None
    nth: tuple[NthWeekdays, ...]
    either: bool
    """A date needs to fit only one of month_days and weekdays."""

    def matches(self, day: date) -> bool:
        """Tell whether something happens on that date."""
        if day.month not in self.months:
            return False
        in_month = self.month_days is None or self.month_days.matches(day)
        in_week = self._any_weekday or self._fits_weekday(day)
        return (in_month or in_week) if self.either else (in_month and in_week)

    @property
    def _any_weekday(self) -> bool:
        return self.weekdays is None and not self.nth

    def _fits_weekday(self, day: date) -> bool:
        return (self.weekdays is not None and self.weekdays.matches(day)) or any(one.matches(day) for one in self.nth)

    def cron_days(self) -> str | None:
        """Give cron's three day fields; None where Airflow's cron would read them otherwise than we do."""
        month_day, _, weekday = self.fields.split()
        both = self.month_days is not None and not self._any_weekday
        if self.nth or "l" in month_day or (both and not self.either):
            return None
        return self.fields.replace("?", "*") if "-" not in weekday else self._plain_fields(month_day)

    def _plain_fields(self, month_day: str) -> str:
        # "fri-sun" runs backwards for other programs: Sunday is 0 there.
        month = self.fields.split()[1]
        weekday = cron_weekdays(self.weekdays.days) if self.weekdays else "*"
        return f"{month_day} {month} {weekday}".replace("?", "*")

    def describe(self) -> str:
        """Say it in words."""
        return "every day" if self.fields == "* * *" else f"on the dates of cron {self.fields!r}"

    def to_json(self) -> dict[str, Any]:
        """Give what `schedules.read_rule` reads."""
        return {"kind": "cron", "fields": self.fields}


def parse_cron(expression: object) -> tuple[DayRule, tuple[time, ...]]:
    """Read a cron expression or one of ``@hourly``, ``@daily``, ``@weekly``, ``@monthly``, ``@yearly``."""
    if not isinstance(expression, str):
        raise BadValue(f"{expression!r} is not a cron expression", fix=_FIX)
    text = expression.strip().lower()
    parts = _MACROS.get(text, text).split()
    if len(parts) != 5:
        raise BadValue(f"{expression!r} has {len(parts)} fields, a cron expression has five", fix=_FIX)
    minutes, hours = _parse_field(parts[0], _MINUTE), _parse_field(parts[1], _HOUR)
    times = tuple(time(hour, minute) for hour in sorted(hours) for minute in sorted(minutes))
    return _simplify(parse_day_fields(" ".join(parts[2:]))), times


def _simplify(rule: CronDays) -> DayRule:
    """Use the plain rule where cron says nothing more: it is described better."""
    if len(rule.months) < 12 or rule.month_days is not None or rule.nth:
        return rule
    return rule.weekdays or Weekdays(frozenset(range(7)))


def parse_day_fields(fields: str) -> CronDays:
    """Read the last three fields of a cron expression."""
    month_day, month, weekday = fields.split()
    weekdays, nth = _parse_weekdays(weekday)
    return CronDays(
        fields=fields,
        months=_parse_field(month, _MONTH),
        month_days=_parse_month_days(month_day),
        weekdays=weekdays,
        nth=nth,
        either=not _is_star(month_day) and not _is_star(weekday),
    )


def _is_star(text: str) -> bool:
    return text[0] in "*?"


def _parse_month_days(text: str) -> MonthDays | None:
    if text in {"*", "?"}:
        return None
    items = text.split(",")
    days = frozenset({LAST}) if "l" in items else frozenset[int]()
    plain = ",".join(one for one in items if one != "l")
    return MonthDays(days | (_parse_field(plain, _MONTH_DAY) if plain else frozenset()))


def _parse_weekdays(text: str) -> tuple[Weekdays | None, tuple[NthWeekdays, ...]]:
    if text in {"*", "?"}:
        return None, ()
    plain: set[int] = set()
    nth: list[NthWeekdays] = []
    for item in text.split(","):
        name, hash_mark, week = item.partition("#")
        if hash_mark:
            weeks = _parse_field(week, _Field("week of month", 1, 5, {})) if week != "l" else frozenset({LAST})
            nth.append(NthWeekdays(weeks, _parse_weekday_item(name)))
        elif len(item) > 1 and item[0] == "l":
            nth.append(NthWeekdays(frozenset({LAST}), _parse_weekday_item(item[1:])))
        else:
            plain |= _parse_weekday_item(item)
    return Weekdays(frozenset(plain)) if plain else None, tuple(nth)


def _parse_weekday_item(text: str) -> frozenset[int]:
    return frozenset((one - 1) % 7 for one in _parse_field(text, _WEEKDAY))


def _parse_field(text: str, field: _Field) -> frozenset[int]:
    found: set[int] = set()
    for item in text.split(","):
        found |= _parse_item(item, field)
    return frozenset(found)


def _parse_item(item: str, field: _Field) -> set[int]:
    match = _ITEM.match("*" if item == "?" else item)
    if not match:
        raise BadValue(f"{item!r} is not a {field.name} in cron", fix=_FIX)
    step = int(match["step"] or 1)
    if match["low"] == "*":
        low, high = field.low, min(field.high, 6) if field is _WEEKDAY else field.high
    else:
        low = _number(match["low"], field)
        high = _number(match["high"], field) if match["high"] else (field.high if match["step"] else low)
    if field is _WEEKDAY and high < low:
        high += 7
    if high < low or step == 0 or (match["low"] == "*" and match["high"]):
        raise BadValue(f"{item!r} is an empty range of {field.name} in cron", fix="write the smaller number first")
    found = set(range(low, high + 1, step))
    return {one % 7 for one in found} if field is _WEEKDAY else found


def _number(text: str, field: _Field) -> int:
    number = field.names.get(text[:3]) if text.isalpha() else int(text) if text.isdecimal() else None
    if number is None or not field.low <= number <= field.high:
        fix = f"use {field.low} to {field.high}" + (f" or {', '.join(field.names)}" if field.names else "")
        raise BadValue(f"{text!r} is not a {field.name} in cron", fix=fix)
    return number
