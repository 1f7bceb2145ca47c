# SPDX-License-Identifier: Apache-2.0
"""How a job ended: the content of result.json, and an error as plain data that becomes the same error elsewhere."""

from __future__ import annotations

import dataclasses
import enum
import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmferry.engine import errors
from vmferry.engine.errors import EngineError, JobFailed, Retry
from vmferry.engine.jobs.state import JobState


@dataclass(frozen=True)
class JobError:
    """An error as plain data."""

    kind: str
    """The name of the error's class."""
    what: str
    """What happened."""
    fix: str = ""
    """What the reader can do about it."""
    retry: Retry = Retry.BACKOFF
    """What a scheduler should do about it."""

    @classmethod
    def from_exception(cls, error: BaseException) -> JobError:
        """Take what a person or a scheduler needs from an exception."""
        if isinstance(error, EngineError):
            return cls(type(error).__name__, error.what, error.fix, error.retry)
        if isinstance(error, OSError) and error.strerror:
            return cls._from_os_error(error)
        return cls(type(error).__name__, str(error) or type(error).__name__, "see the job's log")

    @classmethod
    def _from_os_error(cls, error: OSError) -> JobError:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return cls("NoSpace", what, "free some space and start the job again: it goes on", Retry.AFTER_CLEANUP)
        return cls(type(error).__name__, what, "see the job's log")

    def to_exception(self) -> EngineError:
        """Make the typed error again; one that is no `EngineError` comes back as `JobFailed`."""
        from vmferry.engine.jobs import errors as job_errors

        kind = getattr(errors, self.kind, None) or getattr(job_errors, self.kind, None)
        if isinstance(kind, type) and issubclass(kind, EngineError):
            return kind(self.what, fix=self.fix)
        return JobFailed(f"{self.kind}: {self.what}", fix=self.fix)

    def to_json(self) -> dict[str, Any]:
        """Turn into what `from_json` reads."""
        return {"kind": self.kind, "what": self.what, "fix": self.fix, "retry": self.retry.value}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> JobError:
        """Read what `to_json` wrote."""
        retry = Retry(raw.get("retry", Retry.BACKOFF.value))
        return cls(str(raw["kind"]), str(raw["what"]), str(raw.get("fix", "")), retry)


@dataclass(frozen=True)
class JobResult:
    """How a job ended."""

    state: JobState
    """DONE, FAILED or CANCELLED."""
    value: Mapping[str, Any] | None
    """What the kind of job returns, as JSON; only when DONE."""
    error: JobError | None
    """Why not, unless DONE."""
    attempts: int
    """How often it was begun."""
    started: str
    """When the last attempt began, UTC."""
    finished: str
    """When it ended, UTC."""

    def to_json(self) -> dict[str, Any]:
        """Turn into what `from_json` reads."""
        return {
            "state": self.state.value,
            "result": self.value,
            "error": self.error.to_json() if self.error else None,
            "attempts": self.attempts,
            "started": self.started,
            "finished": self.finished,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> JobResult:
        """Read what `to_json` wrote."""
        error = raw.get("error")
        return cls(
            JobState(raw["state"]),
            raw.get("result"),
            JobError.from_json(error) if error else None,
            int(raw.get("attempts", 1)),
            str(raw.get("started", "")),
            str(raw.get("finished", "")),
        )


def to_plain(value: Any) -> Any:
    """Turn results (dataclasses, enums, paths, bytes, collections) into what JSON can hold."""
    if hasattr(value, "to_json"):
        return to_plain(value.to_json())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: to_plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return to_plain(value.value)
    if isinstance(value, Mapping):
        return {str(to_plain(key)): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_plain(item) for item in value]
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    return os.fspath(value) if isinstance(value, Path) else value
