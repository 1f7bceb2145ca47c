# SPDX-License-Identifier: Apache-2.0
"""Writes a note at a run of ours that failed: which tasks did it, what they said, what a log means that says nothing.

A task that fails by an error of ours has left its words in the task state store. One whose process, worker or machine
is killed in each try leaves no word: Airflow shows it as failed, and its log may be empty. The scheduler is what still
lives then, so a listener in it says so.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow.listeners import hookimpl

_log = logging.getLogger(__name__)
_OURS = "vmferry"
"""The tag of our DAGs."""
_MOST_NAMED = 5
_FAILURE = "failure"
"""Where `vmferry.operators.retry` notes what a task said; the scheduler needs none of the rest of that."""
_LONGEST_SAID, _LONGEST_NOTE = 480, 1000
"""Letters: of what the first task said, and of what Airflow keeps of a note."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A task that failed."""

    label: str
    said: str = ""
    """What its error said; empty when it was killed, or the error was not ours."""


@hookimpl
def on_dag_run_failed(dag_run: Any, msg: str) -> None:
    """Note the reason, unless a person has noted something."""
    dag = dag_run.dag
    if dag is None or _OURS not in dag.tags or dag_run.note:
        return
    failed = _find_failed(dag_run)
    if failed:
        dag_run.note = describe_failure(failed)
        _log.info("%s %s failed: %s", dag_run.dag_id, dag_run.run_id, failed)


def describe_failure(failed: Sequence[Failed]) -> str:
    """Say what failed, why, and what to do about it."""
    told = [one for one in failed if one.said]
    silent = [one.label for one in failed if not one.said]
    parts = [f"{told[0].label} failed: {_shorten(told[0].said)}."] if told else []
    if told[1:]:
        parts.append(f"{_name([one.label for one in told[1:]])} failed too; the log of the last try says why.")
    if silent:
        parts.append(
            f"{_name(silent)} failed. The log of the last try says why and what to do. If it is empty, or ends without"
            " an error of its own, the task's process, its worker or its machine was killed: look whether memory ran"
            " out or something was started again."
        )
    parts.append(
        "Nothing that was proven is lost. Clear the failed tasks and they go on where they stopped, or start a new run;"
        " the janitor gives back what stays of this one."
    )
    return " ".join(parts)[:_LONGEST_NOTE]


def _name(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - _MOST_NAMED} more" if len(labels) > _MOST_NAMED else ""
    return f"{', '.join(labels[:_MOST_NAMED])}{more}"


def _shorten(said: str) -> str:
    """Cut the middle out: what it is about stands in front, what to do behind."""
    said = " ".join(said.split()).rstrip(".")
    return said if len(said) <= _LONGEST_SAID else f"{said[:240]} … {said[-(_LONGEST_SAID - 243) :]}"


def _find_failed(dag_run: Any) -> list[Failed]:
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select
    from sqlalchemy.orm import object_session

    session = object_session(dag_run)
    if session is None:
        return []
    wanted = select(TaskInstance.task_id, TaskInstance.map_index, TaskInstance.try_number).where(
        TaskInstance.dag_id == dag_run.dag_id, TaskInstance.run_id == dag_run.run_id, TaskInstance.state == "failed"
    )
    said = _find_said(session, dag_run)
    return [
        Failed(f"{task}{f'[{index}]' if index >= 0 else ''} (try {tried})", said.get((task, index, tried), ""))
        for task, index, tried in sorted(session.execute(wanted).all())
    ]


def _find_said(session: Any, dag_run: Any) -> Mapping[tuple[str, int, int], str]:
    """Give what tasks said, by task and try: what an earlier try said is no reason of the last one."""
    from airflow.models.task_state_store import TaskStateStoreModel as Store
    from sqlalchemy import select

    wanted = select(Store.task_id, Store.map_index, Store.value).where(
        Store.dag_id == dag_run.dag_id, Store.run_id == dag_run.run_id, Store.key == _FAILURE
    )
    found: dict[tuple[str, int, int], str] = {}
    for task, index, value in session.execute(wanted).all():
        try:
            noted = json.loads(value)
            found[task, index, int(noted["try"])] = str(noted["said"])
        except (ValueError, TypeError, KeyError):
            continue  # a state store of somebody's own keeps its values elsewhere
    return found
