# SPDX-License-Identifier: Apache-2.0
"""Waiting for a job through outages of its host, and starting it again when it was lost."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

from vmferry.engine.errors import HostLost
from vmferry.engine.jobs import JobLost, JobSpec, JobState, JobStatus
from vmferry.hosts.host import NO_SECRETS, Host

_log = logging.getLogger(__name__)

EVERY_S = 2.0
OUTAGE_S = 600.0
"""How long a host may be away: a reboot of a large server takes minutes."""
_LONGEST_PAUSE_S = 30.0

ProgressListener = Callable[[Mapping[str, Any]], None]


class Outage:
    """Counts how long a host has been away, for whoever polls it."""

    def __init__(self, limit_s: float = OUTAGE_S) -> None:
        self._limit_s = limit_s
        self._since: float | None = None
        self._pause_s = 1.0

    def over(self) -> None:
        """The host answered."""
        if self._since is not None:
            _log.info("host is back after %.0f s", time.monotonic() - self._since)
        self._since, self._pause_s = None, 1.0

    def pause_s(self, error: HostLost) -> float:
        """The host did not answer: say how long to wait until the next try, or raise the error when it is too long."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
            _log.warning("%s; trying again for %.0f s", error.what, self._limit_s)
        left_s = self._since + self._limit_s - now
        if left_s <= 0:
            raise error
        pause_s = min(self._pause_s, left_s) * random.uniform(0.7, 1.0)  # noqa: S311 - so that pollers do not march in step
        self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)
        return pause_s


def wait(
    host: Host,
    job_id: str,
    *,
    on_progress: ProgressListener | None = None,
    every_s: float = EVERY_S,
    outage_s: float = OUTAGE_S,
) -> JobStatus:
    """Wait until the job is done, telling its progress as it changes.

    Raises the job's own error when it failed, `Cancelled` when it was stopped, `JobLost` when its process is gone,
    and `HostLost` when the host was away for longer than `outage_s`.
    """
    outage = Outage(outage_s)
    told: Mapping[str, Any] | None = None
    while True:
        try:
            status = host.poll(job_id)
        except HostLost as error:
            time.sleep(outage.pause_s(error))
            continue
        outage.over()
        if on_progress is not None and status.progress and status.progress != told:
            told = status.progress
            on_progress(told)
        if status.state is not JobState.RUNNING:
            problem = status.error()
            if problem is not None:
                raise problem
            return status
        time.sleep(every_s)


def run(
    host: Host,
    spec: JobSpec,
    secrets: Mapping[str, str] = NO_SECRETS,
    *,
    on_progress: ProgressListener | None = None,
    every_s: float = EVERY_S,
    outage_s: float = OUTAGE_S,
    restarts: int = 3,
) -> JobStatus:
    """Start a job or attach to it, and wait for its end; begin it again up to `restarts` times when it is lost."""
    while True:
        _start(host, spec, secrets, outage_s)
        try:
            return wait(host, spec.id, on_progress=on_progress, every_s=every_s, outage_s=outage_s)
        except JobLost as error:
            if restarts <= 0:
                raise
            restarts -= 1
            _log.warning("%s; starting it again", error.what)


def _start(host: Host, spec: JobSpec, secrets: Mapping[str, str], outage_s: float) -> None:
    outage = Outage(outage_s)
    while True:
        try:
            host.start(spec, secrets)
        except HostLost as error:
            time.sleep(outage.pause_s(error))
        else:
            return
