# SPDX-License-Identifier: Apache-2.0
"""This machine as a host: a job is a child process that ends with us; a retry goes on from its journal."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import vmferry
from vmferry.engine import jobs
from vmferry.engine.errors import BadInput, Unreadable
from vmferry.engine.jobs import JobDirectory, JobError, JobLost, JobSpec, JobState, JobStatus, JobUnknown, check_job_id
from vmferry.engine.jobs.params import check_params
from vmferry.engine.jobs.run import GRACE_S
from vmferry.hosts.child import Spawner, stop
from vmferry.hosts.host import NO_SECRETS

_STOP_S = GRACE_S + 5


class LocalHost:
    """Runs jobs as children of this process, in directories below `state_dir`; a context manager."""

    def __init__(self, state_dir: Path) -> None:
        self._root = state_dir
        self._spawner = Spawner()
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def name(self) -> str:
        """What to call it in a message."""
        return "this machine"

    def start(self, spec: JobSpec, secrets: Mapping[str, str] = NO_SECRETS, *, again: bool = True) -> JobStatus:
        """See `Host.start`."""
        check_params(spec)
        directory = self._directory(spec.id)
        child = self._spawner.spawn(
            build_command(directory.path, os.getpid(), again=again),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(),
            # A Ctrl-C at the terminal is for us, and we tell the job in our own time.
            start_new_session=True,
        )
        is_ours = False
        try:
            status = _parse_begin(spec, *_talk(child, spec, secrets))
            is_ours = status.state is JobState.RUNNING and status.pid == child.pid
        finally:
            if not is_ours:
                stop(child)
        self._reap(spec.id)
        if is_ours:
            self._children[spec.id] = child
        return status

    def poll(self, job_id: str) -> JobStatus:
        """See `Host.poll`."""
        status = jobs.poll(self._directory(job_id))
        if status.state is not JobState.RUNNING:
            self._reap(job_id)
        return status

    async def apoll(self, job_id: str) -> JobStatus:
        """See `Host.apoll`; a few small files do not keep a loop waiting."""
        return self.poll(job_id)

    def cancel(self, job_id: str) -> JobStatus:
        """See `Host.cancel`."""
        return jobs.cancel(self._directory(job_id))

    def set_rate(self, job_id: str, bytes_per_s: int | None) -> None:
        """See `Host.set_rate`."""
        directory = self._directory(job_id)
        if not directory.path.is_dir():
            raise JobUnknown(f"there is no job {job_id} in {self._root}", fix="start it first")
        jobs.set_rate(directory, bytes_per_s)

    def forget(self, job_id: str) -> None:
        """See `Host.forget`."""
        jobs.forget(self._directory(job_id))

    def jobs(self) -> list[JobStatus]:
        """See `Host.jobs`."""
        return list(jobs.list_jobs(self._root))

    def fetch(self, job_id: str, name: str, target: Path) -> None:
        """See `Host.fetch`."""
        path = self._directory(job_id).path / name
        if Path(name).name != name or not path.is_file():
            raise Unreadable(f"{path} is no file of a job", fix="ask for log, journal or the name of its proof")
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as nearby:
            Path(shutil.copyfile(path, Path(nearby) / "file")).replace(target)

    @contextlib.contextmanager
    def forward(self, remote: Path | int) -> Iterator[Path]:
        """Give the socket itself: it is here already. A port of this machine needs no forward."""
        if isinstance(remote, int):
            raise BadInput(f"port {remote} is on this machine already", fix=f"use nbd://127.0.0.1:{remote}/ as it is")
        yield remote

    def close(self) -> None:
        """Stop the jobs that still run. May be called twice."""
        while self._children:
            stop(self._children.popitem()[1], grace_s=_STOP_S)
        self._spawner.close()

    def __enter__(self) -> LocalHost:
        return self

    def __exit__(self, kind: object, value: object, trace: TracebackType | None) -> None:
        self.close()

    def _reap(self, job_id: str) -> None:
        """Wait for the process of a job that has given its lock back: it is about to exit, if it has not yet."""
        child = self._children.pop(job_id, None)
        if child is not None:
            child.wait()

    def _directory(self, job_id: str) -> JobDirectory:
        return JobDirectory(self._root / check_job_id(job_id))


def build_command(directory: Path, parent_pid: int, *, again: bool = True) -> list[str]:
    """Make the command line that runs a job; -P keeps what lies in the current directory out of it."""
    flags = [] if again else ["--not-again"]
    engine = [sys.executable, "-P", "-m", "vmferry.engine"]
    return [*engine, "job", "run", str(directory.absolute()), "--die-with-parent", str(parent_pid), *flags]


def _environment() -> dict[str, str]:
    """Let the child find the same vmferry as we did."""
    package = str(Path(vmferry.__file__).parent.parent)
    others = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{package}{os.pathsep}{others}" if others else package}


def _talk(child: subprocess.Popen[bytes], spec: JobSpec, secrets: Mapping[str, str]) -> tuple[bytes, bytes]:
    """Hand over what to do, and take the first line of the answer; what comes later is in the job's directory."""
    assert child.stdin is not None and child.stdout is not None and child.stderr is not None  # noqa: S101, PT018
    with child.stdin, child.stdout, child.stderr:
        with contextlib.suppress(BrokenPipeError):
            child.stdin.write(json.dumps({"spec": spec.to_json(), "secrets": dict(secrets)}).encode())
            child.stdin.close()
        line = child.stdout.readline()
        return line, b"" if line else child.stderr.read()


def _parse_begin(spec: JobSpec, line: bytes, complaint: bytes) -> JobStatus:
    if not line:
        last = complaint.decode(errors="replace").strip().rpartition("\n")[2]
        raise JobLost(f"job {spec.id} did not begin: {last or 'its process was killed'}", fix="start it again")
    answer: dict[str, Any] = json.loads(line)
    if "error" in answer:
        raise JobError.from_json(answer["error"]).to_exception()
    return JobStatus.from_json(answer)
