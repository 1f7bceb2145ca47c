"""When a backup is a full one."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from vmferry.policy.fulls import ChainState, why_full
from vmferry.policy.vm import FullRule

WEEKLY = FullRule(max_age_days=100)  # Sunday
MONTHLY = FullRule(frequency="monthly", month_day=31, max_age_days=100)
MONDAY, SATURDAY, SUNDAY = "2025-03-03T02:00", "2025-03-01T02:00", "2025-03-02T02:00"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


CASES = [
    ("first", WEEKLY, SATURDAY, None, 0, "no full backup"),
    ("switched-off", FullRule(incremental=False), SATURDAY, SATURDAY, 0, "switched off"),
    ("not-yet", WEEKLY, SATURDAY, "2025-02-23T02:00", 5, None),
    ("sunday", WEEKLY, SUNDAY, "2025-02-23T02:00", 6, "Sunday"),
    ("sunday-again", WEEKLY, "2025-03-02T14:00", SUNDAY, 0, None),
    ("sunday-was-missed", WEEKLY, MONDAY, "2025-02-23T02:00", 7, "Sunday"),
    ("after-sunday", WEEKLY, MONDAY, SUNDAY, 1, None),
    ("chain-full", WEEKLY, MONDAY, SUNDAY, 10, "10 incrementals"),
    ("too-old", FullRule(frequency="never", max_age_days=7), "2025-03-09T01:00", SUNDAY, 1, "7 days"),
    ("never", FullRule(frequency="never", max_age_days=7), "2025-03-08T23:00", SUNDAY, 1, None),
    ("always", FullRule(frequency="always"), MONDAY, SUNDAY, 0, "every backup"),
    ("daily-second", FullRule(frequency="daily"), "2025-03-02T14:00", SUNDAY, 0, None),
    ("daily-next", FullRule(frequency="daily"), MONDAY, SUNDAY, 0, "first backup of a day"),
    ("month-end-short", MONTHLY, "2025-02-28T02:00", "2025-01-31T02:00", 3, "month"),
    ("month-not-yet", MONTHLY, "2025-03-30T02:00", "2025-02-28T02:00", 3, None),
    ("month-missed", MONTHLY, "2025-03-03T02:00", "2025-02-27T02:00", 3, "month"),
]


@pytest.mark.parametrize(
    ("rule", "at", "last", "incrementals", "reason"), [one[1:] for one in CASES], ids=[one[0] for one in CASES]
)
def test_why_full(rule: FullRule, at: str, last: str | None, incrementals: int, reason: str | None) -> None:
    found = why_full(rule, utc(at), ChainState(utc(last) if last else None, incrementals))
    assert (found is None) == (reason is None)
    assert (reason or "") in (found or "")


def test_days_are_those_of_the_policys_time_zone() -> None:
    # Sunday 23:00 in São Paulo is Monday 02:00 UTC: Sunday's full backup is due there, and was made there.
    last = ChainState(utc("2025-03-03T01:00"), 0)
    assert why_full(WEEKLY, utc("2025-03-03T02:00"), last, "America/Sao_Paulo") is None
    assert why_full(FullRule(frequency="daily"), utc("2025-03-03T04:00"), last, "America/Sao_Paulo") is not None
