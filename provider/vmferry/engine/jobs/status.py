# SPDX-License-Identifier: Apache-2.0
"""What can be seen of a job from outside, cheaply: a few small files and one look at the lock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmferry.engine.errors import BadInput, Cancelled, EngineError
from vmferry.engine.jobs.directory import JobDirectory, read_json
from vmferry.engine.jobs.errors import JobLost, JobUnknown
from vmferry.engine.jobs.lock import is_held
from vmferry.engine.jobs.owner import read_owner
from vmferry.engine.jobs.result import JobError, JobResult
from vmferry.engine.jobs.state import JobState


@dataclass(frozen=True)
class JobStatus:
    """A job at one moment."""

    id: str
    """Of the job."""
    state: JobState
    """Where it is in its life."""
    kind: str = ""
    """What it does; empty when nobody knows."""
    pid: int | None = None
    """Of the process that runs it, while it runs."""
    attempts: int = 0
    """How often it was begun."""
    progress: Mapping[str, Any] | None = None
    """The last progress.json."""
    result: JobResult | None = None
    """How it ended, once it did."""

    def to_json(self) -> dict[str, Any]:
        """Turn into what `from_json` reads."""
        return {
            "id": self.id,
            "state": self.state.value,
            "kind": self.kind,
            "pid": self.pid,
            "attempts": self.attempts,
            "progress": self.progress,
            "result": self.result.to_json() if self.result else None,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> JobStatus:
        """Read what `to_json` wrote."""
        result = raw.get("result")
        return cls(
            str(raw["id"]),
            JobState(raw["state"]),
            str(raw.get("kind", "")),
            raw.get("pid"),
            int(raw.get("attempts", 0)),
            raw.get("progress"),
            JobResult.from_json(result) if result else None,
        )

    def error(self) -> EngineError | None:
        """Give the typed error of a job that did not end well; None while it runs and when it is done."""
        if self.state is JobState.ABSENT:
            return JobUnknown(f"there is no job {self.id}", fix="start it")
        if self.state in (JobState.LOST, JobState.CREATED):
            return JobLost(
                f"the process of job {self.id} is gone and left no result: killed, or its machine went down",
                fix="start the job again: it goes on from its journal",
            )
        if self.result is None or self.state is JobState.DONE:
            return None
        return (self.result.error or JobError(Cancelled.__name__, f"job {self.id} was cancelled")).to_exception()


def poll(directory: JobDirectory) -> JobStatus:
    """Look at a job. Changes nothing."""
    name = directory.path.name
    if not directory.path.is_dir():
        return JobStatus(name, JobState.ABSENT)
    is_running, result = _look(directory)
    owner = read_owner(directory)
    return JobStatus(
        name,
        _state(is_running, result, was_begun=owner is not None),
        str((read_json(directory.spec) or {}).get("kind", "")),
        owner.pid if owner and is_running else None,
        owner.attempts if owner else 0,
        read_json(directory.progress),
        result,
    )


def _look(directory: JobDirectory) -> tuple[bool, JobResult | None]:
    """Tell whether it runs, and if not, how it ended."""
    for _ in range(2):
        # The lock before the result: a job that ends between the two looks is then never taken for lost. The second
        # round is for a job that was begun again in between, which takes its old result away.
        if is_held(directory.lock):
            return True, None
        raw = read_json(directory.result)
        if raw:
            return False, JobResult.from_json(raw)
    return False, None


def _state(is_running: bool, result: JobResult | None, *, was_begun: bool) -> JobState:
    if is_running:
        return JobState.RUNNING
    if result is not None:
        return result.state
    return JobState.LOST if was_begun else JobState.CREATED


def list_jobs(root: Path) -> Iterator[JobStatus]:
    """Look at every job below a directory, in the order of their names; none when the directory is not there yet."""
    if not root.exists():
        return
    if not root.is_dir():
        raise BadInput(f"{root} is no directory", fix="give the directory that holds the job directories")
    for path in sorted(root.iterdir()):
        if path.is_dir() and not path.name.startswith("."):
            yield poll(JobDirectory(path))
