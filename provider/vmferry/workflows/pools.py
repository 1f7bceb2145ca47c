# SPDX-License-Identifier: Apache-2.0
"""Makes a site's pool when a run first needs it: Airflow never starts a task whose pool is not there.

A task may not write to Airflow's database, so it is done by a listener in the scheduler. A pool that exists is left
alone: its slots are the admin's to change.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, ClassVar

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

from vmferry.workflows import endings

_log = logging.getLogger(__name__)
_OURS = "vmferry"
"""The tag of our DAGs."""


@hookimpl
def on_dag_run_running(dag_run: Any, msg: str) -> None:
    """Look at the pools of a run of ours that begins."""
    dag = dag_run.dag
    if dag is None or _OURS not in dag.tags:
        return
    wanted = {task.pool for task in dag.tasks} - {"default_pool"}
    if wanted:
        _make_missing(dag_run, wanted)


def _make_missing(dag_run: Any, wanted: set[str]) -> None:
    from airflow.models.pool import Pool
    from sqlalchemy import select
    from sqlalchemy.orm import object_session

    # The scheduler is in the middle of its own transaction: another one would wait for it, on SQLite for ever.
    session = object_session(dag_run)
    if session is None:
        return
    missing = wanted - set(session.scalars(select(Pool.pool).where(Pool.pool.in_(wanted))))
    for name, slots in sorted(_slots(missing).items()):
        said = {"pool": name, "slots": slots, "description": "made for vmferry", "include_deferred": False}
        session.execute(_insert_once(Pool.__table__, session.get_bind().dialect.name).values(**said))
        _log.info("made pool %s with %d slots", name, slots)


def _insert_once(table: Any, dialect: str) -> Any:
    """Insert, unless another scheduler was faster: a failed statement would end this one's transaction."""
    if dialect == "mysql":
        from sqlalchemy import insert

        return insert(table).prefix_with("IGNORE")
    from sqlalchemy.dialects import postgresql, sqlite

    return (sqlite if dialect == "sqlite" else postgresql).insert(table).on_conflict_do_nothing()


def _slots(names: set[str]) -> dict[str, int]:
    """Read from the policy how many slots each has."""
    if not names:
        return {}
    from vmferry.engine.errors import EngineError
    from vmferry.hooks.settings import policy_file
    from vmferry.policy.load import load
    from vmferry.policy.sites import list_sites

    try:
        sites = list_sites(load(policy_file())).values()
    except EngineError as error:
        _log.error("pools %s are missing, and the policy cannot be read: %s", sorted(names), error)
        return {}
    found: dict[str, int] = {}
    for site in sites:
        if site.pool in names:
            found[site.pool] = found.get(site.pool, 0) + site.max_vms_at_once
    return found


class VmferryPools(AirflowPlugin):
    """Found through the entry point ``airflow.plugins``."""

    name = "vmferry_pools"
    listeners: ClassVar[list[Any]] = [sys.modules[__name__], endings]
