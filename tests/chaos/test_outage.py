"""The source goes away for a while and comes back at the same address: the copy goes on, it does not begin again."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from lab.counted import CountedDisk
from lab.http import HttpServer
from lab.imageio import ImageioDaemon
from lab.jobs import wait_until
from lab.nbd import serve
from lab.pki import Certificate
from tests.chaos.disks import Disk, MiB
from tests.chaos.rooms import Room

from vmferry.engine.endpoint import EndpointSpec
from vmferry.engine.jobs import JobKind, JobSpec, JobState
from vmferry.hosts.local import LocalHost

SHORT_S = float(os.environ.get("VMFERRY_OUTAGE", "5"))
AWAY_S = [pytest.param("nbd", SHORT_S, id="nbd"), pytest.param("http", SHORT_S, id="http"),
          pytest.param("imageio", SHORT_S, id="imageio"), pytest.param("nbd", 30.0, id="nbd-30s"),
          pytest.param("http", 30.0, id="http-30s"), pytest.param("imageio", 30.0, id="imageio-30s")]  # fmt: skip
RATE = 60 * MiB


class Source(NamedTuple):
    """A disk that can go away and come back."""

    spec: EndpointSpec
    leave: Callable[[], None]
    come_back: Callable[[], None]


@contextlib.contextmanager
def over_nbd(disk: Disk, room: Room, certificate: Certificate) -> Iterator[Source]:
    with CountedDisk(room.path, "--readonly", "file", disk.path, name="source") as server:
        yield Source(server.spec, server.kill, server.start)


@contextlib.contextmanager
def over_http(disk: Disk, room: Room, certificate: Certificate) -> Iterator[Source]:
    with HttpServer(certificate) as server:
        url = server.put("/disk.raw", disk.path)
        yield Source(EndpointSpec("http", url, options={"tls_ca": str(certificate.ca)}), server.offline, server.online)


@contextlib.contextmanager
def over_imageio(disk: Disk, room: Room, certificate: Certificate) -> Iterator[Source]:
    size, ticket = -(-disk.size_bytes // 512) * 512, "0e4f61d5-3f47-4d42-8a1c-8bd8a9a3e6b0"
    with (
        serve(disk.path, read_only=True, socket_path=room.path / "q.sock") as behind,
        ImageioDaemon(room.path / "imageio", certificate) as daemon,
    ):

        def come_back() -> None:
            daemon.start()
            daemon.add_ticket(f"nbd:unix:{behind.socket_path}", size, ops=["read"], uuid=ticket)

        daemon.add_ticket(f"nbd:unix:{behind.socket_path}", size, ops=["read"], uuid=ticket)
        yield Source(
            EndpointSpec("imageio", daemon.url(ticket), options={"tls_ca": str(certificate.ca)}), daemon.kill, come_back
        )


SOURCES = {"nbd": over_nbd, "http": over_http, "imageio": over_imageio}


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("kind", "away_s"), AWAY_S)
def test_a_source_that_comes_back_is_read_on(
    kind: str, away_s: float, room: Room, disk: Disk, certificate: Certificate
) -> None:
    copy = room.path / "copy.raw"
    with copy.open("wb") as file:
        file.truncate(-(-disk.size_bytes // 512) * 512)
    with (
        SOURCES[kind](disk, room, certificate) as source,
        LocalHost(room.state / "jobs") as host,
        CountedDisk(room.path, "file", copy) as counted,
    ):
        params = {"source": source.spec.to_json(), "target": counted.spec.to_json(), "rate": RATE}
        spec = JobSpec("outage", JobKind.COPY, params)
        host.start(spec)
        wait_until(lambda: counted.moved("Write").total_bytes > 50 * MiB, "the copy is in the middle")
        source.leave()
        before = counted.moved("Write").total_bytes
        threading.Event().wait(away_s)
        during = counted.moved("Write").total_bytes
        assert host.poll(spec.id).state is JobState.RUNNING
        source.come_back()
        wait_until(lambda: host.poll(spec.id).state is not JobState.RUNNING, "the job has ended", patience_s=180)
        status = host.poll(spec.id)
        assert status.state is JobState.DONE, status.error()
        moved = counted.moved("Write")
    print(f"{kind} away for {away_s:.0f} s: {moved.twice_bytes} bytes twice, {(during - before) / MiB:.0f} MiB late")
    assert status.attempts == 1
    assert moved.twice_bytes == 0
    assert copy.read_bytes()[: disk.size_bytes] == disk.content


@pytest.mark.chaos
@pytest.mark.timeout(300)
def test_a_source_that_stays_away_too_long_is_resumed_by_the_same_command(room: Room, disk: Disk) -> None:
    """What can be waited for is one minute; a copy that gave up then goes on from its journal."""
    command = ["disk", "copy"]
    with CountedDisk(room.path, "--readonly", "file", disk.path) as server:
        command += [server.url, str(room.path / "copy.raw"), "--rate", "60MiB", "--json"]
        process = room.start(*command)
        wait_until(lambda: server.moved("Read").total_bytes > 80 * MiB, "the copy is in the middle")
        server.kill()
        _, err = process.communicate()
        assert process.returncode == 3, err
        assert "did not come back" in err
        assert "resume the copy" in err
        server.start()
        done = room.run(*command)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["resumed_bytes"] > 0
        assert server.moved("Read").twice_bytes <= 64 * MiB
        room.require_nothing_left([server.pid], sockets=[server.socket_path])
    disk.require_equal(Path(room.path / "copy.raw"))
