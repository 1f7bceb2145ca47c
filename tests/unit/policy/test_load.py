"""Reading policies: the ancestor's file works unchanged, and everything wrong is told at once, with path and fix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from vmferry.cli.program import main as program
from vmferry.policy.errors import InvalidPolicy, PolicyError
from vmferry.policy.findings import Finding, Severity
from vmferry.policy.load import load, read_file, read_text
from vmferry.policy.resolve import resolve

DATA = Path(__file__).parents[2] / "data" / "policy"
ROOT = Path(__file__).parents[3]


def read(raw: dict[str, Any]) -> tuple[Finding, ...]:
    """Read a policy that has sites of its own."""
    sites = {"a": {"type": "ovirt", "connection": "a"}, "b": {"type": "ovirt", "connection": "b"}}
    return read_text(json.dumps({"sites": sites, "defaults": {"site": "a"}, **raw}, indent=1)).findings


def vm(**entry: Any) -> dict[str, Any]:
    return {"vms_config": {"web": entry}}


def only(findings: tuple[Finding, ...]) -> Finding:
    assert len(findings) == 1, [str(one) for one in findings]
    return findings[0]


EXPECTED = {
    "VM_NAME": ("every day at 02:00 (UTC)", "0 2 * * *"),
    "seven-bits": ("every Monday, Wednesday, Friday and Sunday at 22:00 (UTC)", "0 22 * * 0,1,3,5"),
    "weekdays": ("every Monday, Tuesday, Wednesday, Thursday and Friday at 22:00 (UTC)", "0 22 * * 1,2,3,4,5"),
    "weekends": ("every Saturday and Sunday at 06:00 (UTC)", "0 6 * * 0,6"),
    "weekly": ("every Sunday at 03:00 (UTC)", "0 3 * * 0"),
    "biweekly": ("every second Saturday, counted from the week of 2024-01-01 at 03:00 (UTC)", None),
    "monthly": ("every month on day 15 at 01:00 (UTC)", "0 1 15 * *"),
    "dates": ("every month on day 1 and 15 at 03:00 (UTC)", "0 3 1,15 * *"),
    "first-and-third-sunday": ("every month on the 1st and 3rd Sunday at 02:00 (UTC)", None),
    "last-friday": ("every month on the last Friday at 23:30 (UTC)", None),
    "last-day": ("every month on day last at 23:00 (UTC)", None),
    "cron": ("every Monday, Tuesday, Wednesday, Thursday and Friday at 06:15, 18:15 (UTC)", "15 6,18 * * 1,2,3,4,5"),
    "legacy": ("every Monday, Tuesday, Wednesday, Thursday and Friday at 02:00 (UTC)", "0 2 * * 1,2,3,4,5"),
    "flat-1": ("every day at 02:00 (UTC)", "0 2 * * *"),
    "flat-2": ("every Monday and Sunday at 02:00 (UTC)", "0 2 * * 0,1"),
}


def test_ancestors_file_means_the_same() -> None:
    reading = read_file(DATA / "ancestor.json")
    assert reading.ok
    assert [(one.severity, one.path) for one in reading.findings] == [
        (Severity.WARNING, "$.source_ovirt_password"),
        (Severity.WARNING, "$.target_ovirt_password"),
    ]
    assert reading.policy is not None
    vms = {one.key: one for one in resolve(reading.policy)}
    assert {key: (one.schedule.describe(), one.schedule.to_cron()) for key, one in vms.items() if key in EXPECTED} == (
        EXPECTED
    )
    assert "switched-off" not in vms
    assert vms["VM_NAME"].dag_id == "backup_vm_name"
    assert vms["VM_NAME"].auto_restore
    assert vms["VM_NAME"].restore.site == "target"
    assert (vms["VM_NAME"].restore.disk_interface, vms["VM_NAME"].restore.timeout_s) == ("sata", 3600)
    assert vms["flat-1"].retention.max_age_days == 7
    assert vms["flat-1"].retention.keep_daily == 0
    assert vms["office-hours"].placement.retries == 3
    assert vms["office-hours"].schedule.to_cron() == "0 10,12,14,16,18,20 * * 1,2,3,4,5"
    assert not vms["first-and-third-sunday"].full.incremental


def test_example_has_no_findings() -> None:
    assert read_file(ROOT / "variables.example.json").findings == ()


WRONG = [
    ("unknown-key", vm(schedulex={}), "$.vms_config.web.schedulex", "did you mean 'schedule'"),
    ("unknown-top-key", {"vm_config": {}}, "$.vm_config", "did you mean 'vms_config'"),
    ("bad-time", vm(schedule={"type": "simple", "time": "25:00"}), "$.vms_config.web.schedule.time", "23:59"),
    ("six-bits", vm(schedule={"type": "custom", "pattern": "101010"}), "$.vms_config.web.schedule.pattern", "seven"),
    ("no-bits", vm(backup_policy="0000000"), "$.vms_config.web.backup_policy", "enabled"),
    ("day-32", vm(schedule={"type": "advanced", "days": [1, 32]}), "$.vms_config.web.schedule.days[1]", "1 to 31"),
    ("week-6", vm(schedule={"type": "advanced", "weeks": [6]}), "$.vms_config.web.schedule.weeks[0]", "1 to 5"),
    ("no-schedule", vm(schedule="daily"), "$.vms_config.web.schedule", "type"),
    ("bad-type", vm(schedule={"type": "dayly"}), "$.vms_config.web.schedule", "simple"),
    ("weekday-alone", vm(schedule={"type": "advanced", "day": "monday"}), "$.vms_config.web.schedule", "weeks"),
    ("cron-fields", vm(schedule={"type": "cron", "expression": "* *"}), "$.vms_config.web.schedule", "five"),
    (
        "hours-back",
        vm(schedule={"type": "hourly", "start_hour": 9, "end_hour": 8}),
        "$.vms_config.web.schedule",
        "cron",
    ),
    ("two-forms", vm(backup_policy="1111111", schedule={"type": "simple"}), "$.vms_config.web", "keep 'schedule'"),
    (
        "keeps-nothing",
        vm(retention={"keep_daily": 0, "keep_weekly": 0, "keep_monthly": 0}),
        "$.vms_config.web.retention",
        "keep_daily",
    ),
    ("keeps-minus", vm(retention={"keep_daily": -1}), "$.vms_config.web.retention.keep_daily", "0 or more"),
    ("no-number", vm(retention={"keep_daily": "many"}), "$.vms_config.web.retention.keep_daily", "digits"),
    ("no-flag", vm(enabled="perhaps"), "$.vms_config.web.enabled", "true or false"),
    (
        "too-young",
        vm(
            schedule={"type": "simple", "pattern": "monthly"},
            retention={"max_backup_age_days": 20, "keep_weekly": 1, "keep_monthly": 0},
        ),
        "$.vms_config.web.retention.max_backup_age_days",
        "raise",
    ),
    ("no-site", vm(site="c"), "$.vms_config.web.site", "known sites: a, b"),
    ("no-login", {"sites": {"a": {"type": "ovirt"}}, **vm()}, "$.sites.a", "connection"),
    ("no-target", vm(auto_restore=True), "$.vms_config.web.auto_restore", "target_ovirt_url"),
    (
        "same-name",
        vm(auto_restore=True, restore={"site": "a", "vm_name_suffix": ""}),
        "$.vms_config.web.auto_restore",
        "suffix",
    ),
    ("never", vm(schedule={"type": "cron", "expression": "0 2 30 2 *"}), "$.vms_config.web.schedule", "no month"),
    ("no-zone", {"timezone": "Mars/Base", **vm()}, "$.timezone", "IANA"),
    (
        "full-day",
        vm(backup_type={"full_backup_frequency": "weekly", "full_backup_day": 15}),
        "$.vms_config.web.backup_type.full_backup_day",
        "sunday",
    ),
    ("window", vm(backup_window={"start": "02:00", "end": "02:00"}), "$.vms_config.web.backup_window", "whole day"),
    ("pattern-name", {"vms_config": {"web-*": {"name": "x"}}}, "$.vms_config['web-*'].name", "take it away"),
    ("two-entries", {"vms_config": {"web": {}, "other": {"name": "web"}}}, "$.vms_config.other", "one entry"),
    ("dag-ids", {"vms_config": {"web": {}, "other": {"dag_id": "backup_web"}}}, "$.vms_config.other", "dag_id"),
    (
        "no-waves",
        {"migrations": {"m": {"source": "a", "target": "b", "waves": []}}, **vm()},
        "$.migrations.m.waves",
        "at least 1",
    ),
    ("import-site", {"imports": {"i": {"site": "a", "bucket": "x"}}, **vm()}, "$.imports.i.site", "oci"),
    (
        "same-bucket",
        {
            "bucket_migrations": {
                "m": {"source": {"connection": "c", "bucket": "x"}, "target": {"connection": "c", "bucket": "x"}}
            },
            **vm(),
        },
        "$.bucket_migrations.m",
        "another",
    ),
]


@pytest.mark.parametrize(("raw", "path", "fix"), [one[1:] for one in WRONG], ids=[one[0] for one in WRONG])
def test_wrong_policy_gives_one_clear_error(raw: dict[str, Any], path: str, fix: str) -> None:
    found = only(tuple(one for one in read(raw) if one.is_error))
    assert found.path == path
    assert fix in found.fix
    assert found.line is not None


DOUBTFUL = [
    ("short-month", vm(schedule={"type": "simple", "pattern": "monthly", "day_of_month": 31}), "schedule", "last"),
    ("fifth", vm(schedule={"type": "advanced", "weeks": [5], "day": "friday"}), "schedule", "last"),
    ("idle-key", vm(schedule={"type": "simple", "pattern": "daily", "day": "monday"}), "schedule.day", "take it away"),
    ("rpo", vm(rpo="12h"), "rpo", "more often"),
    ("outside-window", vm(backup_window={"start": "22:00", "end": "01:00"}), "backup_window", "into it"),
    ("every-minute", vm(schedule={"type": "cron", "expression": "* * * * *"}), "schedule", "half hour"),
    ("never-again", vm(auto_restore=True, restore={"site": "b"}), "auto_restore", "replace_existing_vm"),
    ("deleted-early", vm(retention={"keep_monthly": 12, "max_backup_age_days": 90}), "retention.keep_monthly", "raise"),
]


@pytest.mark.parametrize(("raw", "path", "fix"), [one[1:] for one in DOUBTFUL], ids=[one[0] for one in DOUBTFUL])
def test_doubtful_policy_works_but_warns(raw: dict[str, Any], path: str, fix: str) -> None:
    found = only(read(raw))
    assert (found.severity, found.path) == (Severity.WARNING, f"$.vms_config.web.{path}")
    assert fix in found.fix


def test_all_errors_of_form_and_of_meaning_come_at_once() -> None:
    findings = read(
        {
            "tymezone": "UTC",
            "vms_config": {
                "web": {
                    "schedule": {"type": "simple", "patternx": "daily", "time": "9"},
                    "retention": {"keep_daily": "x"},
                },
                "db": {"site": "nowhere"},
            },
        }
    )
    assert {one.path for one in findings if one.is_error} == {
        "$.tymezone",
        "$.vms_config.web.schedule.patternx",
        "$.vms_config.web.schedule.time",
        "$.vms_config.web.retention.keep_daily",
        "$.vms_config.db.site",
    }
    assert [one.line for one in findings] == sorted(one.line or 0 for one in findings)


def test_seven_mistakes_in_one_file_are_told_together_and_nothing_is_rendered(tmp_path: Path) -> None:
    path, dags = tmp_path / "variables.json", tmp_path / "dags"
    path.write_text(
        """{
        "sites": {"a": {"type": "ovirt", "connection": "a"}, "bare": {"type": "ovirt"}},
        "defaults": {"site": "a"},
        "vms_config": {
            "key": {"schedulex": {}},
            "time": {"schedule": {"type": "simple", "time": "25:00"}},
            "bits": {"schedule": {"type": "custom", "pattern": "101010"}},
            "day": {"schedule": {"type": "advanced", "days": [32]}},
            "twice": {}, "twice": {},
            "nothing": {"retention": {"keep_daily": 0, "keep_weekly": 0, "keep_monthly": 0}}
        }}"""
    )
    with pytest.raises(InvalidPolicy, match="7 errors") as caught:
        load(path)
    errors = [one for one in caught.value.findings if one.is_error]
    assert [one.path for one in errors] == [
        "$.sites.bare",
        "$.vms_config.key.schedulex",
        "$.vms_config.time.schedule.time",
        "$.vms_config.bits.schedule.pattern",
        "$.vms_config.day.schedule.days[0]",
        "$.vms_config.twice",
        "$.vms_config.nothing.retention",
    ]
    assert all(one.fix and one.line for one in errors)
    command = ["policy", "render", str(path), "--template", str(ROOT / "dag_templates/backup.py.j2"), "--to", str(dags)]
    done = CliRunner().invoke(program, command)
    assert done.exit_code == 2
    assert all(one.path in done.output for one in errors)
    assert not dags.exists()


def test_overlapping_patterns_warn_only_when_equally_exact() -> None:
    found = only(read({"vms_config": {"web-*": {}, "*-dev": {}, "web-prod-*": {}, "db-*": {}, "tag:gold": {}}}))
    assert (found.path, found.severity) == ("$.vms_config['*-dev']", Severity.WARNING)
    assert "'web-*'" in found.message


def test_two_waves_cannot_claim_one_vm() -> None:
    waves = [{"name": "1", "vms": {"names": ["web", "db-*"]}}, {"name": "2", "vms": {"names": ["web", "db-1"]}}]
    findings = read({"migrations": {"m": {"source": "a", "target": "b", "waves": waves}}, **vm()})
    assert [one.message for one in findings] == [
        "the VM 'web' is in the wave '1' too",
        "the VM 'db-1' is in the wave '1' too",
    ]


def test_vm_that_is_there_twice_is_named() -> None:
    text = '{"vms_config": {\n"web": {},\n"db": {},\n"web": {"enabled": false}\n}}'
    found = next(one for one in read_text(text).findings if "twice" in one.message)
    assert (found.is_error, found.path, found.line) == (True, "$.vms_config.web", 4)
    assert found.message == "the VM 'web' is there twice"


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("", "comma"),
        ("[]", "begin with {"),
        ('{"a": 1,}', "comma"),
        ("{\n// note\n}", "no comments"),
        ('{"timezone": NaN}', "digits"),
        ("[" * 100_000, "levels"),
        ("null", "begin with {"),
    ],
    ids=["empty", "list", "comma", "comment", "nan", "deep", "null"],
)
def test_text_that_is_no_policy(text: str, fix: str) -> None:
    reading = read_text(text)
    assert reading.policy is None
    assert fix in only(reading.findings).fix


def test_members_that_begin_with_slashes_are_comments() -> None:
    assert read({"// why": 1, "vms_config": {"// a": [], "web": {"//": {"b": 1}, "retention": {"//x": 2}}}}) == ()


def test_password_is_never_in_a_message() -> None:
    findings = read({"source_ovirt_password": ["hunter2hunter2"], **vm()})
    assert findings
    assert not any("hunter2" in str(one) for one in findings)
    reading = read_text(json.dumps({"source_ovirt_password": "hunter2hunter2", "source_ovirt_url": "http://x/api"}))
    assert "hunter2" not in f"{reading!r}"


def test_load_raises_with_every_finding(tmp_path: Path) -> None:
    path = tmp_path / "variables.json"
    path.write_text('{"a": 1, "b": 2}')
    with pytest.raises(InvalidPolicy, match="2 errors") as caught:
        load(path)
    assert len(caught.value.findings) >= 2
    path.write_bytes(b'{"a":\n"\xff"}')
    assert "line 2 is not UTF-8" in only(read_file(path).findings).message
    with pytest.raises(PolicyError, match="No such file"):
        load(tmp_path / "missing.json")
