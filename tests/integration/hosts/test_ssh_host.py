"""Jobs over a real sshd, with the zipapp and a Python that has nothing installed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.jobs import copy_spec, is_alive, make_disk, slowly, wait_until
from lab.sshd import Sshd

from vmferry.engine.errors import BadInput, Cancelled, JobBusy, Unreadable
from vmferry.engine.jobs import JobMismatch, JobState
from vmferry.engine.units import MiB
from vmferry.hosts.errors import HostConfused, HostUnfit
from vmferry.hosts.ssh import SshHost
from vmferry.hosts.waiting import run, wait
from vmferry.hosts.zipapp import Zipapp


def test_a_bare_python_copies_and_proves(
    sshd: Sshd, engine: Zipapp, tmp_path: Path, bare_python: tuple[str, ...]
) -> None:
    disk = make_disk(tmp_path / "source", 9 * MiB + 512)
    spec = copy_spec("a", disk, tmp_path / "target", proof="disk.proof")
    told: list[object] = []
    with SshHost(sshd.settings(python=bare_python), engine=engine) as host:
        status = run(host, spec, on_progress=told.append, every_s=0.1)
        assert status.result is not None
        assert status.result.value is not None
        assert len(status.result.value["root"]) == 64
        assert told
        host.fetch("a", "disk.proof", tmp_path / "proof")
        with pytest.raises(Unreadable):
            host.fetch("a", "nothing", tmp_path / "nothing")
    assert (tmp_path / "target").read_bytes() == disk.read_bytes()
    assert (tmp_path / "proof").read_bytes() == (sshd.jobs / "a" / "disk.proof").read_bytes()
    assert not (tmp_path / "nothing").exists()


def test_the_engine_is_shipped_once(sshd: Sshd, host: SshHost) -> None:
    engines = sshd.home / ".local/share/vmferry"
    assert host.poll("a").state is JobState.ABSENT
    shipped = list(engines.iterdir())
    stamp = shipped[0].stat().st_mtime_ns
    assert host.jobs() == []
    assert list(engines.iterdir()) == shipped
    assert shipped[0].stat().st_mtime_ns == stamp


def test_a_second_start_attaches_and_a_third_finds_the_result(
    sshd: Sshd, engine: Zipapp, host: SshHost, tmp_path: Path
) -> None:
    disk = make_disk(tmp_path / "source", 20 * MiB)
    spec = slowly("a", disk, tmp_path / "target")
    first = host.start(spec)
    with SshHost(sshd.settings(), engine=engine) as other:
        second = other.start(spec)
        assert (second.state, second.pid, second.attempts) == (JobState.RUNNING, first.pid, 1)
        with pytest.raises(JobMismatch, match=r"params\.target\.address"):
            other.start(copy_spec("a", disk, tmp_path / "elsewhere"))
        with pytest.raises(JobBusy):
            other.forget("a")
    host.set_rate("a", None)
    assert wait(host, "a", every_s=0.1).attempts == 1
    assert host.start(spec).state is JobState.DONE
    assert [status.id for status in host.jobs()] == ["a"]
    host.forget("a")
    assert host.poll("a").state is JobState.ABSENT


def test_a_job_that_is_killed_is_lost_and_resumed(sshd: Sshd, host: SshHost, tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "source", 120 * MiB)
    spec = copy_spec("a", disk, tmp_path / "target", rate=100 * MiB)
    pid = host.start(spec).pid
    assert pid is not None
    journal = sshd.jobs / "a" / "journal"
    wait_until(lambda: journal.exists() and journal.stat().st_size > 10_000, "a commit")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: host.poll("a").state is JobState.LOST, "the job is lost")
    result = run(host, spec, every_s=0.1).result
    assert result is not None
    assert result.value is not None
    assert result.attempts == 2
    assert result.value["resumed_bytes"] > 0
    assert (tmp_path / "target").read_bytes() == disk.read_bytes()


def test_a_cancelled_job_stops(host: SshHost, tmp_path: Path) -> None:
    pid = host.start(slowly("a", make_disk(tmp_path / "source", 20 * MiB), tmp_path / "target")).pid
    assert pid is not None
    assert host.cancel("a").state in (JobState.RUNNING, JobState.CANCELLED)
    with pytest.raises(Cancelled):
        wait(host, "a", every_s=0.1)
    wait_until(lambda: not is_alive(pid), "its process is gone")


def test_secrets_are_nowhere_to_be_seen(sshd: Sshd, host: SshHost, tmp_path: Path) -> None:
    secret = "t0p-s3cret-" + os.urandom(8).hex()
    spec = slowly("a", make_disk(tmp_path / "source", 20 * MiB), tmp_path / "target")
    host.start(spec, {"password": secret})
    seen = 0
    for name in ("cmdline", "environ"):
        for path in Path("/proc").glob(f"[0-9]*/{name}"):
            try:
                content = path.read_bytes()
            except OSError:
                continue
            seen += 1
            assert secret.encode() not in content
    assert seen > 10
    host.cancel("a")
    wait_until(lambda: host.poll("a").state is JobState.CANCELLED, "it stopped")
    files = [path for path in sshd.directory.rglob("*") if path.is_file()]
    assert sshd.jobs / "a" / "job.json" in files
    assert [path for path in files if secret.encode() in path.read_bytes()] == []


def test_an_event_loop_polls_many_at_once(host: SshHost, tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "source", 1 * MiB)
    for number in range(3):
        host.start(copy_spec(f"job{number}", disk, tmp_path / f"target{number}"))

    async def poll_all() -> list[JobState]:
        found = await asyncio.gather(*(host.apoll(f"job{number}") for number in range(3)))
        return [status.state for status in found]

    wait_until(lambda: asyncio.run(poll_all()) == [JobState.DONE] * 3, "all are done")
    assert {status.id for status in host.jobs()} == {"job0", "job1", "job2"}


def test_a_host_without_a_fitting_python_is_named(sshd: Sshd, engine: Zipapp) -> None:
    unfit = pytest.raises(HostUnfit, match=r"127\.0\.0\.1 has no python3\.4711")
    with SshHost(sshd.settings(python=("python3.4711",)), engine=engine) as host, unfit:
        host.poll("a")
    with SshHost(sshd.settings(python=("echo",)), engine=engine) as host, pytest.raises(HostConfused):
        host.poll("a")


def test_a_start_up_file_that_talks_is_named(sshd: Sshd, engine: Zipapp, host: SshHost, tmp_path: Path) -> None:
    talking = tmp_path / "talking-python"
    talking.write_text("#!/bin/sh\necho welcome\n")
    talking.chmod(0o755)
    host.poll("a")
    confused = pytest.raises(HostConfused, match="gave no answer of the engine")
    with SshHost(sshd.settings(python=(str(talking),)), engine=engine) as other, confused:
        other.poll("a")


def test_bad_input_does_not_reach_the_host(sshd: Sshd, host: SshHost, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="workers cannot be 0"):
        host.start(copy_spec("a", tmp_path / "source", tmp_path / "target", workers=0))
    with pytest.raises(BadInput, match="cannot be a job id"):
        host.poll("../../etc")
    assert list(sshd.home.iterdir()) == []


@pytest.fixture
def echo(tmp_path: Path) -> Iterator[tuple[socket.socket, list[int]]]:
    """A server on a unix socket that counts its clients and says hello to each."""
    clients: list[int] = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "echo.sock"))
        server.listen()

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                clients.append(1)
                with client:
                    client.sendall(b"hello " + client.recv(100))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server, clients
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def ask(path: Path) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"disk")
        return client.recv(100)


def test_a_socket_is_forwarded_and_goes_away(
    host: SshHost, tmp_path: Path, echo: tuple[socket.socket, list[int]]
) -> None:
    with host.forward(tmp_path / "echo.sock") as here:
        # Nobody has been connected so far: a qemu-nbd that serves one client would be gone.
        assert echo[1] == []
        assert ask(here) == b"hello disk"
    assert not here.exists()


def test_a_port_is_forwarded_as_a_unix_socket(host: SshHost, sshd: Sshd) -> None:
    with host.forward(sshd.port) as here, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(here))
        assert client.recv(4) == b"SSH-"
    host.close()
    assert not here.parent.exists()


def test_the_job_directory_is_private_and_has_what_the_page_says(sshd: Sshd, host: SshHost, tmp_path: Path) -> None:
    spec = copy_spec("a", make_disk(tmp_path / "source", MiB), tmp_path / "target")
    run(host, spec, every_s=0.1)
    job = sshd.jobs / "a"
    assert job.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in job.iterdir()} == {
        "job.json", "lock", "run.json", "log", "progress.json", "journal", "result.json"
    }  # fmt: skip
    assert json.loads((job / "job.json").read_text()) == spec.to_json()
