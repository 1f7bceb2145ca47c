"""A restore through the form, and a question that a person answers."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from lab.airflow.installation import Installation, add_vm
from lab.ovirt import OvirtLab
from lab.ovirt.lab import LabVm
from tests.e2e.ui.page import Page
from tests.e2e.ui.pages import Album, choose, open_trigger_form, press_trigger, run_path

from vmferry.engine.endpoint import EndpointSpec
from vmferry.engine.units import MiB
from vmferry.vault import Order, add_point, list_backups, open_vault, verify

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

VM = "till01"
OLD = "attic01"


@pytest.fixture(scope="module")
def vm(installed: Installation) -> LabVm:
    """A VM with one disk and a backup."""
    made = add_vm(installed.production, installed.directory, VM, disks=1, size_bytes=24 * MiB)
    installed.write_policy(vms_config={VM: {}})
    installed.render()
    installed.run(f"backup_{VM}")
    return made


def digest(lab: OvirtLab, disk: str, path: Path) -> str:
    """Hash what a disk holds, past everything of ours."""
    lab.copy_disk(disk, path)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    path.unlink()
    return found


def test_a_form_that_is_filled_in_restores_the_vm(installed: Installation, page: Page, vm: LabVm, album: Album) -> None:
    open_trigger_form(page, "restore_vm")
    page.fill("#element_vm", VM)
    page.fill("#element_name", "till01_again")
    choose(page, "start", "yes")
    page.see("yes", "#element_start")
    page.see("as the policy says", "#element_connect_networks")
    album.keep(page, "restore-form", height=1800, css="[role=dialog]")

    run_id = press_trigger(page)

    state = installed.api.wait_for_run("restore_vm", run_id, timeout_s=600)
    assert state == "success", installed.api.explain("restore_vm", run_id)
    page.see("Success")
    made = installed.api.xcom("restore_vm", run_id, "create_vm")
    assert (made["vm"], made["status"]) == ("till01_again", "up")
    (disk,) = installed.api.all_xcoms("restore_vm", run_id, "restore_vm_disks")
    witness = installed.directory / "witness.raw"
    assert digest(installed.recovery, disk["id"], witness) == digest(installed.production, vm.disks[0], witness)


def test_a_person_says_whether_the_last_verified_backup_may_go(
    installed: Installation, page: Page, album: Album
) -> None:
    old, new = add_backups(installed)
    retention = {"keep_daily": 1, "keep_weekly": 0, "keep_monthly": 0, "max_backup_age_days": 90}
    installed.write_policy(vms_config={OLD: {"retention": retention}})
    installed.api.switch_on("prune_vault")
    run_id = installed.api.trigger("prune_vault")
    installed.wait_for_question("prune_vault", run_id, "approve_prune")

    page.go(f"{run_path('prune_vault', run_id)}/tasks/approve_prune/required_actions")
    page.see(OLD)
    page.see(old)
    album.keep(page, "approval", height=600)
    page.see(new)
    page.click("button", "Approve")

    assert installed.api.wait_for_run("prune_vault", run_id) == "success"
    assert [one.id for one in list_backups(open_vault(installed.vault), OLD)] == [new]


def add_backups(installed: Installation) -> list[str]:
    """Make two backups: the old one is verified, the new one has a flipped bit."""
    disk = installed.directory / f"{OLD}.raw"
    for days in (40, 1):
        disk.write_bytes(bytes([days]) * 400_000)
        moment = datetime.now(UTC) - timedelta(days=days)
        add_point(open_vault(installed.vault), Order(OLD, {"root": EndpointSpec("file", str(disk), "raw")}, now=moment))
    made = [one.id for one in list_backups(open_vault(installed.vault), OLD)]
    verify(open_vault(installed.vault), OLD, backup=made[0])
    image = installed.vault / OLD / made[1] / "root.qcow2"
    raw = bytearray(image.read_bytes())
    raw[len(raw) // 2] ^= 0x04
    image.write_bytes(raw)
    return made
