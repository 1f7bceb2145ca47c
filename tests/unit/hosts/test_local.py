from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.jobs import copy_spec, engine_environment, is_alive, make_disk, slowly, wait_until

from vmferry.engine.errors import BadInput, Cancelled, Unreadable
from vmferry.engine.jobs import JobMismatch, JobState
from vmferry.engine.units import MiB
from vmferry.hosts.local import LocalHost
from vmferry.hosts.waiting import run, wait


@pytest.fixture
def host(tmp_path: Path) -> Iterator[LocalHost]:
    with LocalHost(tmp_path / "jobs") as host:
        yield host


def test_a_job_runs_and_its_files_can_be_had(host: LocalHost, tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "source", 3 * MiB)
    spec = copy_spec("a", disk, tmp_path / "target", proof="disk.proof")
    told: list[object] = []
    status = run(host, spec, on_progress=told.append, every_s=0.05)
    assert status.state is JobState.DONE
    assert told
    assert (tmp_path / "target").read_bytes() == disk.read_bytes()
    host.fetch("a", "disk.proof", tmp_path / "proof")
    assert (tmp_path / "proof").read_bytes() == (tmp_path / "jobs" / "a" / "disk.proof").read_bytes()
    with pytest.raises(Unreadable, match="no file of a job"):
        host.fetch("a", "../a/job.json", tmp_path / "x")
    assert host.start(spec).state is JobState.DONE
    assert [job.id for job in host.jobs()] == ["a"]
    host.forget("a")
    assert asyncio.run(host.apoll("a")).state is JobState.ABSENT


def test_a_second_start_attaches_also_from_another_object(host: LocalHost, tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "source", 20 * MiB)
    spec = slowly("a", disk, tmp_path / "target")
    first = host.start(spec)
    with LocalHost(tmp_path / "jobs") as other:
        assert other.start(spec).pid == first.pid
        with pytest.raises(JobMismatch):
            other.start(copy_spec("a", disk, tmp_path / "elsewhere"))
    assert host.poll("a").state is JobState.RUNNING
    host.set_rate("a", None)
    assert wait(host, "a", every_s=0.05).attempts == 1


def test_a_cancelled_job_raises_and_leaves_no_child(host: LocalHost, tmp_path: Path) -> None:
    pid = host.start(slowly("a", make_disk(tmp_path / "source", 20 * MiB), tmp_path / "target")).pid
    assert pid is not None
    host.cancel("a")
    with pytest.raises(Cancelled):
        wait(host, "a", every_s=0.05)
    assert not is_alive(pid)


def test_closing_stops_what_runs(tmp_path: Path) -> None:
    with LocalHost(tmp_path / "jobs") as host:
        pid = host.start(slowly("a", make_disk(tmp_path / "source", 20 * MiB), tmp_path / "target")).pid
    assert pid is not None
    assert not is_alive(pid)
    assert host.poll("a").state is JobState.CANCELLED


def test_a_job_is_lost_with_its_parent_and_goes_on_in_the_next(tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "source", 20 * MiB)
    spec = slowly("a", disk, tmp_path / "target")
    code = f"""
import os, pathlib, signal
from vmferry.engine.jobs import JobSpec
from vmferry.hosts.local import LocalHost
host = LocalHost(pathlib.Path({str(tmp_path / "jobs")!r}))
print(host.start(JobSpec.from_json({spec.to_json()!r})).pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, env=engine_environment())
    assert done.returncode == -signal.SIGKILL
    wait_until(lambda: not is_alive(int(done.stdout)), "the job is gone")
    with LocalHost(tmp_path / "jobs") as host:
        # Its main thread may be gone before the others, and only the last of them lets go of the lock.
        wait_until(lambda: host.poll("a").state is JobState.LOST, "the job is lost")
        host.start(spec)
        host.set_rate("a", None)
        assert wait(host, "a", every_s=0.05).attempts == 2
    assert (tmp_path / "target").read_bytes() == disk.read_bytes()


def test_a_job_killed_while_it_is_waited_for_is_begun_again(host: LocalHost, tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "source", 4 * MiB)
    spec = copy_spec("a", disk, tmp_path / "target", rate=4 * MiB)
    pid = host.start(spec).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert run(host, spec, every_s=0.05).attempts == 2


def test_bad_input_starts_nothing(host: LocalHost, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="workers cannot be 0"):
        host.start(copy_spec("a", tmp_path / "source", tmp_path / "target", workers=0))
    with pytest.raises(BadInput, match="no job b"):
        host.set_rate("b", MiB)
    assert not (tmp_path / "jobs").exists()


def test_a_socket_of_this_machine_is_here_already(host: LocalHost) -> None:
    with host.forward(Path("/run/x.sock")) as path:
        assert path == Path("/run/x.sock")
    with pytest.raises(BadInput, match="port 10809 is on this machine"), host.forward(10809):
        pass
