"""Schedules: dates, times, clock changes, year ends and leap days."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmferry.policy.cron import parse_cron
from vmferry.policy.days import DayRule, EveryOtherWeek, MonthDays, NthWeekdays, Weekdays
from vmferry.policy.schedules import Schedule, make_schedule
from vmferry.policy.values import LAST

DAILY = Weekdays(frozenset(range(7)))
BERLIN, SAO_PAULO = "Europe/Berlin", "America/Sao_Paulo"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def at(rule: DayRule, *times: str, zone: str = "UTC") -> Schedule:
    return make_schedule(rule, tuple(time.fromisoformat(one) for one in times), zone)


def runs(schedule: Schedule, start: str, end: str) -> list[str]:
    return [f"{one:%m-%d %H:%M}" for one in schedule.between(utc(start), utc(end))]


CLOCK_CHANGES = [
    (
        "gap",
        at(DAILY, "02:30", zone=BERLIN),
        "2025-03-29",
        "2025-03-31T12:00",
        ["03-29 01:30", "03-30 01:30", "03-31 00:30"],
    ),
    ("gap-meets-next", at(DAILY, "02:30", "03:30", zone=BERLIN), "2025-03-30", "2025-03-30T12:00", ["03-30 01:30"]),
    (
        "gap-passes-next",
        at(DAILY, "02:30", "03:00", zone=BERLIN),
        "2025-03-30",
        "2025-03-30T12:00",
        ["03-30 01:00", "03-30 01:30"],
    ),
    ("twice-is-once", at(DAILY, "02:30", zone=BERLIN), "2025-10-25", "2025-10-27", ["10-25 00:30", "10-26 00:30"]),
    (
        "gap-at-midnight",
        at(DAILY, "00:00", zone=SAO_PAULO),
        "2018-11-03",
        "2018-11-06",
        ["11-03 03:00", "11-04 03:00", "11-05 02:00"],
    ),
    (
        "half-hour-gap",
        at(DAILY, "02:15", zone="Australia/Lord_Howe"),
        "2025-10-04T10:00",
        "2025-10-05T00:00",
        ["10-04 15:45"],
    ),
    (
        "day-that-never-was",
        at(DAILY, "01:00", zone="Pacific/Apia"),
        "2011-12-29T12:00",
        "2011-12-31T12:00",
        ["12-30 11:00", "12-31 11:00"],
    ),
    ("new-year", at(DAILY, "00:30", zone=BERLIN), "2024-12-31", "2025-01-01T12:00", ["12-31 23:30"]),
]


@pytest.mark.parametrize(
    ("schedule", "start", "end", "expected"), [one[1:] for one in CLOCK_CHANGES], ids=[one[0] for one in CLOCK_CHANGES]
)
def test_clock_changes(schedule: Schedule, start: str, end: str, expected: list[str]) -> None:
    assert runs(schedule, start, end) == expected
    walked, moment = [], utc(start) - timedelta(microseconds=1)
    while (following := schedule.next_after(moment)) is not None and following < utc(end):
        walked.append(f"{following:%m-%d %H:%M}")
        moment = following
    assert walked == expected


CALENDAR = [
    (
        "biweekly-over-week-53",
        EveryOtherWeek(frozenset({4})),
        "2020-12-01",
        "2021-02-01",
        ["2020-12-11", "2020-12-25", "2021-01-08", "2021-01-22"],
    ),
    (
        "biweekly-anchored",
        EveryOtherWeek(frozenset({4}), date(2020, 12, 1)),
        "2020-12-01",
        "2021-01-20",
        ["2020-12-04", "2020-12-18", "2021-01-01", "2021-01-15"],
    ),
    (
        "biweekly-before-anchor",
        EveryOtherWeek(frozenset({0}), date(2030, 1, 2)),
        "2024-01-01",
        "2024-02-01",
        ["2024-01-08", "2024-01-22"],
    ),
    (
        "leap-day",
        MonthDays(frozenset({29})),
        "2024-02-01",
        "2025-04-01",
        ["2024-02-29", *(f"2024-{m:02}-29" for m in range(3, 13)), "2025-01-29", "2025-03-29"],
    ),
    (
        "last-day",
        MonthDays(frozenset({LAST})),
        "2023-12-01",
        "2024-04-01",
        ["2023-12-31", "2024-01-31", "2024-02-29", "2024-03-31"],
    ),
    (
        "last-friday",
        NthWeekdays(frozenset({LAST}), frozenset({4})),
        "2024-11-01",
        "2025-03-01",
        ["2024-11-29", "2024-12-27", "2025-01-31", "2025-02-28"],
    ),
    (
        "fifth-and-last",
        NthWeekdays(frozenset({5, LAST}), frozenset({3})),
        "2024-02-01",
        "2024-04-01",
        ["2024-02-29", "2024-03-28"],
    ),
    (
        "first-third-sunday",
        NthWeekdays(frozenset({1, 3}), frozenset({6})),
        "2023-12-15",
        "2024-01-31",
        ["2023-12-17", "2024-01-07", "2024-01-21"],
    ),
    ("31st", MonthDays(frozenset({31})), "2024-01-01", "2024-06-01", ["2024-01-31", "2024-03-31", "2024-05-31"]),
]


@pytest.mark.parametrize(
    ("rule", "start", "end", "expected"), [one[1:] for one in CALENDAR], ids=[one[0] for one in CALENDAR]
)
def test_calendar(rule: DayRule, start: str, end: str, expected: list[str]) -> None:
    found = at(rule, "12:00").between(utc(start), utc(end))
    assert [one.date().isoformat() for one in found] == expected


def test_rare_and_impossible_dates() -> None:
    leap = make_schedule(*parse_cron("0 2 29 2 *"))
    assert leap.next_after(utc("2096-03-01")) == utc("2104-02-29T02:00")
    assert make_schedule(*parse_cron("0 2 30 2 *")).next_after(utc("2024-01-01")) is None


def test_moments_need_a_zone() -> None:
    with pytest.raises(ValueError, match="time zone"):
        at(DAILY, "02:00").next_after(datetime(2025, 1, 1))


weekdays = st.frozensets(st.integers(0, 6), min_size=1)
rules = st.one_of(
    st.builds(Weekdays, weekdays),
    st.builds(EveryOtherWeek, weekdays, st.dates(date(2000, 1, 1), date(2050, 1, 1))),
    st.builds(MonthDays, st.frozensets(st.sampled_from([*range(1, 32), LAST]), min_size=1)),
    st.builds(NthWeekdays, st.frozensets(st.sampled_from([1, 2, 3, 4, 5, LAST]), min_size=1), weekdays),
    st.sampled_from(
        ["1,15 * *", "* 2,8 1-5", "1-7 * 0", "*/3 * mon", "l * *", "* * fri#2,l1", "13 * fri", "* 1 fri-sun"]
    ).map(lambda fields: parse_cron(f"0 0 {fields}")[0]),
)
times = st.lists(st.times().map(lambda one: one.replace(second=0, microsecond=0)), min_size=1, max_size=3)
zones = st.sampled_from(["UTC", BERLIN, SAO_PAULO, "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu"])
schedules = st.builds(lambda rule, when, zone: make_schedule(rule, tuple(when), zone), rules, times, zones)
moments = st.datetimes(datetime(2008, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))


@settings(max_examples=150, deadline=None)
@given(schedules, moments)
def test_next_after_is_the_first_of_between(schedule: Schedule, moment: datetime) -> None:
    following = schedule.next_after(moment)
    if following is None:
        assert schedule.between(moment, moment + timedelta(days=400)) == ()
        return
    assert following > moment
    found = schedule.between(moment + timedelta(microseconds=1), following + timedelta(days=40))
    assert found[0] == following
    assert list(found) == sorted(set(found))
    assert schedule.latest_until(following) == following
    before = schedule.latest_until(following - timedelta(microseconds=1))
    assert before is None or (before <= moment and schedule.next_after(before) == following)


@settings(max_examples=150, deadline=None)
@given(schedules, moments)
def test_each_run_is_at_a_time_of_a_date_that_fits(schedule: Schedule, moment: datetime) -> None:
    zone = ZoneInfo(schedule.timezone)
    for run in schedule.between(moment, moment + timedelta(days=60)):
        local = run.astimezone(zone)
        # A clock change moves a run by at most a day (Samoa); each comes from a date and a time that fit.
        candidates = [
            datetime.combine(local.date() - timedelta(days=back), one, tzinfo=zone)
            for back in (0, 1)
            for one in schedule.times
            if schedule.days.matches(local.date() - timedelta(days=back))
        ]
        assert run in {one.astimezone(UTC) for one in candidates}


@settings(max_examples=150, deadline=None)
@given(schedules, moments)
def test_json_and_cron_mean_the_same(schedule: Schedule, moment: datetime) -> None:
    assert Schedule.from_json(schedule.to_json()) == schedule
    expression = schedule.to_cron()
    if expression is not None:
        again = make_schedule(*parse_cron(expression), schedule.timezone)
        end = moment + timedelta(days=100)
        assert again.between(moment, end) == schedule.between(moment, end)
