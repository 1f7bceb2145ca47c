# SPDX-License-Identifier: Apache-2.0
"""Running a job in this process, under the owner lock, to a result.

The work is done by a second thread, so that the main one always has a hand free: it takes the signals, looks whether
somebody asked to stop, and ends the process hard when the work does not stop in time.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping
from types import FrameType
from typing import Any

from vmferry.engine.errors import Cancelled, EngineError
from vmferry.engine.jobs.clock import utc_now
from vmferry.engine.jobs.control import is_cancel_requested
from vmferry.engine.jobs.directory import JobDirectory, write_json
from vmferry.engine.jobs.owner import JobOwner, begin_attempt
from vmferry.engine.jobs.report import JobLog, Reporter
from vmferry.engine.jobs.result import JobError, JobResult
from vmferry.engine.jobs.spec import JobSpec
from vmferry.engine.jobs.state import JobState
from vmferry.engine.jobs.work import Work
from vmferry.engine.progress import Progress
from vmferry.engine.units import KiB

GRACE_S = 20.0
"""How long the work may take to stop after it was asked to."""

_LOOK_S = 0.2
RESERVE_BYTES = 64 * KiB
EXIT_CANCELLED = 130


class JobRun:
    """One attempt at a job, in this process. Make it with the owner lock held, in the main thread."""

    def __init__(self, directory: JobDirectory, spec: JobSpec, secrets: Mapping[str, str]) -> None:
        self._asked = 0
        # Before anybody can read our process id: a signal that comes early must not kill us without a result.
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        self._directory = directory
        self._owner: JobOwner = begin_attempt(directory)
        self._log = JobLog(directory.log)
        _reserve_room(directory)
        self._cancel = threading.Event()
        self._ended = threading.Event()
        self._deadline: float | None = None
        self._result: JobResult | None = None
        # Written under a lock: the hard stop must not mix its result with that of work that ends this very moment.
        self._writing = threading.Lock()
        progress = Progress(Reporter(directory, self._log).report)
        self._work = Work(directory, spec, secrets, progress, self._cancel)

    def redirect_output(self) -> None:
        """Send what this process and its child programs print to the job's log."""
        for fd in (1, 2):
            os.dup2(self._log.fileno(), fd)

    def run(self) -> JobResult:
        """Do the work and leave its result in the directory; does not raise for what the work raises."""
        spec = self._work.spec
        self._log.write("begin", job=spec.id, kind=spec.kind.value, attempt=self._owner.attempts, pid=os.getpid())
        threading.Thread(target=self._perform, name="job", daemon=True).start()
        while not self._ended.wait(_LOOK_S):
            self._look()
        assert self._result is not None  # noqa: S101 - _finish sets it before the event
        self._log.close()
        return self._result

    def _perform(self) -> None:
        try:
            value = self._work.perform()
        except Exception as error:  # noqa: BLE001 - the border of the process: whatever it is must reach the result
            self._fail(error)
        else:
            self._finish(JobState.DONE, value)

    def _fail(self, error: Exception) -> None:
        if not isinstance(error, EngineError):
            self._log_trace(error)
        if self._cancel.is_set() and not isinstance(error, Cancelled):
            # What breaks while we stop is a matter of stopping, not of the disk.
            self._log.write("stopped", by=error)
            error = Cancelled(f"job {self._work.spec.id} was stopped", fix="start it again to go on")
        self._finish(JobState.CANCELLED if isinstance(error, Cancelled) else JobState.FAILED, error=error)

    def _finish(self, state: JobState, value: dict[str, Any] | None = None, error: BaseException | None = None) -> None:
        with self._writing:
            if self._result is not None:
                return
            told = JobError.from_exception(error) if error else None
            result = JobResult(state, value, told, self._owner.attempts, self._owner.started, utc_now())
            self._log.write("end", state=state.value, **({"error": told.kind, "what": told.what} if told else {}))
            self._leave(result)
            self._result = result
        self._ended.set()

    def _leave(self, result: JobResult) -> None:
        self._directory.reserve.unlink(missing_ok=True)
        try:
            write_json(self._directory.result, result.to_json())
        except OSError as error:
            # Without a result the job counts as lost, so that the next start goes on from the journal.
            self._log.write("no-result", why=error)

    def _log_trace(self, error: BaseException) -> None:
        import traceback

        for line in "".join(traceback.format_exception(type(error), error, error.__traceback__)).splitlines():
            self._log.write("trace", line=line.strip())

    def _look(self) -> None:
        asked = self._asked
        if not self._cancel.is_set() and (asked or is_cancel_requested(self._directory)):
            self._asked = max(asked, 1)
            self._stop()
        elif asked > 1:
            self._stop_hard("it was asked twice")
        elif self._deadline is not None and time.monotonic() > self._deadline:
            self._stop_hard(f"it did not stop within {GRACE_S:.0f} s")

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # Only counted: a handler runs in the middle of anything, also of a write to the log.
        self._asked += 1

    def _stop(self) -> None:
        self._deadline = time.monotonic() + GRACE_S
        self._cancel.set()
        self._log.write("stopping", grace_s=f"{GRACE_S:.0f}")

    def _stop_hard(self, why: str) -> None:
        error = Cancelled(f"job {self._work.spec.id} was stopped hard: {why}", fix="start it again to go on")
        self._finish(JobState.CANCELLED, error=error)
        # Child servers have asked the kernel to end with us; what is copied is in the journal.
        os._exit(EXIT_CANCELLED)


def _reserve_room(directory: JobDirectory) -> None:
    """Keep some blocks for the result: the job's directory is often on the very disk that fills up."""
    with directory.reserve.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
