"""kill -9 of sshd, alone or with all of its host: jobs over there live on or go on, disks read through it too."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.counted import CountedDisk
from lab.jobs import copy_spec, is_alive, wait_until
from lab.sshd import Sshd
from tests.chaos.disks import COMMIT_BYTES, Disk, MiB
from tests.chaos.moments import SERVER_KILLS, Moment, Moments, share
from tests.chaos.rooms import Room

from vmferry.engine.endpoint import EndpointSpec
from vmferry.engine.errors import EngineError, HostLost, SourceLost
from vmferry.engine.jobs import JobDirectory, JobKind, JobSpec, JobState, JobStatus, poll
from vmferry.engine.throttle import Throttle
from vmferry.hosts.ssh import SshHost
from vmferry.hosts.waiting import run as run_job
from vmferry.hosts.zipapp import cached_zipapp
from vmferry.vault import DiskInfo, Pace, add_disk, begin_point, open_vault, publish, verify

RATE = 70 * MiB


@pytest.fixture
def sshd(room: Room) -> Iterator[Sshd]:
    environment = {name: room.environment[name] for name in ("TMPDIR", "XDG_STATE_HOME")}
    with Sshd(room.path / "sshd", env=environment) as sshd:
        yield sshd


@pytest.fixture
def host(sshd: Sshd, room: Room, monkeypatch: pytest.MonkeyPatch) -> Iterator[SshHost]:
    for name in ("TMPDIR", "XDG_RUNTIME_DIR", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, room.environment[name])
    with SshHost(sshd.settings(connect_timeout_s=10), engine=cached_zipapp(room.path / "cache")) as host:
        yield host


class Waiter:
    """Runs a job to its end in another thread, as a task does."""

    def __init__(self, host: SshHost, spec: JobSpec) -> None:
        self.ended: list[JobStatus | EngineError] = []

        def work() -> None:
            try:
                self.ended.append(run_job(host, spec, every_s=0.05, outage_s=120))
            except EngineError as error:
                self.ended.append(error)

        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()

    def join(self) -> JobStatus:
        wait_until(lambda: not self._thread.is_alive(), "the job has ended", patience_s=180)
        (status,) = self.ended
        assert isinstance(status, JobStatus), status
        return status


def counted_copy(disk: Disk, counted: CountedDisk, target: Path) -> JobSpec:
    made = copy_spec("copy", disk.path, target, rate=RATE)
    return JobSpec(made.id, JobKind.COPY, {**made.params, "source": counted.spec.to_json()})


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("victim", ["sshd", "host"], ids=["sshd-alone", "the-whole-host"])
def test_a_job_on_a_host_survives(victim: str, sshd: Sshd, host: SshHost, room: Room, disk: Disk) -> None:
    wanted = share(SERVER_KILLS, 3, ("sshd", "host").index(victim))
    moments = Moments(f"sshd {victim}", most_bytes=disk.size_bytes // 3, most_s=2.0)
    history: list[str] = []
    with CountedDisk(room.path, "--readonly", "file", disk.path) as counted:
        spec = counted_copy(disk, counted, room.path / "copy.raw")
        directory = JobDirectory(sshd.jobs / spec.id)
        waiter = Waiter(host, spec)
        while len(history) < wanted:
            wait_until(lambda: poll(directory).pid or waiter.ended, "the job runs")
            moment = moments.draw()
            if not moment.wait(lambda: counted.moved("Read").total_bytes, lambda: bool(waiter.ended)):
                break
            shoot(victim, sshd, directory)
            history.append(str(moment))
            sshd.start()
        status = waiter.join()
        assert status.state is JobState.DONE, f"{history}: {status}"
        moved = counted.moved("Read")
        print(f"{victim}: {len(history)} kills, {status.attempts} attempts, {moved.twice_bytes / MiB:.1f} MiB twice")
        assert status.attempts == (1 if victim == "sshd" else status.attempts)
        assert moved.twice_bytes <= (0 if victim == "sshd" else COMMIT_BYTES * len(history)), history
        assert status.result is not None
        assert status.result.value is not None
        assert status.result.value["root"] == disk.root
        host.forget(spec.id)
        host.close()
        sshd.kill()
        room.require_nothing_left([counted.pid], sockets=[counted.socket_path])
    disk.require_equal(room.path / "copy.raw")


def shoot(victim: str, sshd: Sshd, directory: JobDirectory) -> None:
    """Kill sshd and its sessions; with the whole host also the job, as a reboot does."""
    pid = poll(directory).pid
    if victim == "host" and pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_alive(pid), "the job's process is gone")
    sshd.kill()


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_a_disk_that_is_read_through_ssh(sshd: Sshd, host: SshHost, room: Room, disk: Disk) -> None:
    """The forward dies with sshd. The step is tried again over a new one, and goes on."""
    wanted = share(SERVER_KILLS, 3, 2)
    moments = Moments("sshd forward", most_bytes=disk.size_bytes // 3, most_s=2.0)
    vault = open_vault(room.path / "vault")
    history: list[str] = []
    with CountedDisk(room.path, "--readonly", "file", disk.path) as counted:
        point = begin_point(vault, "web01", [DiskInfo("root")], owner="run1")
        troubles: list[str] = []
        while len(troubles) <= 2 * wanted:
            killer = Killer(moments.draw() if len(history) < wanted else None, sshd, counted, history)
            try:
                with killer, host.forward(counted.socket_path) as here:
                    options = {"identity": "disk 7 of point 3", "reconnect_s": 0.5}
                    source = EndpointSpec("nbd", f"nbd+unix:///?socket={here}", options=options)
                    add_disk(point, "root", source, pace=Pace(throttle=Throttle(RATE)))
                    break
            except (SourceLost, HostLost) as error:
                troubles.append(str(error))
        print("\n".join(troubles))
        backup = publish(point)
        moved = counted.moved("Read")
        print(f"forward: {len(history)} kills, {moved.twice_bytes / MiB:.1f} MiB moved twice")
        assert moved.twice_bytes <= COMMIT_BYTES * len(history), history
        host.close()
        sshd.kill()
        room.require_nothing_left([counted.pid], sockets=[counted.socket_path])
    assert backup.disks[0].root == disk.root
    assert verify(vault).sound


class Killer:
    """Kills sshd at the moment, and starts it again; a context manager around what is disturbed."""

    def __init__(self, moment: Moment | None, sshd: Sshd, counted: CountedDisk, history: list[str]) -> None:
        self._moment, self._sshd, self._counted, self._history = moment, sshd, counted, history
        self._before = len(history)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def _work(self) -> None:
        moment = self._moment
        if moment is not None and moment.wait(lambda: self._counted.moved("Read").total_bytes, self._over.is_set):
            self._sshd.kill()
            self._history.append(str(moment))

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._over.set()
        self._thread.join()
        if len(self._history) > self._before:
            self._sshd.start()  # by this thread: what it starts lives as long as the thread does
