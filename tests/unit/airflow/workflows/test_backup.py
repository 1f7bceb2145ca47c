from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.serialization.serialized_objects import DagSerialization
from tests.unit.airflow.policies import resolved, write_policy

from vmferry.workflows.backup import backup_dag

TASKS = [
    "validate_environment",
    "get_vm_info",
    "check_vm_lock",
    "create_vm_snapshot",
    "backup_vm_disks",
    "cleanup_snapshot",
    "publish",
]
RESTORE_TASKS = ["validate_restore_environment", "detect_new_backups", "process_vm_restores"]


def make_dag(tmp_path: Path, vm: dict[str, Any] | None = None, **more: Any) -> Any:
    vms, sites, vault = resolved(write_policy(tmp_path / "p.json", vms_config={"web01": vm or {}}, **more))
    return backup_dag(vms[0], sites, vault)


@pytest.mark.parametrize("auto_restore", [False, True], ids=["backup", "with-restore"])
def test_operators_find_the_task_ids_they_know(tmp_path: Path, *, auto_restore: bool) -> None:
    dag = make_dag(tmp_path, {"auto_restore": auto_restore})

    assert dag.dag_id == "backup_web01"
    assert list(dag.task_dict) == TASKS + (RESTORE_TASKS if auto_restore else [])


def test_the_point_is_given_back_whatever_happens_to_the_copies(tmp_path: Path) -> None:
    dag = make_dag(tmp_path)

    assert dag.get_task("create_vm_snapshot").is_setup
    assert dag.get_task("cleanup_snapshot").is_teardown
    assert dag.get_task("publish").upstream_task_ids == {"create_vm_snapshot", "backup_vm_disks", "cleanup_snapshot"}


def test_one_run_at_a_time_and_every_task_is_tried_again(tmp_path: Path) -> None:
    dag = make_dag(tmp_path, {"retries": 0})

    assert dag.max_active_runs == 1
    assert {task.retries for task in dag.tasks} == {2}
    assert all(task.retry_policy for task in dag.tasks)


def test_only_what_burdens_a_site_takes_its_slots(tmp_path: Path) -> None:
    dag = make_dag(tmp_path)

    pooled = {task.task_id for task in dag.tasks if task.pool == "vmferry_source"}
    assert pooled == {"create_vm_snapshot", "backup_vm_disks"}


def test_a_site_elsewhere_gets_its_queue(tmp_path: Path) -> None:
    dag = make_dag(tmp_path, {"queue": "branch"})

    assert {task.queue for task in dag.tasks} == {"branch"}


def test_airflow_can_store_it(tmp_path: Path) -> None:
    notices = [{"events": ["failure", "rpo_missed"], "type": "webhook", "connection": "hook"}]
    dag = make_dag(tmp_path, {"rpo": "26h", "auto_restore": True}, notifications=notices)

    stored = DagSerialization.to_dict(dag)

    again = DagSerialization.from_dict(json.loads(json.dumps(stored)))
    assert again.timetable.summary == "0 2 * * *"
    assert again.deadline
