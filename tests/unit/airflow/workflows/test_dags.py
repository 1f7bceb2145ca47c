"""The DAG files that are not per VM: Airflow can load and store each, and parsing them asks nobody anything."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization

DAGS = Path(__file__).resolve().parents[4] / "dags"
FILES = sorted(DAGS.glob("*.py"))


def load_dag(path: Path) -> Any:
    (dag,) = [value for value in runpy.run_path(str(path)).values() if isinstance(value, DAG)]
    return dag


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_airflow_can_store_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__VMFERRY__POLICY_FILE", "/nowhere")  # none may read it while it is parsed

    dag = load_dag(path)

    assert dag.dag_id == path.stem
    assert "vmferry" in dag.tags
    assert all(task.retries >= 2 for task in dag.tasks)
    assert json.dumps(DagSerialization.to_dict(dag))


@pytest.mark.parametrize("name", ["prune_vault", "certificates"])
def test_a_question_that_nobody_answers_counts_as_no(name: str) -> None:
    dag = load_dag(DAGS / f"{name}.py")

    (question,) = [task for task in dag.tasks if type(task).__name__ == "ApprovalOperator"]

    assert question.defaults == ["Reject"]
    assert question.response_timeout.total_seconds() < 24 * 3600


@pytest.mark.parametrize(
    ("name", "setup", "teardown"),
    [("restore_vm", "create_vm_disks", "roll_back"), ("dr_drill", "create_vm_disks", "remove_drill")],
)
def test_what_a_restore_makes_is_given_back(name: str, setup: str, teardown: str) -> None:
    dag = load_dag(DAGS / f"{name}.py")

    assert dag.get_task(setup).is_setup
    assert dag.get_task(teardown).is_teardown
