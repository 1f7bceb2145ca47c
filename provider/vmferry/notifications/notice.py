# SPDX-License-Identifier: Apache-2.0
"""Tells those whom the policy names: by mail, Slack or a web hook, over a connection of Airflow's.

Runs in the DAG processor (ends of runs) and in the triggerer (deadlines), so it needs nothing but the standard library.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from airflow.sdk import BaseHook, BaseNotifier
from airflow.sdk.configuration import conf

from vmferry.notifications.sending import Letter, send


class NoticeNotifier(BaseNotifier):
    """Tells one event to everybody who wants it.

    :param event: success, failure, rpo_missed, verify_failed or approval_needed.
    :param subject: What it is about, e.g. a DAG id: repetitions are counted for it.
    :param message: One line.
    :param notices: `Notice` as JSON: type, connection, to, repeat_after_s; those of the policy when not given.
    """

    template_fields: Sequence[str] = ("message",)

    def __init__(
        self,
        *,
        event: str,
        subject: str,
        message: str,
        notices: Sequence[Mapping[str, Any]] | None = None,
        context: Any = None,
    ) -> None:
        super().__init__(context)
        self.event = event
        self.subject = subject
        self.message = message
        self.notices = [dict(one) for one in notices] if notices is not None else None

    def notify(self, context: Any) -> None:
        """Tell it; one that cannot be reached keeps the others from nothing."""
        failures = []
        for notice in self._due():
            try:
                send(self._letter(notice, context), BaseHook.get_connection(notice["connection"]))
                self._remember(notice)
            except OSError as error:
                failures.append(f"{notice['connection']}: {error}")
        if failures:
            raise ConnectionError(f"could not tell {self.event} of {self.subject}: {'; '.join(failures)}")

    async def async_notify(self, context: Any) -> None:
        """Tell it from the triggerer."""
        for notice in self._due():
            connection = await BaseHook.aget_connection(notice["connection"])
            await asyncio.to_thread(send, self._letter(notice, context), connection)
            self._remember(notice)

    def _letter(self, notice: Mapping[str, Any], context: Any) -> Letter:
        return Letter(
            kind=notice["type"], event=self.event, subject=self.subject, text=f"{self.message}{self._where(context)}",
            to=tuple(notice["to"]), **_run_of(context),
        )  # fmt: skip

    def _where(self, context: Any) -> str:
        """Name the task that failed, where Airflow says which."""
        task_id = getattr(context.get("ti"), "task_id", "") if self.event == "failure" else ""
        return f", in task {task_id}" if task_id else ""

    def _due(self) -> list[dict[str, Any]]:
        notices = self.notices if self.notices is not None else policy_notices(self.event)
        return [one for one in notices if not _told_lately(self._mark(one), one.get("repeat_after_s"))]

    def _remember(self, notice: Mapping[str, Any]) -> None:
        if notice.get("repeat_after_s"):
            mark = self._mark(notice)
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()

    def _mark(self, notice: Mapping[str, Any]) -> Path:
        parts = (self.event, self.subject, notice["type"], notice["connection"], *notice["to"])
        digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
        home = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()
        return home / "vmferry" / "told" / digest


def _run_of(context: Any) -> dict[str, str]:
    """Give the run's id, and the address of its page."""
    run = context.get("dag_run")
    run_id = str(getattr(run, "run_id", "") or context.get("run_id") or "")
    dag_id = str(getattr(run, "dag_id", "") or getattr(context.get("dag"), "dag_id", ""))
    base = conf.get("api", "base_url", fallback="")
    if not (run_id and dag_id and base):
        return {"run_id": run_id}
    path = f"dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}"
    return {"run_id": run_id, "link": f"{base.rstrip('/')}/{path}"}


def policy_notices(event: str) -> list[dict[str, Any]]:
    """Read from the policy who wants to hear of something that is not about one VM."""
    from vmferry.hooks.settings import policy_file
    from vmferry.policy.load import load

    return [
        {
            "type": one.type,
            "connection": one.connection,
            "to": one.to,
            "repeat_after_s": one.repeat_after.total_seconds() if one.repeat_after else None,
        }
        for one in load(policy_file()).notifications
        if event in one.events and not one.vms
    ]


def _told_lately(mark: Path, repeat_after_s: float | None) -> bool:
    return bool(repeat_after_s) and mark.exists() and time.time() - mark.stat().st_mtime < (repeat_after_s or 0)
