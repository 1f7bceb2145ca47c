"""Cron expressions against a slow and simple reading of them."""

from __future__ import annotations

from datetime import date, time, timedelta

import pytest

from vmferry.policy.cron import parse_cron
from vmferry.policy.errors import BadValue


def dates(expression: str, start: date, days: int) -> list[str]:
    rule, _ = parse_cron(expression)
    return [f"{day:%a %m-%d}" for day in (start + timedelta(days=n) for n in range(days)) if rule.matches(day)]


@pytest.mark.parametrize(
    ("expression", "count", "first", "last"),
    [
        ("15 6,18 * * 1-5", 2, time(6, 15), time(18, 15)),
        ("0 */3 * * *", 8, time(0), time(21)),
        ("*/20 8-10 * * *", 9, time(8), time(10, 40)),
        ("5/15 0 * * *", 4, time(0, 5), time(0, 50)),
        ("@daily", 1, time(0), time(0)),
        ("@hourly", 24, time(0), time(23)),
    ],
    ids=["lists", "step", "range-step", "open-step", "daily", "hourly"],
)
def test_times(expression: str, count: int, first: time, last: time) -> None:
    _, times = parse_cron(expression)
    assert (len(times), times[0], times[-1]) == (count, first, last)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 0 * * 7", ["Sun 06-02", "Sun 06-09"]),
        ("0 0 * * fri-sun", ["Sat 06-01", "Sun 06-02", "Fri 06-07", "Sat 06-08", "Sun 06-09"]),
        ("0 0 3,10 * *", ["Mon 06-03", "Mon 06-10"]),
        ("0 0 4 * sun", ["Sun 06-02", "Tue 06-04", "Sun 06-09"]),
        ("0 0 */2 * sun", ["Sun 06-09"]),
        ("0 0 * jul *", []),
        ("0 0 * 6 mon#2", ["Mon 06-10"]),
        ("0 0 ? * SAT", ["Sat 06-01", "Sat 06-08"]),
    ],
    ids=["sunday-7", "backwards", "dates", "either", "star-step-is-both", "month", "nth", "question-mark"],
)
def test_dates(expression: str, expected: list[str]) -> None:
    assert dates(expression, date(2024, 6, 1), 10) == expected


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "* * * *",
        "0 0 2 * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "5-1 * * * *",
        "*/0 * * * *",
        "a * * * *",
        "1- * * * *",
        "* * * foo *",
        "@reboot",
        "* * * * mon#6",
        "1,,2 * * * *",
        "*-3 * * * *",
    ],
)
def test_refused(expression: str) -> None:
    with pytest.raises(BadValue) as caught:
        parse_cron(expression)
    assert caught.value.fix
