"""Retention asks a person before a VM's last verified backup goes, and does what the person says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from lab.airflow.installation import Installation

from vmferry.engine.endpoint import EndpointSpec
from vmferry.vault import Order, add_point, list_backups, open_vault, verify

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

VM = "old01"
DAG = "prune_vault"


def add_backups(installed: Installation) -> list[str]:
    """Make two backups: the old one is verified, the new one has a flipped bit."""
    disk = installed.directory / "old01.raw"
    for days in (40, 1):
        disk.write_bytes(bytes([days]) * 400_000)
        moment = datetime.now(UTC) - timedelta(days=days)
        add_point(open_vault(installed.vault), Order(VM, {"root": EndpointSpec("file", str(disk), "raw")}, now=moment))
    made = [one.id for one in list_backups(open_vault(installed.vault), VM)]
    verify(open_vault(installed.vault), VM, backup=made[0])
    image = installed.vault / VM / made[1] / "root.qcow2"
    raw = bytearray(image.read_bytes())
    raw[len(raw) // 2] ^= 0x04
    image.write_bytes(raw)
    return made


def test_the_last_verified_backup_goes_only_by_a_persons_word(installed: Installation) -> None:
    old, new = add_backups(installed)
    retention = {"keep_daily": 1, "keep_weekly": 0, "keep_monthly": 0, "max_backup_age_days": 90}
    installed.write_policy(vms_config={VM: {"retention": retention}})
    installed.api.switch_on(DAG)
    run_id = installed.api.trigger(DAG)

    question = installed.wait_for_question(DAG, run_id, "approve_prune")

    assert VM in question["body"]
    assert [one.id for one in list_backups(open_vault(installed.vault), VM)] == [old, new]

    installed.approve(DAG, run_id, "approve_prune")

    assert installed.api.wait_for_run(DAG, run_id) == "success"
    assert [one.id for one in list_backups(open_vault(installed.vault), VM)] == [new]
