"""The host goes away for a while, or goes down and comes back; the disk it writes to fills up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.jobs import ask_engine, copy_spec, is_alive, make_disk, request, slowly, wait_until
from lab.sshd import Sshd

from vmferry.engine.errors import HostLost
from vmferry.engine.jobs import JobDirectory, JobSpec, JobState, JobStatus, poll, set_rate
from vmferry.engine.units import MiB
from vmferry.hosts.ssh import SshHost
from vmferry.hosts.waiting import run, wait
from vmferry.hosts.zipapp import Zipapp

# Says nothing until nobody listens any more.
SILENT = "import select; poll = select.poll(); poll.register(1, 0); poll.poll()"


class Waiter:
    """Runs a job to its end in another thread."""

    def __init__(self, host: SshHost, spec: JobSpec) -> None:
        self.ended: list[JobStatus] = []
        self._thread = threading.Thread(
            target=lambda: self.ended.append(run(host, spec, every_s=0.05, outage_s=60)), daemon=True
        )
        self._thread.start()

    def join(self) -> JobStatus:
        """Wait for the end."""
        wait_until(lambda: not self._thread.is_alive(), "the job has ended")
        return self.ended[0]


@pytest.mark.parametrize("multiplex", [True, False], ids=["shared-connection", "own-connection"])
def test_a_job_runs_on_while_its_host_cannot_be_reached(
    sshd: Sshd, engine: Zipapp, tmp_path: Path, multiplex: bool
) -> None:
    disk = make_disk(tmp_path / "source", 20 * MiB)
    spec = slowly("a", disk, tmp_path / "target")
    with SshHost(sshd.settings(multiplex=multiplex), engine=engine) as host:
        host.start(spec)
        waiter = Waiter(host, spec)
        directory = JobDirectory(sshd.jobs / "a")
        sshd.kill()
        with pytest.raises(HostLost, match="does not answer"):
            wait(host, "a", outage_s=0)
        before = poll(directory)
        assert before.state is JobState.RUNNING
        set_rate(directory, None)
        wait_until(lambda: poll(directory).state is JobState.DONE, "it is done, with nobody looking")
        sshd.start()
        assert waiter.join().attempts == 1
    assert (tmp_path / "target").read_bytes() == disk.read_bytes()


def test_a_job_goes_on_after_its_host_went_down(sshd: Sshd, host: SshHost, tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "source", 120 * MiB)
    spec = copy_spec("a", disk, tmp_path / "target", rate=100 * MiB)
    directory = JobDirectory(sshd.jobs / "a")
    waiter = Waiter(host, spec)
    wait_until(lambda: directory.journal.exists() and directory.journal.stat().st_size > 10_000, "a commit")
    pid = poll(directory).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    sshd.kill()
    wait_until(lambda: not is_alive(pid), "everything on the host is gone")
    sshd.start()
    result = waiter.join().result
    assert result is not None
    assert result.value is not None
    assert result.attempts == 2
    assert result.value["resumed_bytes"] > 0
    assert (tmp_path / "target").read_bytes() == disk.read_bytes()


def test_a_host_that_stays_away_is_lost(sshd: Sshd, host: SshHost) -> None:
    host.poll("a")
    sshd.kill()
    with pytest.raises(HostLost, match=f"port {sshd.port} does not answer"):
        wait(host, "a", outage_s=0.5)


def test_a_host_that_says_nothing_is_lost(sshd: Sshd, engine: Zipapp) -> None:
    stuck = sshd.settings(python=(sys.executable, "-c", SILENT), command_timeout_s=2.0, multiplex=False)
    with SshHost(sshd.settings(), engine=engine) as host:
        host.poll("a")
    with SshHost(stuck, engine=engine) as host, pytest.raises(HostLost, match="no answer within 2 s"):
        host.poll("a")


def test_no_ssh_is_left_behind(sshd: Sshd, host: SshHost) -> None:
    host.poll("a")
    mine = [path for path in Path("/proc").glob("[0-9]*/cmdline") if _is_ours(path, sshd)]
    assert mine
    host.close()
    wait_until(lambda: not any(_is_ours(path, sshd) for path in mine), "ssh is gone")


def _is_ours(path: Path, sshd: Sshd) -> bool:
    try:
        words = path.read_bytes().split(b"\0")
    except OSError:
        return False
    return words[0] == b"ssh" and str(sshd.port).encode() in words


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "small"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80M", "small", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.mark.root
def test_a_full_disk_is_resumed_once_there_is_room(tmp_path: Path, small_disk: Path) -> None:
    disk = make_disk(tmp_path / "source", 100 * MiB)
    spec = copy_spec("a", disk, small_disk / "target", rate=200 * MiB)
    job = str(small_disk / "jobs" / "a")  # on the disk that fills up
    code, lines = ask_engine("job", "run", job, stdin=request(spec))
    assert (code, lines[-1]["state"]) == (4, "failed")
    assert lines[-1]["result"]["error"]["kind"] == "NoSpace"
    subprocess.run(["mount", "-o", "remount,size=200M", str(small_disk)], check=True)
    code, lines = ask_engine("job", "run", job, stdin=request(spec))
    assert (code, lines[-1]["state"]) == (0, "done")
    assert lines[-1]["result"]["result"]["resumed_bytes"] > 0
    assert (small_disk / "target").read_bytes() == disk.read_bytes()
