# SPDX-License-Identifier: Apache-2.0
"""Becoming the one process that runs a job: make its directory or find it, compare what is asked, take the lock."""

from __future__ import annotations

import time
from typing import NamedTuple, Optional

from vmferry.engine.errors import BadInput, JobBusy
from vmferry.engine.jobs.control import clear_cancel
from vmferry.engine.jobs.directory import JobDirectory, read_json, sync_directory, write_json
from vmferry.engine.jobs.errors import JobMismatch
from vmferry.engine.jobs.lock import OwnerLock, try_acquire
from vmferry.engine.jobs.spec import JobSpec, differences
from vmferry.engine.jobs.state import JobState
from vmferry.engine.jobs.status import JobStatus, poll

_SUBMISSION_S = 10.0
_PAUSE_S = 0.005


class Claim(NamedTuple):
    """What came of asking for a job."""

    status: JobStatus
    """The job as it was found."""
    lock: Optional[OwnerLock]
    """Held: the caller has to run the job now. None: it runs already, or it has ended."""


def claim(directory: JobDirectory, spec: JobSpec, *, again: bool = True) -> Claim:
    """See who runs the job: the caller when a lock comes back, else somebody does already or it has ended.

    May be called by any number of processes at once: one of them gets the lock. A job that is done stays done; one that
    failed or was cancelled goes on from its journal, unless `again` is false.
    """
    if directory.path.name != spec.id:
        raise BadInput(f"job {spec.id} cannot live in {directory.path}", fix=f"end the path with {spec.id}")
    deadline = time.monotonic() + _SUBMISSION_S
    while True:
        _make(directory)
        is_written = _compare(directory, spec)
        if is_written and _has_ended(directory, again=again):
            return Claim(poll(directory), None)
        try:
            lock = try_acquire(directory.lock)
        except FileNotFoundError:
            continue  # forgotten since our mkdir
        if lock is not None:
            return _take(directory, spec, lock, again=again)
        if is_written:
            return Claim(poll(directory), None)
        # Another start made the directory an instant ago and has yet to write what for.
        if time.monotonic() > deadline:
            raise JobBusy(f"a process holds {directory.lock} but writes no job.json", fix="find it with fuser -v")
        time.sleep(_PAUSE_S)


def _make(directory: JobDirectory) -> None:
    directory.path.parent.mkdir(parents=True, exist_ok=True)
    try:
        directory.path.mkdir(mode=0o700)
    except FileExistsError:
        if not directory.path.is_dir():
            raise BadInput(f"{directory.path} is no directory", fix="give a job directory") from None
        return
    sync_directory(directory.path.parent)


def _compare(directory: JobDirectory, spec: JobSpec) -> bool:
    """Tell whether job.json is there; raises `JobMismatch` when it asks for something else."""
    raw = read_json(directory.spec)
    if raw is None:
        return False
    differing = differences(JobSpec.from_json(raw), spec)
    if differing:
        raise JobMismatch(
            f"job {spec.id} in {directory.path} was asked for something else: {'; '.join(differing)}",
            fix="use another job id, or forget this job first",
        )
    return True


def _has_ended(directory: JobDirectory, *, again: bool) -> bool:
    raw = read_json(directory.result)
    return raw is not None and (not again or JobState(raw["state"]) is JobState.DONE)


def _take(directory: JobDirectory, spec: JobSpec, lock: OwnerLock, *, again: bool) -> Claim:
    try:
        is_written = _compare(directory, spec)
        if is_written and _has_ended(directory, again=again):
            lock.release()
            return Claim(poll(directory), None)
        if read_json(directory.spec) != spec.to_json():
            write_json(directory.spec, spec.to_json())
        clear_cancel(directory)
        for leftover in (directory.result, directory.progress):
            leftover.unlink(missing_ok=True)
        return Claim(poll(directory), lock)
    except BaseException:
        lock.release()
        raise
