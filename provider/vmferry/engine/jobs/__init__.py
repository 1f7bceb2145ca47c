# SPDX-License-Identifier: Apache-2.0
"""Jobs: work of the engine that has a directory, so that it can be found again, steered and resumed.

`spec` says what to do, `state` how a job lives, `directory` which files there are; `submission` makes one process the
owner, `run` does the work there, `status` looks on from outside, `control` and `ending` steer. docs/jobs.md is the
operator's view.
"""

from __future__ import annotations

from vmferry.engine.jobs.control import set_rate
from vmferry.engine.jobs.directory import JobDirectory
from vmferry.engine.jobs.ending import cancel, forget
from vmferry.engine.jobs.errors import JobLost, JobMismatch, JobUnknown
from vmferry.engine.jobs.result import JobError, JobResult
from vmferry.engine.jobs.spec import JobKind, JobSpec, check_job_id, job_id
from vmferry.engine.jobs.state import TRANSITIONS, JobState
from vmferry.engine.jobs.status import JobStatus, list_jobs, poll
from vmferry.engine.jobs.submission import Claim, claim

__all__ = [
    "TRANSITIONS",
    "Claim",
    "JobDirectory",
    "JobError",
    "JobKind",
    "JobLost",
    "JobMismatch",
    "JobResult",
    "JobSpec",
    "JobState",
    "JobStatus",
    "JobUnknown",
    "cancel",
    "check_job_id",
    "claim",
    "forget",
    "job_id",
    "list_jobs",
    "poll",
    "set_rate",
]
