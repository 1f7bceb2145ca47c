# SPDX-License-Identifier: Apache-2.0
"""A machine over SSH as a host: it needs python3 and nothing else; a job outlives us, and a retry finds it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from vmferry.engine.errors import BadInput
from vmferry.engine.jobs import JobError, JobSpec, JobStatus
from vmferry.engine.jobs.params import check_params
from vmferry.hosts.errors import HostConfused, HostUnfit
from vmferry.hosts.forward import forward
from vmferry.hosts.host import NO_SECRETS
from vmferry.hosts.settings import SshSettings
from vmferry.hosts.ssh_client import Answer, SshClient
from vmferry.hosts.ssh_command import (
    JOBS,
    NO_ENGINE,
    NO_PYTHON,
    OLD_PYTHON,
    build_engine,
    build_receiver,
    job_path,
)
from vmferry.hosts.ssh_failure import last_line
from vmferry.hosts.zipapp import Zipapp, cached_zipapp

_SHIP_S = 300.0
_FETCH_S = 3600.0  # the proof of a full 16 TiB disk is 8 GiB


class SshHost:
    """Runs jobs on a machine over SSH; a context manager. Closing it stops no job."""

    def __init__(self, settings: SshSettings, *, engine: Zipapp | None = None) -> None:
        self._settings = settings
        self._client = SshClient(settings)
        self._engine = engine or cached_zipapp()

    @property
    def name(self) -> str:
        """What to call it in a message."""
        return self._settings.address

    def start(self, spec: JobSpec, secrets: Mapping[str, str] = NO_SECRETS, *, again: bool = True) -> JobStatus:
        """See `Host.start`."""
        check_params(spec)
        request = json.dumps({"spec": spec.to_json(), "secrets": dict(secrets)}).encode()
        flags = [] if again else ["--not-again"]
        return JobStatus.from_json(self._ask(["job", "start", job_path(spec.id), *flags], stdin=request))

    def poll(self, job_id: str) -> JobStatus:
        """See `Host.poll`."""
        return JobStatus.from_json(self._ask(["job", "poll", job_path(job_id)]))

    async def apoll(self, job_id: str) -> JobStatus:
        """See `Host.apoll`."""
        answer = await self._client.arun(self._script(["job", "poll", job_path(job_id)]))
        if answer.code == NO_ENGINE:
            return self.poll(job_id)  # ships it: rare, and no reason to have it twice
        return JobStatus.from_json(self._parse(answer))

    def cancel(self, job_id: str) -> JobStatus:
        """See `Host.cancel`."""
        return JobStatus.from_json(self._ask(["job", "cancel", job_path(job_id)]))

    def set_rate(self, job_id: str, bytes_per_s: int | None) -> None:
        """See `Host.set_rate`."""
        self._ask(["job", "rate", job_path(job_id), "none" if bytes_per_s is None else str(bytes_per_s)])

    def forget(self, job_id: str) -> None:
        """See `Host.forget`."""
        self._ask(["job", "forget", job_path(job_id)])

    def jobs(self) -> list[JobStatus]:
        """See `Host.jobs`."""
        return [JobStatus.from_json(raw) for raw in self._ask(["job", "list", f"~/{JOBS}"])["jobs"]]

    def fetch(self, job_id: str, name: str, target: Path) -> None:
        """See `Host.fetch`."""
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as nearby:
            path = Path(nearby) / "file"
            with path.open("wb") as file:
                answer = self._run(["job", "read", job_path(job_id), name], stdout=file, timeout_s=_FETCH_S)
            if answer.code != 0:
                self._parse(replace(answer, stdout=path.read_bytes()))
            path.replace(target)

    def forward(self, remote: Path | int) -> AbstractContextManager[Path]:
        """See `Host.forward`."""
        return forward(self._client, remote)

    def close(self) -> None:
        """Close the connection; jobs run on. May be called twice."""
        self._client.close()

    def __enter__(self) -> SshHost:
        return self

    def __exit__(self, kind: object, value: object, trace: TracebackType | None) -> None:
        self.close()

    def _script(self, words: list[str]) -> str:
        return build_engine(self._engine.sha256, self._settings.python, words)

    def _ask(self, words: list[str], *, stdin: bytes = b"") -> dict[str, Any]:
        return self._parse(self._run(words, stdin=stdin))

    def _run(self, words: list[str], **options: Any) -> Answer:
        """Run the engine over there; ships it first when it is not there."""
        answer = self._client.run(self._script(words), **options)
        if answer.code != NO_ENGINE:
            return answer
        self._ship()
        return self._client.run(self._script(words), **options)

    def _ship(self) -> None:
        script = build_receiver(self._engine.sha256, self._settings.python)
        answer = self._client.run(script, stdin=self._engine.path.read_bytes(), timeout_s=_SHIP_S)
        if answer.code != 0:
            raise self._unfit(answer)

    def _unfit(self, answer: Answer) -> BadInput | HostConfused:
        python = " ".join(self._settings.python)
        if answer.code == NO_PYTHON:
            return HostUnfit(f"{self.name} has no {python}", fix="install Python 3.9 or later there")
        if answer.code == OLD_PYTHON:
            return HostUnfit(
                f"{python} on {self.name} is {last_line(answer.stderr)}, the engine needs 3.9 or later",
                fix="install a later one there and name it in the host's settings, e.g. python3.9",
            )
        return HostConfused(
            f"the engine could not be put on {self.name} (exit {answer.code}): {last_line(answer.stderr)}",
            fix="see that its home directory can be written and its disk is not full",
        )

    def _parse(self, answer: Answer) -> dict[str, Any]:
        try:
            value = json.loads(answer.stdout)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            if answer.code == NO_PYTHON:
                raise self._unfit(answer)
            raise HostConfused(
                f"{self.name} gave no answer of the engine (exit {answer.code}): {last_line(answer.stderr)}",
                fix="see whether a shell start-up file there prints something or ends the session",
            )
        if "error" in value:
            raise JobError.from_json(value["error"]).to_exception()
        return value
