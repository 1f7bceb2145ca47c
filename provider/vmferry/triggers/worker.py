# SPDX-License-Identifier: Apache-2.0
"""Waits for a job on a worker of an import, whose address and host key only its run knows."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from vmferry.engine.errors import EngineError
from vmferry.hooks.sites import SiteRef, open_site
from vmferry.hosts.ssh import SshHost
from vmferry.hosts.waiting import EVERY_S, OUTAGE_S
from vmferry.operations.disk_import.guest import open_host
from vmferry.triggers.job import JobTrigger

_NAMES = ("site", "worker", "address", "host_key", "job_id", "every_s", "outage_s", "label")


class WorkerJobTrigger(JobTrigger):
    """Fires when the job is done, failed, cancelled or lost, or when its worker is gone or stays away."""

    def __init__(
        self,
        site: SiteRef,
        worker: str,
        address: str,
        host_key: str,
        job_id: str,
        every_s: float = EVERY_S,
        outage_s: float = OUTAGE_S,
        label: str = "",
    ) -> None:
        super().__init__("", job_id, every_s, outage_s, label)
        self.site = site
        self.worker = worker
        self.address = address
        self.host_key = host_key

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give class and arguments; nothing secret."""
        return f"{__name__}.{type(self).__name__}", {name: getattr(self, name) for name in _NAMES}

    def open_host(self) -> AbstractContextManager[SshHost]:
        """Give the worker for the length of a block."""
        with open_site(self.site) as site:
            return open_host(site.settings, self.address, self.host_key)

    def is_gone(self) -> bool:
        """Ask OCI: a worker that was terminated does not come back. Where OCI does not answer either, wait on."""
        try:
            with open_site(self.site) as site:
                return not site.is_worker_there(self.worker)
        except EngineError:
            return False
