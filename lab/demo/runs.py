"""Runs DAGs and shows each of their tasks as it ends."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from lab.airflow.airflow_api import AirflowApi
from lab.demo.teller import Teller
from vmferry.engine.units import format_seconds

_ENDED = frozenset({"success", "failed", "skipped", "upstream_failed"})
_LONGEST_S = 900.0
_SILENCE_S = 10.0


def run_dag(teller: Teller, api: AirflowApi, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
    """Run a DAG to its good end; give the run's id."""
    run_id = api.trigger(dag_id, conf)
    said = "".join(f", {name} {value}" for name, value in (conf or {}).items())
    teller.say(f"DAG {dag_id}{said}")
    watch_dag(teller, api, dag_id, run_id)
    return run_id


def first_run(api: AirflowApi, dag_id: str) -> str:
    """Wait for the first run that the schedule made."""
    deadline = time.monotonic() + _LONGEST_S
    while not (runs := api.list_runs(dag_id)):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the scheduler made no run of {dag_id}")
        time.sleep(0.5)
    return runs[-1]


def watch_dag(teller: Teller, api: AirflowApi, dag_id: str, run_id: str) -> None:
    """Show the tasks of a run until it is over; the story ends badly if the run does."""
    shown: set[tuple[str, int]] = set()
    deadline, silent_since = time.monotonic() + _LONGEST_S, time.monotonic()
    state = "queued"
    while state not in _ENDED:
        if time.monotonic() > deadline:
            teller.fail(f"{dag_id} is {state} after {_LONGEST_S:.0f} s:\n{api.explain(dag_id, run_id)}")
        time.sleep(0.5)
        state = api.run_state(dag_id, run_id)
        tasks = api.tasks(dag_id, run_id)
        fresh = [one for one in tasks if one["state"] in _ENDED and _key(one) not in shown]
        for one in sorted(fresh, key=lambda one: str(one["end_date"])):
            teller.say(f"{_describe(one)}")
        shown |= {_key(one) for one in fresh}
        if fresh:
            silent_since = time.monotonic()
        elif time.monotonic() - silent_since > _SILENCE_S:
            silent_since = time.monotonic()
            teller.say(f"  ... {_describe_waiting(tasks)}")
    if state != "success":
        teller.fail(f"{dag_id} {run_id}: {state}\n{api.explain(dag_id, run_id)}")


def _key(task: Mapping[str, Any]) -> tuple[str, int]:
    return task["task_id"], task["map_index"]


def _describe(task: Mapping[str, Any]) -> str:
    name = task["task_id"]
    if task["map_index"] >= 0:
        name += f" [{task.get('rendered_map_index') or task['map_index']}]"
    took = ""
    if task["start_date"] and task["end_date"]:
        span = datetime.fromisoformat(task["end_date"]) - datetime.fromisoformat(task["start_date"])
        took = f"{span.total_seconds():5.1f} s"
    word = "" if task["state"] == "success" else str(task["state"])
    return f"  {name:<34} {took} {word}".rstrip()


def _describe_waiting(tasks: list[dict[str, Any]]) -> str:
    waiting = {f"{one['task_id']} {one['state']}" for one in tasks if one["state"] not in _ENDED and one["state"]}
    return ", ".join(sorted(waiting)) or "waiting for the scheduler"


def describe_length(api: AirflowApi, dag_id: str, run_id: str) -> str:
    """Say how long a run took."""
    found = api.find_run(dag_id, run_id)
    span = datetime.fromisoformat(found["end_date"]) - datetime.fromisoformat(found["start_date"])
    return format_seconds(span.total_seconds())
