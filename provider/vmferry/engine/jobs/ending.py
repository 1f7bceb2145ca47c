# SPDX-License-Identifier: Apache-2.0
"""Ending a job from outside: ask it to stop, and remove what is left of it."""

from __future__ import annotations

import os
import shutil
import signal

from vmferry.engine.errors import Cancelled, JobBusy
from vmferry.engine.jobs.clock import utc_now
from vmferry.engine.jobs.control import request_cancel
from vmferry.engine.jobs.directory import JobDirectory, write_json
from vmferry.engine.jobs.errors import JobUnknown
from vmferry.engine.jobs.lock import try_acquire
from vmferry.engine.jobs.owner import read_owner, signal_owner
from vmferry.engine.jobs.result import JobError, JobResult
from vmferry.engine.jobs.state import JobState
from vmferry.engine.jobs.status import JobStatus, poll


def cancel(directory: JobDirectory) -> JobStatus:
    """Ask a job to stop; returns at once with the state it is in now. One that no process runs is cancelled here.

    A running job stops after the piece it is at, at the latest after 20 s. Cancelling again stops it at once.
    """
    status = poll(directory)
    if status.state is JobState.ABSENT:
        raise JobUnknown(f"there is no job in {directory.path}", fix="list the jobs to see which there are")
    if status.state.is_final:
        return status
    request_cancel(directory)
    lock = try_acquire(directory.lock)
    if lock is None:
        owner = read_owner(directory)
        if owner is not None:
            signal_owner(owner, signal.SIGTERM)
        return poll(directory)
    with lock:
        if not directory.result.exists():
            write_json(directory.result, _cancelled(directory).to_json())
    return poll(directory)


def forget(directory: JobDirectory) -> None:
    """Remove a job that does not run, with its journal. Gone already is fine."""
    try:
        lock = try_acquire(directory.lock)
    except (FileNotFoundError, NotADirectoryError):
        return
    if lock is None:
        raise JobBusy(f"job {directory.path.name} runs", fix="cancel it, wait for its end, then forget it")
    with lock:
        # First out of the way in one step, so that a start never finds half a job.
        grave = directory.path.with_name(f".{directory.path.name}.{os.getpid()}.forgotten")
        directory.path.rename(grave)
        shutil.rmtree(grave)


def _cancelled(directory: JobDirectory) -> JobResult:
    owner = read_owner(directory)
    error = JobError.from_exception(
        Cancelled(f"job {directory.path.name} was cancelled", fix="start it again to go on")
    )
    started, attempts = (owner.started, owner.attempts) if owner else ("", 0)
    return JobResult(JobState.CANCELLED, None, error, attempts, started, utc_now())
