# SPDX-License-Identifier: Apache-2.0
"""Writes a note at a run of ours that failed: which tasks did it, and what a log means that ends without an error.

A task whose process, worker or machine is killed in each try leaves no word of ours: Airflow shows it as failed, and
its log may be empty. The scheduler is what still lives then, so a listener in it says so.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from airflow.listeners import hookimpl

_log = logging.getLogger(__name__)
_OURS = "vmferry"
"""The tag of our DAGs."""
_MOST_NAMED = 5


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


def describe_failure(failed: Sequence[str]) -> str:
    """Say what failed and what to do about it."""
    named = ", ".join(failed[:_MOST_NAMED])
    more = f" and {len(failed) - _MOST_NAMED} more" if len(failed) > _MOST_NAMED else ""
    return (
        f"{named}{more} failed. The log of the last try says why and what to do. If it is empty, or ends without an"
        " error of its own, the task's process, its worker or its machine was killed: look whether memory ran out or"
        " something was started again. Nothing that was proven is lost. Clear the failed tasks and they go on where"
        " they stopped, or start a new run; the janitor gives back what stays of this one."
    )


def _find_failed(dag_run: Any) -> list[str]:
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select
    from sqlalchemy.orm import object_session

    session = object_session(dag_run)
    if session is None:
        return []
    wanted = select(TaskInstance.task_id, TaskInstance.map_index, TaskInstance.try_number).where(
        TaskInstance.dag_id == dag_run.dag_id, TaskInstance.run_id == dag_run.run_id, TaskInstance.state == "failed"
    )
    rows = sorted(session.execute(wanted).all())
    return [f"{task}{f'[{index}]' if index >= 0 else ''} (try {tried})" for task, index, tried in rows]
