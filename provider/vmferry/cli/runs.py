# SPDX-License-Identifier: Apache-2.0
"""Runs a job of the engine in this process, under a directory that a second try finds again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vmferry.cli.bar import ProgressBar, read_status
from vmferry.engine.errors import JobBusy


def state_dir() -> Path:
    """Give the directory where jobs without a directory of their own are kept."""
    base = os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()
    return Path(base) / "vmferry" / "jobs"


def run_job(
    kind: str, params: Mapping[str, Any], *, directory: Path | None, name: tuple[str, ...], label: str,
    secrets: Mapping[str, str] | None = None,
) -> Mapping[str, Any]:  # fmt: skip
    """Run (or go on with) a job and give its result; raises the job's typed error.

    With no directory one is derived from `name`, so that the same command finds it; it goes away when all went well.
    """
    from vmferry.engine.jobs import JobDirectory, JobKind, JobSpec, claim, forget, job_id, poll
    from vmferry.engine.jobs.run import JobRun

    path = directory.absolute() if directory else state_dir() / job_id(kind, *name)
    home = JobDirectory(path)
    spec = JobSpec(path.name, JobKind(kind), dict(params))
    _forget_finished(home)
    lock = claim(home, spec).lock
    if lock is None:
        raise JobBusy(f"the job in {path} runs already", fix=f"wait for it, or see: vmferry job show {path}")
    with lock:
        run = JobRun(home, spec, secrets or {})
        with ProgressBar(lambda: read_status(poll(home).progress), label):
            result = run.run()
    if result.error is not None:
        raise result.error.to_exception()
    if directory is None:
        forget(home)
    return result.value or {}


def _forget_finished(home: Any) -> None:
    """A command that is given again after it was done means: do it again."""
    from vmferry.engine.jobs import JobState, forget, poll

    if poll(home).state is JobState.DONE:
        forget(home)
