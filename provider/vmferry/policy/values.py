# SPDX-License-Identifier: Apache-2.0
"""How the small values of a policy are written: times of day, weekdays, spans of time, 7-bit patterns, time zones."""

from __future__ import annotations

import re
from datetime import date, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from vmferry.engine.errors import BadInput
from vmferry.engine.units import parse_bytes
from vmferry.policy.errors import BadValue

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
"""In the order of `datetime.date.weekday`: Monday is 0."""

LAST = -1
"""The last day of a month, or the last such weekday of a month."""

_TIME = re.compile(r"^(\d{1,2}):(\d{2})(?::00)?$")
_DURATION = re.compile(r"^(\d+)\s*(m|min|minutes?|h|hours?|d|days?|w|weeks?)$", re.IGNORECASE)
_DURATION_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def parse_time(value: object) -> time:
    """Read ``02:00``."""
    match = _TIME.match(value.strip()) if isinstance(value, str) else None
    if match and int(match[1]) < 24 and int(match[2]) < 60:
        return time(int(match[1]), int(match[2]))
    raise BadValue(f"{value!r} is not a time of day", fix='write it as "02:00", from "00:00" to "23:59"')


def parse_weekday(value: object) -> int:
    """Read ``sunday`` or ``sun``; gives 0 for Monday."""
    if isinstance(value, str) and len(value.strip()) >= 3:
        word = value.strip().lower()
        for number, name in enumerate(WEEKDAYS):
            if name.startswith(word):
                return number
    raise BadValue(f"{value!r} is not a weekday", fix=f"use one of {', '.join(WEEKDAYS)}")


def parse_cron_weekday(value: object) -> int:
    """Read a weekday's name, or cron's number for it (0 and 7 are Sunday); gives 0 for Monday."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 7:
        return (value - 1) % 7
    return parse_weekday(value)


def parse_month_day(value: object) -> int:
    """Read a day of the month: 1 to 31, or ``last`` (also -1)."""
    if value == LAST or (isinstance(value, str) and value.strip().lower() == "last"):
        return LAST
    number = _parse_small_int(value)
    if number is not None and 1 <= number <= 31:
        return number
    raise BadValue(f"{value!r} is not a day of the month", fix='use 1 to 31, or "last" for the last day')


def parse_month_week(value: object) -> int:
    """Read which such weekday of the month: 1 to 5, ``first`` to ``fifth``, or ``last`` (also -1)."""
    names = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "last": LAST}
    if isinstance(value, str) and value.strip().lower() in names:
        return names[value.strip().lower()]
    number = _parse_small_int(value)
    if number is not None and (1 <= number <= 5 or number == LAST):
        return number
    raise BadValue(f"{value!r} is not a week of the month", fix='use 1 to 5, or "last"')


def parse_bits(value: object) -> frozenset[int]:
    """Read a 7-bit pattern, Monday first: ``1000001`` is Monday and Sunday."""
    if not isinstance(value, str) or not re.fullmatch(r"[01]{7}", value.strip()):
        raise BadValue(
            f"{value!r} is not a 7-bit pattern",
            fix='write seven digits 0 or 1 in quotes, Monday first: "1111100" is Monday to Friday',
        )
    days = frozenset(number for number, bit in enumerate(value.strip()) if bit == "1")
    if not days:
        raise BadValue("the pattern '0000000' never runs", fix='set "enabled": false to switch a VM off')
    return days


def parse_duration(value: object) -> timedelta:
    """Read ``90m``, ``24h``, ``7d`` or ``2w``."""
    match = _DURATION.match(value.strip()) if isinstance(value, str) else None
    if not match or int(match[1]) == 0 or int(match[1]) > 1_000_000:
        raise BadValue(f"{value!r} is not a span of time", fix='write it as "90m", "24h", "7d" or "2w"')
    return int(match[1]) * _DURATION_UNITS[match[2][0].lower()]


def parse_rate(value: object) -> int:
    """Read ``50MiB`` (per second) into bytes; ``0`` means no limit."""
    text = re.sub(r"/s(ec)?$", "", value.strip(), flags=re.IGNORECASE) if isinstance(value, str) else value
    if isinstance(text, bool) or not isinstance(text, str | int) or (isinstance(text, int) and text < 0):
        raise BadValue(f"{value!r} is not a rate", fix='write bytes per second as "50MiB", or 0 for no limit')
    try:
        return parse_bytes(str(text), field="rate")
    except BadInput as failure:
        raise BadValue(f"{value!r} is not a rate", fix='write bytes per second as "50MiB"') from failure


def parse_date(value: object) -> date:
    """Read ``2025-01-05``."""
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise BadValue(f"{value!r} is not a date", fix='write it as "2025-01-31"') from None


def parse_zone(value: object) -> str:
    """Check the name of a time zone."""
    try:
        return ZoneInfo(str(value)).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        fix = 'use a name of the IANA list, such as "UTC" or "America/Sao_Paulo"'
        raise BadValue(f"{value!r} is not a time zone", fix=fix) from None


def _parse_small_int(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,4}", value.strip()):
        return int(value)
    return None
