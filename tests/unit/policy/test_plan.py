"""The plan: what would run, and what retention would keep."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from vmferry.policy.errors import BadValue
from vmferry.policy.load import validate
from vmferry.policy.plan import Backup, plan
from vmferry.policy.resolve import resolve
from vmferry.policy.vm import Retention, VmPolicy

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)  # a Saturday


def keep_newest(backups: Sequence[Backup], rule: Retention, now: datetime) -> Collection[datetime]:
    return [one.at for one in backups[-rule.keep_daily :]]


def vms(**entry: object) -> tuple[VmPolicy, ...]:
    policy, _ = validate(
        {
            "sites": {"a": {"type": "ovirt", "connection": "a"}},
            "vms_config": {"web": {"retention": {"keep_daily": 3}, **entry}},
        }
    )
    assert policy is not None
    return resolve(policy)


def test_a_week_of_daily_backups() -> None:
    made = plan(vms(), 8, NOW, keep=keep_newest)
    (web,) = made.vms
    assert [f"{one.at:%a %d}{' full' if one.full else ''}" for one in web.runs] == [
        "Sun 02 full", "Mon 03", "Tue 04", "Wed 05", "Thu 06", "Fri 07", "Sat 08", "Sun 09 full",
    ]  # fmt: skip
    assert [one.at.day for one in web.kept] == [7, 8, 9]
    assert [one.at.day for one in web.deleted] == [2, 3, 4, 5, 6]
    assert [run.at for _, run in made.runs()] == [one.at for one in web.runs]


def test_what_is_in_the_vault_counts() -> None:
    past = [Backup(NOW - timedelta(days=days), days == 5) for days in (5, 4, 3)]
    (web,) = plan(
        vms(backup_type={"full_backup_frequency": "never"}), 2, NOW, keep=keep_newest, history={"backup_web": past}
    ).vms
    assert [one.full for one in web.runs] == [False, True]
    assert web.runs[1].reason == "the last full backup is 7 days old"
    assert [one.at for one in web.deleted] == [past[0].at, past[1].at]


def test_json_has_local_times_and_windows() -> None:
    schedule = {"type": "simple", "time": "20:00", "timezone": "America/Sao_Paulo"}
    made = plan(vms(schedule=schedule, backup_window={"start": "22:00", "end": "06:00"}), 1, NOW, keep=keep_newest)
    (run,) = made.to_json()["vms"][0]["runs"]
    assert run == {
        "at": "2025-03-01T20:00:00-03:00",
        "type": "full",
        "reason": "there is no full backup yet",
        "outside_window": True,
    }


@pytest.mark.parametrize("days", [0, -1, 367])
def test_absurd_spans_are_refused(days: int) -> None:
    with pytest.raises(BadValue, match="cannot be planned"):
        plan(vms(), days, NOW, keep=keep_newest)
