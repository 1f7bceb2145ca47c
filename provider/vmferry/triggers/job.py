# SPDX-License-Identifier: Apache-2.0
"""Waits for a job on a host over SSH, through outages of the host and restarts of the triggerer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, closing
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from vmferry.engine.errors import HostLost
from vmferry.engine.jobs import JobState, JobStatus
from vmferry.hooks.ssh import SshHostHook
from vmferry.hosts.ssh import SshHost
from vmferry.hosts.waiting import EVERY_S, OUTAGE_S, Outage

_TELL_EVERY_S = 10.0


class JobTrigger(BaseTrigger):
    """Fires when the job is done, failed, cancelled or lost, or when its host stays away.

    The job itself runs on: only a person who marks the task failed or clears it stops it.
    """

    def __init__(
        self, host_conn_id: str, job_id: str, every_s: float = EVERY_S, outage_s: float = OUTAGE_S, label: str = ""
    ) -> None:
        super().__init__()
        self.host_conn_id = host_conn_id
        self.job_id = job_id
        self.every_s = every_s
        self.outage_s = outage_s
        self.label = label or job_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give class and arguments; nothing secret."""
        names = ("host_conn_id", "job_id", "every_s", "outage_s", "label")
        return f"{__name__}.{type(self).__name__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until the job has ended."""
        way = self.open_host()
        host = await asyncio.to_thread(way.__enter__)
        try:
            yield TriggerEvent(await self._wait(host))
        finally:
            await asyncio.to_thread(way.__exit__, None, None, None)

    async def on_kill(self) -> None:
        """Stop the job: a person wanted the task to end."""
        await asyncio.to_thread(self._cancel)

    def open_host(self) -> AbstractContextManager[SshHost]:
        """Give the host for the length of a block."""
        return closing(SshHostHook(self.host_conn_id).get_conn())

    def is_gone(self) -> bool:
        """Tell whether the host will never come back; nobody knows of a machine that has only an address."""
        return False

    def _cancel(self) -> None:
        with self.open_host() as host:
            host.cancel(self.job_id)

    async def _wait(self, host: SshHost) -> dict[str, Any]:
        outage = Outage(self.outage_s)
        silence_s = _TELL_EVERY_S
        while True:
            try:
                status = await host.apoll(self.job_id)
            except HostLost as error:
                if await asyncio.to_thread(self.is_gone):
                    return {"job_id": self.job_id, "lost_host": f"{error.what}; its machine is gone", "fix": error.fix}
                try:
                    await asyncio.sleep(outage.pause_s(error))
                except HostLost as gone:
                    return {"job_id": self.job_id, "lost_host": gone.what, "fix": gone.fix}
                continue
            outage.over()
            if status.state is not JobState.RUNNING:
                return {"job_id": self.job_id, "status": status.to_json()}
            silence_s = self._tell(status, silence_s + self.every_s)
            await asyncio.sleep(self.every_s)

    def _tell(self, status: JobStatus, silence_s: float) -> float:
        """Log how far it is, at most every 10 s; give how long nothing was said."""
        if not status.progress or silence_s < _TELL_EVERY_S:
            return silence_s
        self.log.info("%s: %s", self.label, dict(status.progress))
        return 0.0
