# SPDX-License-Identifier: Apache-2.0
"""Which run a task belongs to, and which other runs will never go on.

What a task makes carries the name of its run, never the number of the try, so that a retry finds it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from airflow.sdk.exceptions import AirflowRuntimeError

_GOES_ON = frozenset({"queued", "running"})
_NOT_FOUND = 404
_CUT = re.compile(r"~[0-9a-f]{12}$")
"""A tag that was too long ends so: which run it was cannot be asked."""

OwnerJudge = Callable[[str], bool]


def owner_of(context: Any) -> Any:
    """Give the `RunId` of this run."""
    from vmferry.platforms.runs import RunId

    ti = context["ti"]
    return RunId.of(ti.dag_id, ti.run_id)


def is_dead_for(context: Any) -> OwnerJudge:
    """Judge owners of the same DAG: dead are those that Airflow calls ended, or has deleted.

    Of others nothing is said: a person at a shell, or a restore, is waited for.
    """
    ti = context["ti"]

    def is_dead(owner: str) -> bool:
        dag_id, _, run_id = owner.partition("/")
        return dag_id == ti.dag_id and run_id != ti.run_id and _has_ended(ti, dag_id, run_id)

    return is_dead


def any_dead_for(context: Any, dag_ids: Callable[[str], bool]) -> OwnerJudge:
    """Judge the owners whose DAG is one of ours, for the janitor."""
    ti = context["ti"]

    def is_dead(owner: str) -> bool:
        dag_id, _, run_id = owner.partition("/")
        return bool(run_id) and not _CUT.search(owner) and dag_ids(dag_id) and _has_ended(ti, dag_id, run_id)

    return is_dead


def _has_ended(ti: Any, dag_id: str, run_id: str) -> bool:
    try:
        return str(ti.get_dagrun_state(dag_id, run_id)) not in _GOES_ON
    except AirflowRuntimeError as error:
        detail = error.error.detail or {}
        if detail.get("status_code") == _NOT_FOUND:
            return True
        raise
