# SPDX-License-Identifier: Apache-2.0
"""What a running job tells: progress.json for programs, the log for people, each no oftener than is of use."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TextIO

from vmferry.engine.jobs.clock import utc_now
from vmferry.engine.jobs.directory import JobDirectory, write_json
from vmferry.engine.progress import Status

LOG_EVERY_S = 10.0


class JobLog:
    """The log of a job, open for appending."""

    def __init__(self, path: Path) -> None:
        self._file: TextIO = path.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)

    def write(self, event: str, **fields: object) -> None:
        """Append one line: when, what, and fields as key=value."""
        words = [f"{key}={_quoted(value)}" for key, value in fields.items() if value not in (None, "")]
        # On a full disk the job has better things to fail of than a line in its log.
        with contextlib.suppress(OSError):
            self._file.write(" ".join([utc_now(), event, *words]) + "\n")

    def fileno(self) -> int:
        """Give the descriptor, for what child programs print."""
        return self._file.fileno()

    def close(self) -> None:
        """Close the file. May be called twice."""
        with contextlib.suppress(OSError):
            self._file.close()


def _quoted(value: object) -> str:
    text = " ".join(str(value).split())
    return f'"{text}"' if " " in text else text


class Reporter:
    """Writes down how far a job is; called by whichever worker gets to it, one at a time."""

    def __init__(self, directory: JobDirectory, log: JobLog) -> None:
        self._path = directory.progress
        self._log = log
        self._next_line = time.monotonic() + LOG_EVERY_S

    def report(self, status: Status) -> None:
        """Take one state of the work; whoever counts sees to it that this is called at most once a second."""
        raw = {
            "bytes_done": status.bytes_done,
            "bytes_total": status.bytes_total,
            "zero_bytes": status.zero_bytes,
            "rate": round(status.bytes_per_s),
            "eta_s": None if status.eta_s is None else round(status.eta_s),
            "updated": utc_now(),
        }
        # Not durable: after a power cut the journal says how far the job is, and an fsync a second is not free.
        with contextlib.suppress(OSError):
            write_json(self._path, raw, durable=False)
        now = time.monotonic()
        if now >= self._next_line:
            self._next_line = now + LOG_EVERY_S
            self._log.write("progress", done=status.line())
