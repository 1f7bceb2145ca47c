"""Two things at once: backups of one VM wait for each other, a restore and a backup do not disturb each other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any
from urllib.parse import quote

import pytest
from lab.airflow.installation import Installation, add_vm, wait_until
from lab.airflow.witness import Witness, restored_disks
from lab.ovirt.lab import LabVm
from lab.witness import root_of

from vmferry.engine.units import MiB
from vmferry.operations import back_up_vm
from vmferry.platforms.errors import VmBusy
from vmferry.platforms.ovirt import OvirtSettings, OvirtSite
from vmferry.platforms.runs import RunId
from vmferry.policy.load import load
from vmferry.policy.resolve import resolve
from vmferry.policy.vm import VmPolicy
from vmferry.vault import Pace, VaultBusy, list_shelves, open_vault

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

SLOW, QUICK = "twin01", "twin02"
DAG = f"backup_{SLOW}"
DATA_BYTES = 8 * MiB
RATE = DATA_BYTES // 10
"""A copy takes ten seconds."""


@pytest.fixture(scope="module")
def witness(installed: Installation) -> Witness:
    return Witness(installed, installed.production)


@pytest.fixture(scope="module")
def vms(installed: Installation) -> dict[str, LabVm]:
    """One VM whose backups take seconds, and one whose backups do not; each has a first backup."""
    made = {
        name: add_vm(installed.production, installed.directory, name, disks=2, size_bytes=16 * MiB)
        for name in (SLOW, QUICK)
    }
    slow = {"max_rate": str(RATE), "retry_delay_minutes": 0, "backup_type": {"full_backup_frequency": "always"}}
    installed.write_policy(vms_config={SLOW: slow, QUICK: {"retry_delay_minutes": 0}})
    installed.render()
    return made


@pytest.fixture(scope="module")
def first(installed: Installation, vms: dict[str, LabVm], witness: Witness) -> dict[str, str]:
    """The runs of the first backups."""
    assert witness.directory.is_dir()
    scribble(installed, vms[SLOW])
    started = {name: installed.api.trigger(f"backup_{name}") for name in vms}
    for name, run_id in started.items():
        finish(installed, f"backup_{name}", run_id)
    return started


def scribble(installed: Installation, vm: LabVm, seed: int = 1) -> None:
    """Let the guest write what cannot be skipped, so that a copy takes its time."""
    for disk in vm.disks:
        installed.production.hook(
            "write_many", disk=disk,
            writes=[{"offset": MiB * at, "pattern": 1 + (seed + at) % 255, "length": MiB}
                    for at in range(4, 4 + DATA_BYTES // MiB)],
        )  # fmt: skip


def finish(installed: Installation, dag_id: str, run_id: str) -> None:
    """Wait for a run's good end."""
    state = installed.api.wait_for_run(dag_id, run_id, timeout_s=900)
    assert state == "success", installed.api.explain(dag_id, run_id)


def progress(installed: Installation, run_id: str, index: int) -> dict[str, Any]:
    """Give how far a running copy is; nothing when it does not run."""
    if installed.api.task_states(DAG, run_id).get(f"backup_vm_disks[{index}]") != "running":
        return {}
    told: dict[str, Any] = installed.api.state_store(DAG, run_id, "backup_vm_disks", index).get("progress", {})
    # Before its way is open a copy does not know how much there is to do.
    return told if told.get("bytes_done", 0) < (told.get("bytes_total") or 0) else {}


def is_frozen(installed: Installation) -> bool:
    """Tell whether a backup is open at the site."""
    return bool(installed.production.state()["open_backups"])


def check_backup(installed: Installation, witness: Witness, dag_id: str, run_id: str) -> None:
    """See that a run's backup has the roots of what was frozen."""
    made = installed.api.xcom(dag_id, run_id, "publish")
    assert {disk["name"]: disk["root"] for disk in made["disks"]} == witness.roots(dag_id, run_id)


def check_restore(installed: Installation, witness: Witness, run_id: str, dag_id: str, backup_run: str) -> None:
    """See that a restored VM holds what the run's backup froze."""
    held = witness.held_now(installed.recovery, restored_disks(installed, run_id))
    assert held == witness.digests(dag_id, backup_run)


def policy_of(installed: Installation, name: str) -> VmPolicy:
    return next(vm for vm in resolve(load(installed.policy_file)) if vm.name == name)


def back_up_by_hand(installed: Installation, name: str, run: str, go_on: Event | None = None) -> dict[str, Any]:
    """Make a backup without Airflow, as a program does; with its point open it waits until it may go on."""

    def pace(disk: str) -> Pace:
        assert disk
        assert go_on is None or go_on.wait(600)
        return Pace()

    lab = installed.production
    # The site has the name that the policy gives it.
    site = OvirtSite(OvirtSettings("source", lab.url, lab.user, lab.password_secret, ca_file=str(lab.ca)))
    try:
        return back_up_vm(site, open_vault(installed.vault), policy_of(installed, name), RunId(run), pace=pace)
    finally:
        site.close()


def roots_in_vault(installed: Installation, name: str, backup: str) -> dict[str, str]:
    (shelf,) = list_shelves(open_vault(installed.vault), name)
    return {disk.name: disk.root for disk in shelf.find(backup).require().disks}


def witnessed_by_hand(witness: Witness, vm: LabVm, made: dict[str, Any]) -> dict[str, str]:
    """Give the roots of what was frozen for a backup that no DAG made: the newest copy of each disk."""
    assert {disk["id"] for disk in made["disks"]} == set(vm.disks)
    return {
        disk["name"]: root_of(max(witness.directory.glob(f"*-{disk['id']}.raw"), key=lambda one: one.stat().st_mtime))
        for disk in made["disks"]
    }


def test_the_progress_of_each_disk_is_read_by_rest_while_it_is_copied(
    installed: Installation, vms: dict[str, LabVm], first: dict[str, str], witness: Witness
) -> None:
    assert first
    scribble(installed, vms[SLOW], 2)
    run_id = installed.api.trigger(DAG)
    told: dict[int, dict[str, Any]] = {}

    def both_are_told() -> bool:
        for index in (0, 1):
            found = progress(installed, run_id, index)
            told.update({index: found} if found else {})
        return len(told) == 2

    wait_until(both_are_told, "both disks to be under way")

    assert {(one["vm"], one["bytes_total"]) for one in told.values()} == {(SLOW, 16 * MiB)}
    assert len({one["disk"] for one in told.values()}) == 2
    finish(installed, DAG, run_id)
    for index in (0, 1):
        ended = installed.api.state_store(DAG, run_id, "backup_vm_disks", index)["progress"]
        assert (ended["bytes_done"], ended["disk"]) == (16 * MiB, told[index]["disk"])
    check_backup(installed, witness, DAG, run_id)


def test_of_two_runs_at_once_the_second_waits_and_both_are_right(
    installed: Installation, vms: dict[str, LabVm], first: dict[str, str], witness: Witness
) -> None:
    assert first
    runs = [installed.api.trigger(DAG, run_id=f"at-once-{number}") for number in range(2)]
    scribble(installed, vms[SLOW], 3)

    for run_id in runs:
        finish(installed, DAG, run_id)

    found = [installed.api.call("GET", f"/api/v2/dags/{DAG}/dagRuns/{run_id}") for run_id in runs]
    earlier, later = sorted(found, key=lambda run: str(run["start_date"]))
    assert later["start_date"] >= earlier["end_date"]
    for run_id in runs:
        check_backup(installed, witness, DAG, run_id)


def test_a_dag_waits_for_a_backup_that_a_program_makes(
    installed: Installation, vms: dict[str, LabVm], first: dict[str, str], witness: Witness
) -> None:
    assert first
    scribble(installed, vms[SLOW], 4)
    go_on = Event()
    with ThreadPoolExecutor(1) as beside:
        by_hand = beside.submit(back_up_by_hand, installed, SLOW, "by-hand/1", go_on)
        try:
            wait_until(lambda: is_frozen(installed), "the program to open its point")
            run_id = installed.api.trigger(DAG)
            wait_until(
                lambda: installed.api.task_states(DAG, run_id).get("check_vm_lock") == "deferred",
                "the DAG to see that the VM is busy",
            )
        finally:
            go_on.set()
        made = by_hand.result(300)
    assert {disk["name"]: disk["root"] for disk in made["disks"]} == witnessed_by_hand(witness, vms[SLOW], made)
    finish(installed, DAG, run_id)

    assert any("looking again" in line for line in installed.api.log_lines(DAG, run_id, "check_vm_lock"))
    check_backup(installed, witness, DAG, run_id)
    assert installed.api.xcom(DAG, run_id, "publish")["backup"] != made["backup"]


def test_a_program_is_refused_while_a_dag_backs_up_and_nothing_is_disturbed(
    installed: Installation, vms: dict[str, LabVm], first: dict[str, str], witness: Witness
) -> None:
    assert first
    scribble(installed, vms[SLOW], 6)
    run_id = installed.api.trigger(DAG)
    wait_until(lambda: is_frozen(installed), "the DAG to open its point")

    with pytest.raises((VmBusy, VaultBusy), match=SLOW):
        back_up_by_hand(installed, SLOW, "by-hand/2")

    finish(installed, DAG, run_id)
    check_backup(installed, witness, DAG, run_id)
    made = back_up_by_hand(installed, SLOW, "by-hand/2")
    assert {disk["name"]: disk["root"] for disk in made["disks"]} == witnessed_by_hand(witness, vms[SLOW], made)
    assert roots_in_vault(installed, SLOW, made["backup"]) == witnessed_by_hand(witness, vms[SLOW], made)


def test_a_restore_while_the_vm_is_backed_up(
    installed: Installation, vms: dict[str, LabVm], first: dict[str, str], witness: Witness
) -> None:
    earlier = installed.api.xcom(DAG, first[SLOW], "publish")["backup"]
    scribble(installed, vms[SLOW], 7)
    backup = installed.api.trigger(DAG)
    wait_until(lambda: is_frozen(installed), "the backup to be under way")

    restore = installed.api.trigger("restore_vm", {"vm": SLOW, "backup": earlier, "name": f"{SLOW}_meanwhile"})

    finish(installed, DAG, backup)
    finish(installed, "restore_vm", restore)
    began = installed.api.call("GET", f"/api/v2/dags/restore_vm/dagRuns/{quote(restore, safe='')}")["start_date"]
    assert began < installed.api.call("GET", f"/api/v2/dags/{DAG}/dagRuns/{quote(backup, safe='')}")["end_date"]
    check_backup(installed, witness, DAG, backup)
    check_restore(installed, witness, restore, DAG, first[SLOW])


def test_two_vms_are_restored_at_once(installed: Installation, first: dict[str, str], witness: Witness) -> None:
    backups = {
        name: installed.api.xcom(f"backup_{name}", run_id, "publish")["backup"] for name, run_id in first.items()
    }

    restores = {
        name: installed.api.trigger("restore_vm", {"vm": name, "backup": backup, "name": f"{name}_beside"})
        for name, backup in backups.items()
    }

    for restore in restores.values():
        finish(installed, "restore_vm", restore)
    for name, restore in restores.items():
        check_restore(installed, witness, restore, f"backup_{name}", first[name])
    for lab in (installed.production, installed.recovery):
        left = lab.state()
        assert [left[kind] for kind in ("open_backups", "open_transfers", "locked_disks")] == [{}, {}, []]
