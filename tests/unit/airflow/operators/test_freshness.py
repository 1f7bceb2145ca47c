"""VMs that are late for their RPO are told of, also those that never run."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.airflow.policies import write_policy

from vmferry.engine.endpoint import EndpointSpec
from vmferry.notifications.notice import NoticeNotifier
from vmferry.operators.freshness import CheckFreshnessOperator
from vmferry.vault import Order, add_point, open_vault

NOW = datetime.now(UTC)
NOTICE = {"events": ["rpo_missed"], "type": "webhook", "connection": "hook"}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, list[dict[str, Any]]]]:
    """What would have been told, to whom; sending is tested with a real web hook elsewhere."""
    found: list[tuple[str, str, list[dict[str, Any]]]] = []

    def note(self: NoticeNotifier, context: Any) -> None:
        found.append((self.subject, self.message, self.notices or []))

    monkeypatch.setattr(NoticeNotifier, "notify", note)
    return found


@pytest.fixture
def vault(tmp_path: Path, policy_file: Path) -> Path:
    """A young backup of one VM, an old one of another, none of two more."""
    path, disk = tmp_path / "vault", tmp_path / "disk.raw"
    disk.write_bytes(b"x" * 70_000)
    for vm, hours in (("young", 1), ("old", 30)):
        order = Order(vm, {"root": EndpointSpec("file", str(disk), "raw")}, now=NOW - timedelta(hours=hours))
        add_point(open_vault(path), order)
    vms: dict[str, Any] = {name: {"rpo": "26h"} for name in ("young", "old", "none")}
    notices = [{**NOTICE, "repeat_after": "2d"}, {**NOTICE, "events": ["failure"], "connection": "other"}]
    write_policy(policy_file, backup_directory=str(path), vms_config={**vms, "free": {}}, notifications=notices)
    return path


def check() -> dict[str, Any]:
    return {one["vm"]: one["newest"] for one in CheckFreshnessOperator(task_id="check").execute({})}


def test_who_is_late_is_told_to_those_who_want_it(
    vault: Path, policy_file: Path, told: list[tuple[str, str, list[dict[str, Any]]]]
) -> None:
    assert vault.is_dir()
    os.utime(policy_file, (NOW.timestamp() - 27 * 3600,) * 2)

    late = check()

    assert list(late) == ["none", "old"]
    assert late["old"].startswith("old_")
    assert late["none"] is None
    assert [subject for subject, _, _ in told] == ["backup_none", "backup_old"]
    assert "no backup for its RPO" in told[0][1]
    assert "older than its RPO of 26 h" in told[1][1]
    assert [(one["connection"], one["repeat_after_s"]) for one in told[0][2]] == [("hook", 2 * 24 * 3600)]


def test_a_new_vm_has_its_rpo_to_get_a_first_backup(vault: Path, told: list[Any]) -> None:
    assert vault.is_dir()

    assert list(check()) == ["old"]
    assert len(told) == 1


def test_one_who_cannot_be_told_keeps_no_other_from_hearing(
    vault: Path, policy_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert vault.is_dir()
    os.utime(policy_file, (NOW.timestamp() - 27 * 3600,) * 2)
    tried: list[str] = []

    def fail(self: NoticeNotifier, context: Any) -> None:
        tried.append(self.subject)
        raise ConnectionError(f"{self.subject}: nobody is there")

    monkeypatch.setattr(NoticeNotifier, "notify", fail)

    with pytest.raises(ConnectionError, match=r"backup_none: nobody is there; backup_old: nobody"):
        check()

    assert tried == ["backup_none", "backup_old"]
