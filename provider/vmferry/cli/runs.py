# SPDX-License-Identifier: Apache-2.0
"""Runs a job of the engine in this process, under a directory that a second try finds again."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmferry.cli.bar import ProgressBar, read_status
from vmferry.engine.errors import EngineError, JobBusy, JournalMismatch, NoSpace, SourceChanged

if TYPE_CHECKING:
    from vmferry.engine.jobs import JobDirectory


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
    with _named(path):
        _begin_anew(home)
        lock = claim(home, spec).lock
    if lock is None:
        raise JobBusy(f"the job in {path} runs already", fix=f"wait for it, or see: vmferry job show {path}")
    with lock:
        run = JobRun(home, spec, secrets or {})
        with ProgressBar(lambda: read_status(poll(home).progress), label):
            result = run.run()
    if result.error is not None:
        error = result.error.to_exception()
        if isinstance(error, JournalMismatch):
            error = JournalMismatch(error.what, fix=f"to begin anew: vmferry job forget {path}")
        if directory is None:
            _forget_fruitless(home, error)
        raise error
    if directory is None:
        forget(home)
    return result.value or {}


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Say which place it is that is full: the system's own error about a write names none."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT) or error.filename:
            raise
        raise NoSpace(
            f"{path}: {error.strerror}", fix="make room there, or keep the job elsewhere with --job"
        ) from error


def _begin_anew(home: JobDirectory) -> None:
    """Take away what an ended job was asked, so that it may go on with another rate or more workers.

    Its journal knows between which disks it runs, and refuses any other. A command that is given again after it was
    done means: do it again.
    """
    from vmferry.engine.jobs import JobState, forget, poll
    from vmferry.engine.jobs.lock import try_acquire

    state = poll(home).state
    if state is JobState.DONE:
        forget(home)
    elif state not in (JobState.ABSENT, JobState.RUNNING):
        lock = try_acquire(home.lock)
        if lock is not None:
            with lock:
                home.spec.unlink(missing_ok=True)


def _forget_fruitless(home: JobDirectory, error: EngineError) -> None:
    """Leave nothing behind of a job that has nothing to go on from: nothing was copied, or of bytes that changed."""
    from vmferry.engine.jobs import forget

    if isinstance(error, SourceChanged) or not home.journal.exists():
        forget(home)
