"""kill -9 of the imageio daemon, which comes back without its transfers, as on a host that was started again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.counted import CountedDisk
from lab.imageio import ImageioDaemon
from lab.jobs import wait_until
from lab.nbd import NbdServer
from lab.pki import Certificate
from tests.chaos.disks import COMMIT_BYTES, Disk, MiB
from tests.chaos.moments import SERVER_KILLS, Moments, share
from tests.chaos.rooms import Room

from vmferry.engine.endpoint import EndpointSpec
from vmferry.engine.jobs import JobKind, JobSpec, JobState, JobStatus
from vmferry.hosts.local import LocalHost

RATE = 60 * MiB
TICKET = "5f1c9f3e-6a94-4c6e-9d0e-0a8b6f0f7a11"


@pytest.fixture
def daemon(certificate: Certificate, tmp_path: Path) -> Iterator[ImageioDaemon]:
    with ImageioDaemon(tmp_path / "imageio", certificate) as running:
        yield running


@pytest.fixture
def host(room: Room, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHost]:
    for name in ("TMPDIR", "XDG_RUNTIME_DIR", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, room.environment[name])
    with LocalHost(room.state / "jobs") as host:
        yield host


class Transfer:
    """A disk behind the daemon on one side, a counted one on the other."""

    def __init__(self, room: Room, disk: Disk, daemon: ImageioDaemon, way: str) -> None:
        self._daemon, self._way = daemon, way
        self.disk, self.copy = disk, room.path / "copy.raw"
        self.size_bytes = -(-disk.size_bytes // 512) * 512
        with self.copy.open("wb") as file:
            file.truncate(self.size_bytes)
        behind = disk.path if way == "download" else self.copy
        counted = ("file", self.copy) if way == "download" else ("--readonly", "file", disk.path)
        self.qemu = NbdServer(behind, socket_path=room.path / "qemu.sock", read_only=way == "download")
        self.counted = CountedDisk(room.path, *counted)
        self.verb = "Write" if way == "download" else "Read"

    def open_ticket(self) -> None:
        ops = ["read"] if self._way == "download" else ["read", "write"]
        self._daemon.add_ticket(f"nbd:unix:{self.qemu.socket_path}", self.size_bytes, ops=ops, uuid=TICKET)

    def spec(self) -> JobSpec:
        options = {"tls_ca": str(self._daemon.certificate.ca), "identity": "disk 7"}
        transfer = EndpointSpec("imageio", self._daemon.url(TICKET), options=options)
        ends = (transfer, self.counted.spec) if self._way == "download" else (self.counted.spec, transfer)
        params = {"source": ends[0].to_json(), "target": ends[1].to_json(), "rate": RATE}
        return JobSpec("transfer", JobKind.COPY, params)


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("way", ["download", "upload"])
def test_a_transfer_survives_its_daemon(
    way: str, daemon: ImageioDaemon, host: LocalHost, room: Room, disk: Disk
) -> None:
    wanted = share(SERVER_KILLS, 2, ("download", "upload").index(way))
    moments = Moments(f"imageio {way}", most_bytes=disk.size_bytes // 4, most_s=2.0)
    transfer = Transfer(room, disk, daemon, way)
    history: list[str] = []
    with transfer.counted as counted, contextlib.ExitStack() as open_things:
        transfer.qemu.start()
        open_things.callback(transfer.qemu.stop)
        transfer.open_ticket()
        spec = transfer.spec()
        host.start(spec)
        while len(history) < wanted:
            moment = moments.draw()
            if moment.wait(lambda: counted.moved(transfer.verb).total_bytes, lambda: has_ended(host)):
                daemon.kill()
                history.append(str(moment))
                daemon.start()
                transfer.open_ticket()
            else:
                require_resumable(host.poll(spec.id), history)
                host.start(spec)
        status = finish(host, spec, history)
        assert status.result is not None
        assert status.result.value is not None
        moved = counted.moved(transfer.verb)
        print(f"{way}: {wanted} kills, {status.attempts} attempts, {moved.twice_bytes / MiB:.1f} MiB moved twice")
        assert moved.twice_bytes <= COMMIT_BYTES * wanted, history
        if way == "upload":
            assert status.result.value["root"] == disk.root
        host.forget(spec.id)
        assert transfer.qemu.socket_path is not None
        sockets = [counted.socket_path, transfer.qemu.socket_path]
        room.require_nothing_left([counted.pid, transfer.qemu.pid, daemon.pid], sockets=sockets)
    assert transfer.copy.read_bytes()[: disk.size_bytes] == disk.content


def has_ended(host: LocalHost) -> bool:
    return host.poll("transfer").state is not JobState.RUNNING


def require_resumable(status: JobStatus, history: list[str]) -> None:
    """A copy that ended before its time may only have lost its daemon."""
    assert status.state is JobState.FAILED, history
    assert "Lost" in type(status.error()).__name__, f"{history}: {status.error()}"


def finish(host: LocalHost, spec: JobSpec, history: list[str]) -> JobStatus:
    """Start the job until it is done: a target may not have vouched for what it held when it was killed."""
    for _ in range(len(history) + 1):
        wait_until(lambda: has_ended(host), "the job has ended", patience_s=180)
        status = host.poll(spec.id)
        if status.state is JobState.DONE:
            return status
        require_resumable(status, history)
        host.start(spec)
    raise AssertionError(f"the job never ends well: {history}")
