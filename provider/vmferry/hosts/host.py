# SPDX-License-Identifier: Apache-2.0
"""What a place where jobs run promises, whether it is this machine or one over SSH."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from vmferry.engine.jobs import JobSpec, JobStatus

NO_SECRETS: Mapping[str, str] = {}


class Host(Protocol):
    """Runs jobs. Every method may be called again after a failure, also by another process.

    Any of them raises `HostLost` when the host does not answer, `TrustError` when it is not the one expected,
    `AuthenticationFailed` when it does not let us in.
    """

    @property
    def name(self) -> str:
        """What to call it in a message."""

    def start(self, spec: JobSpec, secrets: Mapping[str, str] = NO_SECRETS, *, again: bool = True) -> JobStatus:
        """See to it that the job runs, and say how it is.

        One that runs is left alone, one that is done stays done. One that was lost, failed or cancelled goes on from
        its journal; `again=False` leaves failed and cancelled ones as they are. Raises `JobMismatch` when the id
        belongs to a job with another spec. The secrets are in memory only: a job begun again needs them again.
        """

    def poll(self, job_id: str) -> JobStatus:
        """Say how the job is; `ABSENT` when there is none."""

    async def apoll(self, job_id: str) -> JobStatus:
        """Like `poll`, for an event loop."""

    def cancel(self, job_id: str) -> JobStatus:
        """Ask the job to stop and return at once; it has 20 s, and a second call stops it hard."""

    def set_rate(self, job_id: str, bytes_per_s: int | None) -> None:
        """Change how fast a running job may go; None lifts the limit."""

    def forget(self, job_id: str) -> None:
        """Remove the job with its journal; gone already is fine. Raises `JobBusy` while it runs."""

    def jobs(self) -> list[JobStatus]:
        """Say how all jobs of this host are."""

    def fetch(self, job_id: str, name: str, target: Path) -> None:
        """Copy a file of the job (its log, its proof) to this machine; the target appears whole or not at all."""

    def forward(self, remote: Path | int) -> AbstractContextManager[Path]:
        """Bring a unix socket of the host, or a TCP port of its loopback, here as a unix socket; gone at the end."""

    def close(self) -> None:
        """Give back what this object holds. May be called twice."""
