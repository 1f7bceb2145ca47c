"""A VM's life in a real Airflow: full, incremental, restored, rehearsed; and nothing secret anywhere."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from lab.airflow.installation import Installation, add_vm
from lab.ovirt import OvirtLab
from lab.ovirt.lab import LabVm

from vmferry.engine.units import MiB
from vmferry.get_provider_info import get_provider_info

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

VM = "web01"


@pytest.fixture(scope="module")
def vm(installed: Installation) -> LabVm:
    """A VM with a full backup and, after its guest wrote, an incremental one."""
    made = add_vm(installed.production, installed.directory, VM)
    installed.write_policy(vms_config={VM: {"retry_delay_minutes": 0}})
    installed.render()
    return made


@pytest.fixture(scope="module")
def backups(installed: Installation, vm: LabVm) -> list[dict[str, Any]]:
    made = []
    for number in range(2):
        run_id = installed.run(f"backup_{VM}")
        made.append(installed.api.xcom(f"backup_{VM}", run_id, "publish"))
        if not number:
            installed.production.guest_write(vm.disks[0], 5 * MiB, b"written by the guest" * 5000)
            installed.production.guest_zero(vm.disks[1], 0, 2 * MiB)
    return made


def digest(lab: OvirtLab, disk: str, path: Path) -> str:
    """Hash what a disk holds, past everything of ours."""
    lab.copy_disk(disk, path)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    path.unlink()
    return found


def test_the_second_backup_reads_only_what_changed(backups: list[dict[str, Any]]) -> None:
    full, incremental = backups

    assert (full["mode"], incremental["mode"]) == ("full", "incremental")
    assert {disk["method"] for disk in incremental["disks"]} == {"dirty"}
    assert incremental["read_bytes"] < full["read_bytes"] / 4


def test_progress_can_be_read_by_rest(installed: Installation, backups: list[dict[str, Any]]) -> None:
    run_id = installed.api.last_run(f"backup_{VM}")

    found = installed.api.state_store(f"backup_{VM}", run_id, "backup_vm_disks", 0)["progress"]

    assert found["bytes_done"] == found["bytes_total"]
    assert (found["vm"], found["backup"]) == (VM, backups[-1]["backup"])


def test_a_button_leads_to_the_vm_at_its_site(
    installed: Installation, vm: LabVm, backups: list[dict[str, Any]]
) -> None:
    assert backups
    run = quote(installed.api.last_run(f"backup_{VM}"), safe="")

    path = f"/api/v2/dags/backup_{VM}/dagRuns/{run}/taskInstances/get_vm_info/links"
    links = installed.api.call("GET", path)["extra_links"]

    assert links["Open at the site"] == f"{installed.production.address}/ovirt-engine/webadmin/?#vms-general;id={vm.id}"


def test_each_backup_is_told_with_its_roots(installed: Installation, backups: list[dict[str, Any]]) -> None:
    events = installed.api.call("GET", "/api/v2/assets/events?limit=50&order_by=timestamp")["asset_events"]

    told = [one["extra"] for one in events if one["source_dag_id"] == f"backup_{VM}"]
    assert [one["backup"] for one in told] == [one["backup"] for one in backups]
    assert told[-1]["roots"] == {disk["name"]: disk["root"] for disk in backups[-1]["disks"]}


def test_nothing_of_a_backup_is_left_at_the_site(installed: Installation, backups: list[dict[str, Any]]) -> None:
    assert len(backups) == 2
    left = installed.production.state()
    kinds = ("open_backups", "open_transfers", "locked_disks", "illegal_disks", "snapshots")
    assert {kind: left[kind] for kind in kinds if left[kind]} == {}


def test_a_restored_vm_holds_what_the_guest_held(
    installed: Installation, vm: LabVm, backups: list[dict[str, Any]]
) -> None:
    run_id = installed.run("restore_vm", {"vm": VM, "name": "web01_again"})

    made = installed.api.xcom("restore_vm", run_id, "create_vm")
    assert made["backup"] == backups[-1]["backup"]
    held = {digest(installed.production, disk, installed.directory / "witness.raw") for disk in vm.disks}
    restored = {
        digest(installed.recovery, disk["id"], installed.directory / "witness.raw")
        for disk in installed.api.all_xcoms("restore_vm", run_id, "restore_vm_disks")
    }
    assert restored == held


def test_a_drill_measures_and_leaves_nothing(installed: Installation, backups: list[dict[str, Any]]) -> None:
    before = installed.recovery.state()

    run_id = installed.run("dr_drill", {"vm": VM})

    measured = installed.api.xcom("dr_drill", run_id, "measure_drill")
    assert measured["backup"] == backups[-1]["backup"]
    assert measured["rto_s"] > 0
    assert measured["rpo_s"] > 0
    after = installed.recovery.state()
    assert (after["vms"], after["disks"]) == (before["vms"], before["disks"])


def test_no_secret_is_in_logs_xcoms_or_files(installed: Installation, backups: list[dict[str, Any]]) -> None:
    assert backups
    secrets = [lab.password_secret.encode() for lab in (installed.production, installed.recovery)]
    places = [installed.home.home, installed.directory / "rendered", installed.vault]

    found = [
        str(path)
        for place in places
        for path in place.rglob("*")
        if path.is_file() and any(secret in path.read_bytes() for secret in secrets)
    ]

    assert found == []


def test_a_wrong_policy_changes_nothing_and_says_what_is_wrong(installed: Installation, vm: LabVm) -> None:
    assert vm.name == VM
    before = {path.name: path.read_bytes() for path in (installed.directory / "rendered").glob("*.py")}
    good = installed.policy_file.read_text()
    installed.write_policy(vms_config={VM: {"schedules": {}}, "other": {"rpo": "soon"}})

    run_id = installed.api.trigger("generate_complete_dynamic_dags")
    state = installed.api.wait_for_run("generate_complete_dynamic_dags", run_id)
    installed.policy_file.write_text(good)

    said = "\n".join(installed.api.log_lines("generate_complete_dynamic_dags", run_id, "render_dags"))
    assert state == "failed"
    assert "did you mean 'schedule'?" in said
    assert "$.vms_config.other.rpo" in said
    assert {path.name: path.read_bytes() for path in (installed.directory / "rendered").glob("*.py")} == before


def test_the_forms_of_our_connections_are_in_the_ui(installed: Installation) -> None:
    found = {one["connection_type"]: one for one in installed.api.call("GET", "/ui/connections/hook_meta")}

    form = found["vmferry_ovirt"]
    assert form["hook_name"] == "oVirt / OLVM"
    assert form["standard_fields"]["host"]["title"] == "Engine URL"
    assert {"ca_file", "ca_fingerprint", "workers"} <= set(form["extra_fields"])
    assert {kind for kind in found if str(kind).startswith("vmferry_")} == {
        one["connection-type"] for one in get_provider_info()["connection-types"]
    }
