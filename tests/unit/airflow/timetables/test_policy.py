from __future__ import annotations

from datetime import UTC, datetime, time

import pytest

from vmferry.policy.days import Weekdays
from vmferry.policy.schedules import make_schedule
from vmferry.timetables.policy import PolicyTimetable

DAILY = make_schedule(Weekdays(frozenset(range(7))), (time(2),), "UTC").to_json()
YESTERDAY, TODAY, TOMORROW = (datetime(2026, 3, day, 2, tzinfo=UTC) for day in (9, 10, 11))


def test_a_new_dag_waits_for_its_next_time() -> None:
    now = datetime(2026, 3, 10, 10, tzinfo=UTC)

    assert PolicyTimetable(DAILY).next_run(None, datetime(2026, 1, 1, tzinfo=UTC), now, catchup=False) == TOMORROW


def test_a_run_that_was_made_is_not_made_again() -> None:
    now = datetime(2026, 3, 10, 2, 0, 1, tzinfo=UTC)

    assert PolicyTimetable(DAILY).next_run(TODAY, None, now, catchup=False) == TOMORROW


def test_of_many_missed_runs_the_last_one_is_made_up_for() -> None:
    last = datetime(2026, 2, 1, 2, tzinfo=UTC)

    assert PolicyTimetable(DAILY).next_run(last, None, datetime(2026, 3, 10, 10, tzinfo=UTC), catchup=False) == TODAY


@pytest.mark.parametrize(
    ("hour", "expected"), [(4, TODAY), (10, TOMORROW)], ids=["inside-the-window", "outside-of-the-window"]
)
def test_a_missed_run_waits_for_the_window(hour: int, expected: datetime) -> None:
    table = PolicyTimetable(DAILY, ["01:00", "05:00"])

    assert table.next_run(YESTERDAY, None, datetime(2026, 3, 10, hour, tzinfo=UTC), catchup=False) == expected


def test_with_catchup_every_missed_run_is_made() -> None:
    last = datetime(2026, 2, 1, 2, tzinfo=UTC)

    found = PolicyTimetable(DAILY).next_run(last, None, datetime(2026, 3, 10, 10, tzinfo=UTC), catchup=True)

    assert found == datetime(2026, 2, 2, 2, tzinfo=UTC)


def test_it_survives_serialization() -> None:
    table = PolicyTimetable(DAILY, ["22:00", "05:00"])

    again = PolicyTimetable.deserialize(table.serialize())

    assert again.serialize() == table.serialize()
    assert again.summary == "0 2 * * *"
