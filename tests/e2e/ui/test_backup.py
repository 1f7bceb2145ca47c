"""A backup that a person starts with the mouse, watches, and follows to the site and to the vault."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import pytest
from lab.airflow.installation import Installation, add_vm, wait_until
from lab.ovirt.lab import LabVm
from tests.e2e.ui.page import Page
from tests.e2e.ui.pages import Album, choose, open_trigger_form, press_trigger, run_path

from vmferry.engine.units import MiB

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

VM = "shop01"
DAG = f"backup_{VM}"
SIZE_BYTES = 64 * MiB


@pytest.fixture(scope="module")
def vm(installed: Installation) -> LabVm:
    made = add_vm(installed.production, installed.directory, VM, size_bytes=SIZE_BYTES)
    for offset in range(0, SIZE_BYTES - 4 * MiB, 4 * MiB):
        installed.production.guest_write(made.disks[0], offset, bytes(range(256)) * 8192)  # 2 MiB that are not zeros
    installed.write_policy(vms_config={VM: {"max_rate": "1MiB"}})
    installed.run("generate_complete_dynamic_dags")
    installed.api.wait_for_dags(DAG)
    return made


@pytest.fixture(scope="module")
def run_id(installed: Installation, page: Page, vm: LabVm) -> str:
    """Switch the DAG on and start a run of it, both with the mouse."""
    assert vm.name == VM
    page.go(f"/dags/{DAG}")
    page.click("[data-testid=toggle-pause]")
    wait_until(lambda: not installed.api.list_dags()[DAG]["is_paused"], "the DAG to be switched on")
    open_trigger_form(page, DAG)
    choose(page, "full", "yes")
    run_id = press_trigger(page)
    assert run_id == installed.api.last_run(DAG)
    return run_id


def test_a_person_sees_how_far_a_disk_is(installed: Installation, page: Page, run_id: str, album: Album) -> None:
    def progress() -> dict[str, Any]:
        if installed.api.task_states(DAG, run_id).get("backup_vm_disks[0]") != "running":
            return {}
        found: dict[str, Any] = installed.api.state_store(DAG, run_id, "backup_vm_disks", 0).get("progress") or {}
        return found

    wait_until(lambda: 0 < progress().get("bytes_done", 0) < SIZE_BYTES, "the copy to be under way")

    page.go(f"{run_path(DAG, run_id)}/tasks/backup_vm_disks/mapped/0/task-state-store")
    page.see('"percent"')
    page.see(f"backup_vm_disks [{VM}_Disk1]")

    shown = re.search(r'"percent":\s*([0-9.]+)', page.text)
    assert shown is not None
    assert 0 < float(shown[1]) <= 100
    album.keep(page, "progress", height=720)


def test_a_finished_run_is_green(installed: Installation, page: Page, run_id: str, album: Album) -> None:
    state = installed.api.wait_for_run(DAG, run_id, timeout_s=600)
    assert state == "success", installed.api.explain(DAG, run_id)

    page.go("/dags?tags=backup&tags=restore&tags=drill&tags=care")
    page.see("restore_vm")
    album.keep(page, "dags", height=1000)
    page.go(run_path(DAG, run_id))
    page.see("publish")
    page.see("Success")
    album.keep(page, "backup", height=900)


def test_a_button_leads_to_the_vm_at_its_site(
    installed: Installation, page: Page, vm: LabVm, run_id: str, album: Album
) -> None:
    page.go(f"{run_path(DAG, run_id)}/tasks/get_vm_info/details")
    page.see("Open at the site")
    album.keep(page, "links", height=640)

    page.click("a", "Open at the site")

    target = f"{installed.production.address}/ovirt-engine/webadmin/?#vms-general;id={vm.id}"
    page.opened(target)


def test_a_button_leads_to_the_backups_of_the_vm(
    installed: Installation, page: Page, run_id: str, album: Album
) -> None:
    made = installed.api.xcom(DAG, run_id, "publish")
    page.go(f"{run_path(DAG, run_id)}/tasks/publish/details")

    page.click("a", "Backups of this VM")

    page.see("1 Asset")
    name = f"vmferry/source/{VM}"
    page.click("a", name)
    page.see("1 Asset Event")
    page.click("[class*='folding-collapsed']")
    page.see(made["backup"])
    page.see('"path"')
    page.click("[class*='folding-collapsed']")
    for disk in made["disks"]:
        page.see(disk["name"])
        page.see(disk["root"][:16])
    assert f"/assets/{installed.api.asset_id(name)}" in page.url
    album.keep(page, "asset", height=820)


def test_the_run_can_be_found_by_its_address(page: Page, run_id: str) -> None:
    page.go(f"/dags/{DAG}/runs/{quote(run_id, safe='')}")
    page.see("publish")
