"""Parts of Airflow die in the middle of a copy; the run ends well all the same, and nothing is left or done twice."""

from __future__ import annotations

import random
from functools import partial
from urllib.parse import quote

import pytest
from lab.airflow.installation import Installation, add_vm, wait_until
from lab.ovirt.lab import LabVm
from tests.storm.victims import Victims

from vmferry.engine.units import MiB

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

VM = "slow01"
DAG = f"backup_{VM}"


@pytest.fixture(scope="module")
def vm(installed: Installation) -> LabVm:
    made = add_vm(installed.production, installed.directory, VM, disks=1, size_bytes=64 * MiB)
    for offset in range(0, 60 * MiB, 4 * MiB):
        installed.production.guest_write(made.disks[0], offset, bytes(range(256)) * 8192)  # 2 MiB that are not zeros
    installed.write_policy(vms_config={VM: {"max_rate": "1MiB", "retry_delay_minutes": 0}})
    installed.render()
    return made


def wait_for_copy(installed: Installation, run_id: str) -> None:
    """Wait until some of the disk is copied."""

    def is_under_way() -> bool:
        if installed.api.task_states(DAG, run_id).get("backup_vm_disks[0]") != "running":
            return False
        told = installed.api.state_store(DAG, run_id, "backup_vm_disks", 0).get("progress")
        return told is not None and told["bytes_done"] - told["zero_bytes"] > 2 * MiB

    wait_until(is_under_way, "the copy to begin")


def test_scheduler_and_worker_die_in_the_middle_of_a_copy(installed: Installation, vm: LabVm) -> None:
    run_id = installed.api.trigger(DAG)
    wait_for_copy(installed, run_id)

    installed.home.kill_part("scheduler")  # with the LocalExecutor, the workers die with it
    installed.home.start_part("scheduler")

    state = installed.api.wait_for_run(DAG, run_id, timeout_s=900)
    assert state == "success", installed.api.explain(DAG, run_id)
    (disk,) = installed.api.xcom(DAG, run_id, "publish")["disks"]
    assert disk["id"] == vm.disks[0]
    tries = {one["task_id"]: one["try_number"] for one in installed.api.tasks(DAG, run_id)}
    assert tries["backup_vm_disks"] >= 2
    left = installed.production.state()
    assert not left["open_backups"], left
    assert not left["open_transfers"], left


def test_two_runs_of_one_vm_never_overlap(installed: Installation, vm: LabVm) -> None:
    assert vm.name == VM
    first, second = installed.api.trigger(DAG), installed.api.trigger(DAG)

    states = [installed.api.wait_for_run(DAG, run_id, timeout_s=900) for run_id in (first, second)]

    assert states == ["success", "success"]
    paths = [f"/api/v2/dags/{DAG}/dagRuns/{quote(run_id, safe='')}" for run_id in (first, second)]
    times = [installed.api.call("GET", path) for path in paths]
    earlier, later = sorted(times, key=lambda one: str(one["start_date"]))
    assert later["start_date"] >= earlier["end_date"]


def test_a_run_whose_task_is_killed_in_every_try_says_so(installed: Installation, vm: LabVm) -> None:
    victims = Victims(installed, random.Random(1))
    run_id = installed.api.trigger(DAG, {"full": "yes"})

    def is_in_try(number: int) -> bool:
        found = [one for one in installed.api.tasks(DAG, run_id) if one["map_index"] == 0]
        return any((one["try_number"], one["state"]) == (number, "running") for one in found)

    for number in (1, 2, 3):
        wait_until(partial(is_in_try, number), f"try {number} of the copy")
        wait_until(lambda: victims.kill("task") is not None, "its process")

    assert installed.api.wait_for_run(DAG, run_id, timeout_s=900) == "failed"
    path = f"/api/v2/dags/{DAG}/dagRuns/{quote(run_id, safe='')}"
    note = installed.api.call("GET", path)["note"]
    assert "backup_vm_disks[0] (try 3)" in note
    assert "was killed" in note
    assert not installed.production.state()["open_backups"], vm
    installed.run(DAG, timeout_s=900)
