"""The long life of one VM: scheduled and by REST, a full backup and ten incrementals, retention, every kept point back.

What each point should hold is a copy that the simulated site made when it was frozen, by qemu alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from lab.airflow.ageing import let_days_pass
from lab.airflow.airflow_api import ApiError
from lab.airflow.installation import Installation, wait_until
from lab.airflow.witness import Witness, restored_disks
from lab.ovirt.guest import LabGuest
from lab.ovirt.volumes import digests

from vmferry.vault import Method, list_backups, list_shelves, open_vault

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3600)]

VM = "diary01"
DAG = f"backup_{VM}"
INCREMENTALS = 10
DAYS_AGO = [7, 6, 6, 5, 4, 4, 3, 2, 2, 1, 0]
"""Of the full backup and the incrementals; those that were scheduled come before."""
KEEP_DAILY = 5
KEPT = [5, 6, 8, 9, 10]
"""Of them: the newest of each of the last five days."""


@dataclass
class Life:
    """What happened to the VM."""

    guest: LabGuest
    witness: Witness
    scheduled: list[str] = field(default_factory=list)
    """Run ids."""
    by_hand: list[str] = field(default_factory=list)
    files: dict[str, dict[str, str]] = field(default_factory=dict)
    """Digests of the guest's files, as it noted them itself when a run's point was frozen."""
    renamed: dict[str, str] = field(default_factory=dict)
    """Ids of backups after the days have passed, by those before."""


def write_policy(installed: Installation, expression: str) -> None:
    """Let the VM be backed up at these times of cron."""
    backup_type = {
        "full_backup_frequency": "never",
        "max_incremental_chain_length": 50,
        "force_full_backup_days": 3650,
    }
    retention = {"keep_daily": KEEP_DAILY, "keep_weekly": 0, "keep_monthly": 0, "max_backup_age_days": 60}
    schedule = {"type": "cron", "expression": expression}
    said = {"schedule": schedule, "backup_type": backup_type, "retention": retention, "retry_delay_minutes": 0}
    installed.write_policy(vms_config={VM: said})


def list_runs(installed: Installation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = installed.api.call("GET", f"/api/v2/dags/{DAG}/dagRuns?limit=100")["dag_runs"]
    return sorted(found, key=lambda run: str(run["run_after"]))


def wait_for_the_schedule(installed: Installation) -> list[str]:
    """Let the DAG run by its schedule, then by none; the policy is rendered because it changed, not by our asking."""
    write_policy(installed, "* * * * *")
    installed.api.wait_for_dags(DAG)
    installed.api.switch_on(DAG)
    wait_until(lambda: bool(list_runs(installed)), "the schedule to fire")
    write_policy(installed, "0 0 1 1 *")

    wait_until(
        lambda: installed.api.list_dags()[DAG]["timetable_summary"] == "0 0 1 1 *", "the policy's change to be rendered"
    )
    wait_until(lambda: all(run["state"] in ("success", "failed") for run in list_runs(installed)), "the runs to end")
    return [run["dag_run_id"] for run in list_runs(installed)]


def back_up(installed: Installation, life: Life, name: str, conf: dict[str, Any] | None = None) -> str:
    """Back up while files change in the guest, and its database writes all the time."""
    with life.guest.writing():
        run_id = installed.api.trigger(DAG, conf, run_id=name)
        state = installed.api.wait_for_run(DAG, run_id, timeout_s=600)
    assert state == "success", installed.api.explain(DAG, run_id)
    life.files[run_id] = life.guest.moments[-1].manifests[0]
    return run_id


@pytest.fixture(scope="module")
def life(installed: Installation) -> Iterator[Life]:
    """A scheduled backup; then a full one and ten incrementals by REST, the guest writing between and during them."""
    made = Life(LabGuest(installed.production, installed.directory, VM), Witness(installed, installed.production))
    made.scheduled = wait_for_the_schedule(installed)
    made.by_hand.append(back_up(installed, made, "by-rest-full", {"full": "yes"}))
    for number in range(1, INCREMENTALS + 1):
        made.guest.change_files(2)
        made.by_hand.append(back_up(installed, made, f"by-rest-{number:02}"))
    yield made
    made.guest.close()


def summary(installed: Installation, run_id: str) -> dict[str, Any]:
    found: dict[str, Any] = installed.api.xcom(DAG, run_id, "publish")
    return found


def backup_of(installed: Installation, life: Life, run_id: str) -> str:
    """Give the id that a run's backup has now."""
    made = str(summary(installed, run_id)["backup"])
    return life.renamed.get(made, made)


@pytest.fixture(scope="module")
def pruned(installed: Installation, life: Life) -> dict[str, Any]:
    """Days have passed, and the DAG of the retention has run; a person says yes if it asks."""
    vault = open_vault(installed.vault)
    life.renamed = let_days_pass(vault, VM, [9] * len(life.scheduled) + DAYS_AGO)
    installed.api.switch_on("prune_vault")
    run_id = installed.api.trigger("prune_vault")

    def has_ended() -> bool:
        if installed.api.task_states("prune_vault", run_id).get("approve_prune") == "awaiting_input":
            installed.approve("prune_vault", run_id, "approve_prune")
        return installed.api.run_state("prune_vault", run_id) in ("success", "failed")

    wait_until(has_ended, "the retention to be done", timeout_s=600)
    assert installed.api.run_state("prune_vault", run_id) == "success", installed.api.explain("prune_vault", run_id)
    (done,) = installed.api.all_xcoms("prune_vault", run_id, "prune")
    return dict(done)


def restore_all(installed: Installation, backups: dict[str, str]) -> dict[str, dict[str, str]]:
    """Restore backups by the DAG, all at once; give the disks at the other site, by the run that backed them up."""
    runs = {
        run: installed.api.trigger("restore_vm", {"vm": VM, "backup": backup, "name": f"{VM}_{run}"}, f"back-{run}")
        for run, backup in backups.items()
    }
    for restore in runs.values():
        state = installed.api.wait_for_run("restore_vm", restore, timeout_s=900)
        assert state == "success", installed.api.explain("restore_vm", restore)
    return {run: restored_disks(installed, restore) for run, restore in runs.items()}


def test_the_schedule_makes_a_backup(installed: Installation, life: Life) -> None:
    first = list_runs(installed)[0]

    assert (first["run_type"], first["state"]) == ("scheduled", "success")
    assert summary(installed, life.scheduled[0])["mode"] == "full"


def test_each_run_by_rest_makes_the_backup_it_should(installed: Installation, life: Life) -> None:
    made = [summary(installed, run_id) for run_id in life.by_hand]

    assert [one["mode"] for one in made] == ["full", *["incremental"] * INCREMENTALS]
    assert {disk["method"] for one in made[1:] for disk in one["disks"]} == {"dirty"}
    assert {one["consistency"] for one in made} == {"file-system"}
    roots = [disk["root"] for one in made for disk in one["disks"]]
    assert len(set(roots)) == len(made)  # the database never rests
    assert roots == [root for run_id in life.by_hand for root in life.witness.roots(DAG, run_id).values()]


def test_the_same_run_cannot_be_asked_for_twice(installed: Installation, life: Life) -> None:
    with pytest.raises(ApiError, match="409"):
        installed.api.trigger(DAG, run_id=life.by_hand[0])


def test_the_witness_saw_the_files_that_the_guest_had(installed: Installation, life: Life) -> None:
    for run_id in (life.by_hand[0], life.by_hand[-1]):
        (copy,) = life.witness.frozen(DAG, run_id).values()
        assert digests(life.guest.volumes[0].read_files(copy, installed.directory)) == life.files[run_id]


def test_retention_keeps_what_the_policy_says(installed: Installation, life: Life, pruned: dict[str, Any]) -> None:
    left = [one.id for one in list_backups(open_vault(installed.vault), VM)]

    wanted = [backup_of(installed, life, life.by_hand[number]) for number in KEPT]
    ancestors = [one["id"] for one in pruned["backups"] if one["action"] == "ancestor"]
    assert left == sorted([*ancestors, *wanted])
    assert set(ancestors) <= {backup_of(installed, life, life.by_hand[0])}
    assert pruned["folded_into"]


def test_every_point_that_is_left_comes_back_as_the_guest_held_it(
    installed: Installation, life: Life, pruned: dict[str, Any]
) -> None:
    (shelf,) = list_shelves(open_vault(installed.vault), VM)
    left = {backup.id: backup for backup in shelf.backups}
    runs = {run_id: backup_of(installed, life, run_id) for run_id in life.by_hand}
    runs = {run_id: backup for run_id, backup in runs.items() if backup in left}
    assert len(runs) == len(left) >= len(KEPT)
    methods = [disk.method for backup in left.values() for disk in backup.disks]
    assert Method.FOLDED in methods
    assert Method.DIRTY in methods

    restored = restore_all(installed, runs)

    held = {run_id: life.witness.digests(DAG, run_id) for run_id in runs}
    found = {run_id: life.witness.held_now(installed.recovery, disks) for run_id, disks in restored.items()}
    assert found == held
    for run_id, (disk,) in ((run_id, disks.values()) for run_id, disks in restored.items()):
        copy = installed.recovery.copy_disk(disk, installed.directory / f"{run_id}-back.raw")
        assert digests(life.guest.volumes[0].read_files(copy, installed.directory)) == life.files[run_id]
        copy.unlink()
    assert len({root for disks in held.values() for root in disks.values()}) == len(runs)
    assert pruned["removed"]


def test_the_chain_goes_on_after_the_retention(installed: Installation, life: Life, pruned: dict[str, Any]) -> None:
    assert pruned["removed"]
    life.guest.change_files(2)

    # A person's word: by the policy a full backup is due once retention has folded the last one.
    run_id = back_up(installed, life, "by-rest-afterwards", {"full": "no"})

    made = summary(installed, run_id)
    assert [disk["method"] for disk in made["disks"]] == ["dirty"]
    (disks,) = restore_all(installed, {run_id: "latest"}).values()
    assert life.witness.held_now(installed.recovery, disks) == life.witness.digests(DAG, run_id)
