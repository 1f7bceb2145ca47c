# SPDX-License-Identifier: Apache-2.0
"""Starting a job so that it outlives who started it: the SSH session, the terminal."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from vmferry.engine.errors import EngineError
from vmferry.engine.jobs.directory import JobDirectory
from vmferry.engine.jobs.errors import JobLost
from vmferry.engine.jobs.lock import OwnerLock
from vmferry.engine.jobs.result import JobError
from vmferry.engine.jobs.run import JobRun
from vmferry.engine.jobs.spec import JobSpec


def run_detached(directory: JobDirectory, spec: JobSpec, secrets: Mapping[str, str], lock: OwnerLock) -> None:
    """Run the job in a process of its own session; returns when that process has begun, or raises why it has not.

    The lock is handed on through the forks, so that it is never free in between. Call from a process without threads.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _become_job(directory, spec, secrets, writing)
    os.close(writing)
    os.waitpid(child, 0)
    lock.release()
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    if told != b"{}":
        raise _problem(directory, told)


def _problem(directory: JobDirectory, told: bytes) -> EngineError:
    if told:
        return JobError.from_json(json.loads(told)).to_exception()
    return JobLost(f"the process of job {directory.path.name} died at once", fix=f"see {directory.log}")


def _become_job(directory: JobDirectory, spec: JobSpec, secrets: Mapping[str, str], writing: int) -> None:
    """Never returns: the middle process ends at once, so that init takes the job over."""
    os.setsid()
    if os.fork() != 0:
        os._exit(0)
    status = 1
    try:
        status = _run(directory, spec, secrets, writing)
    finally:
        os._exit(status)


def _run(directory: JobDirectory, spec: JobSpec, secrets: Mapping[str, str], writing: int) -> int:
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - a descriptor is what is wanted
        os.dup2(nothing.fileno(), 0)
    try:
        job = JobRun(directory, spec, secrets)
        job.redirect_output()
    except (EngineError, OSError) as error:
        os.write(writing, json.dumps(JobError.from_exception(error).to_json()).encode())
        return 1
    os.write(writing, b"{}")
    os.close(writing)
    job.run()
    return 0
