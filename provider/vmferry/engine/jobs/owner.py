# SPDX-License-Identifier: Apache-2.0
"""Which process runs a job: the content of run.json. Who owns the job is told by the lock; this says whom to signal."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmferry.engine.jobs.clock import utc_now
from vmferry.engine.jobs.directory import JobDirectory, read_json, write_json


@dataclass(frozen=True)
class JobOwner:
    """The process of the last attempt; dead or alive."""

    pid: int
    """Its process id."""
    born: int
    """When that process started, in the kernel's ticks: tells it from another one that got its id later."""
    attempts: int
    """How often the job was begun, this one included."""
    started: str
    """When this attempt began, UTC."""

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> JobOwner:
        """Read what `begin_attempt` wrote."""
        return cls(int(raw["pid"]), int(raw["born"]), int(raw["attempts"]), str(raw["started"]))


def read_owner(directory: JobDirectory) -> JobOwner | None:
    """Give the owner of the last attempt; None when there was none."""
    raw = read_json(directory.run)
    return JobOwner.from_json(raw) if raw else None


def begin_attempt(directory: JobDirectory) -> JobOwner:
    """Write this process down as the owner. Call with the owner lock held."""
    last = read_owner(directory)
    pid = os.getpid()
    owner = JobOwner(pid, _birth(pid), last.attempts + 1 if last else 1, utc_now())
    write_json(directory.run, vars(owner))
    return owner


def signal_owner(owner: JobOwner, number: signal.Signals) -> bool:
    """Send a signal unless the process is gone; never to another process that has the same id by now."""
    if _birth(owner.pid) != owner.born:
        return False
    try:
        os.kill(owner.pid, number)
    except ProcessLookupError:
        return False
    return True


def _birth(pid: int) -> int:
    """Give the start time of a process, 0 when there is none: field 22 of its stat; field 2 may hold blanks."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(stat.rpartition(")")[2].split()[19])
