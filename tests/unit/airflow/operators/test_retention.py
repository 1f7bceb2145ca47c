"""What is verified and what may go, over a vault with real backups."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.airflow.policies import write_policy

from vmferry.engine.endpoint import EndpointSpec
from vmferry.operators.retention import ListDueOperator, PlanPruneAllOperator
from vmferry.operators.vault import DamageFound, PruneOperator, VerifyBackupsOperator
from vmferry.sensors.vault import BackupSensor
from vmferry.vault import Order, add_point, list_shelves, open_vault, sealed, verify
from vmferry.vault.names import format_moment

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def vault(tmp_path: Path, policy_file: Path) -> Path:
    """Four full backups of one VM, a day apart, of which retention keeps one."""
    path = tmp_path / "vault"
    disk = tmp_path / "disk.raw"
    for days in (40, 39, 38, 1):
        disk.write_bytes(bytes([days]) * 300_000)
        order = Order("web01", {"root": EndpointSpec("file", str(disk), "raw")}, now=NOW - timedelta(days=days))
        add_point(open_vault(path), order)
    retention = {"keep_daily": 1, "keep_weekly": 0, "keep_monthly": 0, "max_backup_age_days": 90}
    write_policy(policy_file, backup_directory=str(path), vms_config={"web01": {"retention": retention}})
    return path


def plan(vault: Path) -> dict[str, Any]:
    pushed: dict[str, Any] = {}
    ti = SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}))
    return PlanPruneAllOperator(task_id="plan").execute({"ti": ti})


def ids(vault: Path) -> list[str]:
    (shelf,) = list_shelves(open_vault(vault), "web01")
    return [entry.id for entry in shelf.entries]


def damage(vault: Path, backup: str) -> None:
    (image,) = (vault / "web01" / backup).glob("*.qcow2")
    raw = bytearray(image.read_bytes())
    raw[len(raw) // 2] ^= 0x10
    image.write_bytes(raw)


def test_what_retention_lets_go_needs_nobody_while_a_sound_one_stays(vault: Path) -> None:
    verify(open_vault(vault), "web01", backup=ids(vault)[0])

    planned = plan(vault)

    assert [one["vm"] for one in planned["free"]] == ["web01"]
    assert planned["asks"] == []


def test_somebody_is_asked_before_the_last_sound_backup_goes(vault: Path) -> None:
    verify(open_vault(vault), "web01", backup=ids(vault)[0])
    damage(vault, ids(vault)[-1])

    planned = plan(vault)

    assert [one["vm"] for one in planned["asks"]] == ["web01"]
    assert planned["free"] == []


def test_prune_does_what_was_planned(vault: Path, store: Any) -> None:
    newest = ids(vault)[-1]
    (order,) = plan(vault)["free"]

    done = PruneOperator(task_id="prune", **order).execute({"task_state_store": store})

    assert ids(vault) == [newest]
    assert len(done["removed"]) == 3


def test_a_vm_is_due_when_a_backup_was_not_verified_for_long(vault: Path) -> None:
    operator = ListDueOperator(task_id="due")
    assert operator.execute({}) == []  # all were proven when they were made, a moment ago

    (shelf,) = list_shelves(open_vault(vault), "web01")
    entry = shelf.entries[0]
    body = {"checksum_of_point": entry.checksum, "verdict": "sound", "modes": ["content"]}
    (vault / "web01" / ".verified").mkdir()
    sealed.write(vault / "web01" / ".verified" / entry.id, {**body, "when": format_moment(NOW - timedelta(days=31))})

    assert operator.execute({}) == [{"vault": str(vault), "vm": "web01"}]


def test_damage_fails_the_task_and_names_the_backup(vault: Path, store: Any) -> None:
    newest = ids(vault)[-1]
    damage(vault, newest)

    with pytest.raises(DamageFound, match=newest):
        VerifyBackupsOperator(task_id="verify", vault=str(vault), vm="web01").execute({"task_state_store": store})


@pytest.mark.parametrize(("max_age_s", "done"), [(48 * 3600, True), (3600, False)], ids=["young", "too-old"])
def test_the_sensor_waits_for_a_young_backup(vault: Path, max_age_s: float, *, done: bool) -> None:
    found = BackupSensor(task_id="wait", vault=str(vault), vm="web01", max_age_s=max_age_s).poke({})

    assert found.is_done is done
