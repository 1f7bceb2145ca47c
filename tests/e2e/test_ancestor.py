"""The ancestor's example file works unchanged: only addresses, passwords, certificates and directories are other ones.

There is no Airflow connection here: the passwords are in the file, as the ancestor had them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.airflow.installation import SITES, Installation, add_vm, connect, wait_until
from lab.airflow.witness import Witness
from lab.ovirt.lab import LabVm

from vmferry.engine.units import MiB
from vmferry.platforms.ovirt import OvirtSettings, OvirtSite
from vmferry.vault import list_shelves, open_vault

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

EXAMPLE = Path(__file__).parents[1] / "data" / "policy" / "ancestor.json"
RUNS = {"VM_NAME": "backup_vm_name", "seven-bits": "backup_seven_bits", "flat-1": "backup_flat_1"}
"""One VM of each form: nested, nested with seven bits, flat. Those before the last are restored as well."""
SCHEDULES = {
    "backup_vm_name": "every day at 02:00 (UTC)",
    "backup_seven_bits": "every Monday, Wednesday, Friday and Sunday at 22:00 (UTC)",
    "backup_weekdays": "every Monday, Tuesday, Wednesday, Thursday and Friday at 22:00 (UTC)",
    "backup_weekends": "every Saturday and Sunday at 06:00 (UTC)",
    "backup_weekly": "every Sunday at 03:00 (UTC)",
    "backup_biweekly": "every second Saturday, counted from the week of 2024-01-01 at 03:00 (UTC)",
    "backup_monthly": "every month on day 15 at 01:00 (UTC)",
    "backup_office_hours": "every Monday, Tuesday, Wednesday, Thursday and Friday at 10:00, 12:00, 14:00, 16:00, 18:00,"
    " 20:00 (UTC)",
    "backup_dates": "every month on day 1 and 15 at 03:00 (UTC)",
    "backup_first_and_third_sunday": "every month on the 1st and 3rd Sunday at 02:00 (UTC)",
    "backup_last_friday": "every month on the last Friday at 23:30 (UTC)",
    "backup_last_day": "every month on day last at 23:00 (UTC)",
    "backup_cron": "every Monday, Tuesday, Wednesday, Thursday and Friday at 06:15, 18:15 (UTC)",
    "backup_legacy": "every Monday, Tuesday, Wednesday, Thursday and Friday at 02:00 (UTC)",
    "backup_flat_1": "every day at 02:00 (UTC)",
    "backup_flat_2": "every Monday and Sunday at 02:00 (UTC)",
}


@pytest.fixture(scope="module")
def said(installed: Installation) -> dict[str, Any]:
    """The example with the addresses, users, passwords, certificates and directories of this place."""
    raw: dict[str, Any] = json.loads(EXAMPLE.read_text())
    for prefix, lab in (("source", installed.production), ("target", installed.recovery)):
        here = {"url": lab.url, "user": lab.user, "password": lab.password_secret, "cert_path": str(lab.ca)}
        raw.update({f"{prefix}_ovirt_{name}": value for name, value in here.items()})
    raw["backup_directory"] = str(installed.vault)
    raw["checkpoints_file"] = str(installed.directory / "config" / "checkpoints.json")
    return raw


@pytest.fixture(scope="module")
def vms(installed: Installation) -> dict[str, LabVm]:
    return {
        name: add_vm(installed.production, installed.directory, name, disks=1, size_bytes=12 * MiB) for name in RUNS
    }


@pytest.fixture(scope="module")
def rendered(installed: Installation, said: dict[str, Any], vms: dict[str, LabVm]) -> Iterator[Installation]:
    """Airflow with the DAGs of the example, and without any connection of ours."""
    assert len(vms) == len(RUNS)
    installed.recovery.hook("domain", name=said["restore_settings"]["target_storage_domain_name"])
    for site in SITES:
        installed.api.call("DELETE", f"/api/v2/connections/vmferry_{site}")
    installed.policy_file.write_text(json.dumps(said))
    try:
        installed.run("generate_complete_dynamic_dags")
        installed.api.wait_for_dags(*SCHEDULES)
        yield installed
    finally:
        for site, lab in zip(SITES, (installed.production, installed.recovery), strict=True):
            connect(installed.api, site, lab)


@pytest.fixture(scope="module")
def witness(installed: Installation) -> Witness:
    return Witness(installed, installed.production)


@pytest.fixture(scope="module")
def runs(rendered: Installation, witness: Witness) -> dict[str, str]:
    """A run of each form's VM, all at once, each ended well."""
    assert witness.directory.is_dir()
    for dag_id in RUNS.values():
        rendered.api.switch_on(dag_id)
    started = {vm: rendered.api.trigger(dag_id) for vm, dag_id in RUNS.items()}
    for vm, run_id in started.items():
        state = rendered.api.wait_for_run(RUNS[vm], run_id, timeout_s=900)
        assert state == "success", rendered.api.explain(RUNS[vm], run_id)
    return started


def check_restored(made: Installation, witness: Witness, vm: str, run_id: str) -> dict[str, Any]:
    """See that the VM at the target holds what the guest held when the backup was frozen."""
    restored: dict[str, Any] = made.api.xcom(RUNS[vm], run_id, "process_vm_restores")
    state = made.recovery.state()
    found = state["vms"][restored["vm_id"]]
    assert (restored["vm"], found["name"]) == (f"{vm}_restored", f"{vm}_restored")
    disks = {state["disks"][disk]["name"]: disk for disk in found["disks"]}
    assert witness.held_now(made.recovery, disks) == witness.digests(RUNS[vm], run_id)
    return restored


def test_the_check_finds_no_error(rendered: Installation) -> None:
    command = [str(Path(sys.executable).with_name("vmferry")), "policy", "check", str(rendered.policy_file), "--json"]

    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=rendered.home.environment())

    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["ok"]
    assert [(one["severity"], one["path"]) for one in answer["findings"]] == [
        ("warning", "$.source_ovirt_password"),
        ("warning", "$.target_ovirt_password"),
    ]


def schedules(made: Installation) -> dict[str, str]:
    """Give the schedules of the VMs' DAGs that are not on their way out."""
    listed = made.api.list_dags().items()
    return {
        dag_id: dag["timetable_description"]
        for dag_id, dag in listed
        if dag_id.startswith("backup_") and not dag["is_stale"]
    }


def test_every_vm_has_its_dag_with_its_schedule(rendered: Installation) -> None:
    wait_until(lambda: schedules(rendered).keys() == SCHEDULES.keys(), "the DAGs of other policies to go")

    assert schedules(rendered) == SCHEDULES
    assert rendered.api.import_errors() == []


def test_a_vm_of_each_form_is_backed_up(rendered: Installation, runs: dict[str, str], vms: dict[str, LabVm]) -> None:
    for vm in runs:
        (shelf,) = list_shelves(open_vault(rendered.vault), vm)
        assert [disk.id for disk in shelf.backups[0].disks] == list(vms[vm].disks)
    tasks = rendered.api.task_states("backup_flat_1", runs["flat-1"])
    assert "process_vm_restores" not in tasks  # the flat form restores nothing by itself


def test_what_is_restored_is_what_the_guest_held(
    rendered: Installation, runs: dict[str, str], witness: Witness
) -> None:
    for vm in ("VM_NAME", "seven-bits"):
        check_restored(rendered, witness, vm, runs[vm])


def test_a_restored_vm_is_as_the_settings_say(rendered: Installation, runs: dict[str, str]) -> None:
    made = rendered.api.xcom("backup_vm_name", runs["VM_NAME"], "process_vm_restores")
    lab = rendered.recovery
    site = OvirtSite(OvirtSettings("dr", lab.url, lab.user, lab.password_secret, ca_file=str(lab.ca)))
    try:
        found = site.describe(made["vm"])
    finally:
        site.close()

    assert found.is_down  # auto_start_restored_vm is false
    assert [disk.interface for disk in found.disks] == ["sata"]
    assert found.cluster == "Default"


def test_the_next_run_replaces_the_restored_vm_and_keeps_the_old_one(
    rendered: Installation, runs: dict[str, str], vms: dict[str, LabVm], witness: Witness
) -> None:
    before = rendered.api.xcom("backup_vm_name", runs["VM_NAME"], "process_vm_restores")
    rendered.production.guest_write(vms["VM_NAME"].disks[0], MiB, b"written after the first backup" * 3000)

    run_id = rendered.run("backup_vm_name")

    restored = check_restored(rendered, witness, "VM_NAME", run_id)
    assert rendered.api.xcom("backup_vm_name", run_id, "publish")["mode"] == "incremental"
    assert restored["vm_id"] != before["vm_id"]
    old = rendered.recovery.state()["vms"][before["vm_id"]]
    assert old["name"] == restored["replaced"]
    assert old["name"].startswith("VM_NAME_restored_old_")


def test_without_replacing_later_runs_end_well_and_leave_the_restored_vm_alone(
    rendered: Installation, runs: dict[str, str], said: dict[str, Any]
) -> None:
    before = rendered.api.xcom("backup_seven_bits", runs["seven-bits"], "process_vm_restores")
    path = rendered.directory / "rendered"
    settings = {**said["restore_settings"], "replace_existing_vm": False}
    (file,) = path.glob("*.py")
    was = file.read_bytes()
    rendered.policy_file.write_text(json.dumps({**said, "restore_settings": settings}))
    wait_until(lambda: file.read_bytes() != was, "the change of the policy to be rendered")

    run_id = rendered.run("backup_seven_bits")

    states = rendered.api.task_states("backup_seven_bits", run_id)
    skipped = {"validate_restore_environment", "detect_new_backups", "process_vm_restores"}
    assert {task for task, state in states.items() if state == "skipped"} == skipped
    assert states["publish"] == "success"
    assert rendered.recovery.state()["vms"][before["vm_id"]]["name"] == "seven-bits_restored"
    rendered.policy_file.write_text(json.dumps(said))


def test_passwords_of_the_file_are_nowhere_else(rendered: Installation, runs: dict[str, str]) -> None:
    assert runs
    secrets = [lab.password_secret.encode() for lab in (rendered.production, rendered.recovery)]
    places = [rendered.home.home, rendered.directory / "rendered", rendered.vault]

    found = [
        str(path)
        for place in places
        for path in place.rglob("*")
        if path.is_file() and any(secret in path.read_bytes() for secret in secrets)
    ]

    assert found == []
