# SPDX-License-Identifier: Apache-2.0
"""Until when a VM needs its next backup: counted from the begin of the last one that ended well.

Airflow's own references count from the run that is late; what matters is how old the newest backup becomes.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk.definitions.deadline import BaseDeadlineReference

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


class LastBackup(BaseDeadlineReference):
    """When the last run of this DAG that ended well began; no deadline before there was one."""

    required_kwargs: ClassVar[set[str]] = {"dag_id"}

    def _evaluate_with(self, *, session: Session, **given: Any) -> datetime | None:
        # Called by the scheduler, which has the database; DAG files only name this class.
        from airflow.models import DagRun
        from airflow.utils.state import DagRunState
        from sqlalchemy import select

        query = select(DagRun.start_date).where(
            DagRun.dag_id == given["dag_id"], DagRun.state == DagRunState.SUCCESS, DagRun.start_date.is_not(None)
        )
        found: datetime | None = session.scalar(query.order_by(DagRun.start_date.desc()).limit(1))
        return found
