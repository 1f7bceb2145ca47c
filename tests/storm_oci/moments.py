"""What runs were at when something was killed: a storm that only meets one task proves little."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import quote

from lab.airflow.airflow_api import AirflowApi
from tests.storm.asking import PatientApi
from tests.storm.lanes import Run
from tests.storm.victims import Kill


def count_met(api: PatientApi, runs: Sequence[Run], kills: Sequence[Kill]) -> Counter[str]:
    """Count the kills that each task was met by while a try of it was under way."""
    met: Counter[str] = Counter()
    for run in runs:
        for task in api.ask(partial(_tasks_of, run)):
            for began, ended in _tries(api, run, str(task["task_id"])):
                met[task["task_id"]] += sum(began <= kill.at <= ended for kill in kills)
    return met


def _tries(api: PatientApi, run: Run, task_id: str) -> list[tuple[float, float]]:
    path = f"/api/v2/dags/{run.dag_id}/dagRuns/{quote(run.run_id, safe='')}/taskInstances/{task_id}/tries"
    found: list[dict[str, Any]] = api.ask(lambda api: api.call("GET", path))["task_instances"]
    both = [(one["start_date"], one["end_date"]) for one in found]
    return [(_seconds(began), _seconds(ended)) for began, ended in both if began and ended]


def _tasks_of(run: Run, api: AirflowApi) -> list[dict[str, Any]]:
    return api.tasks(run.dag_id, run.run_id)


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
