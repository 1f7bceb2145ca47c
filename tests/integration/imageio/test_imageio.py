"""The imageio endpoint against the real daemon over TLS, with the real qemu-nbd behind it."""

from __future__ import annotations

import logging
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.imageio import ImageioDaemon
from lab.pki import Certificate, create_certificate

from vmferry.engine.endpoint import Endpoint, EndpointSpec
from vmferry.engine.endpoints import open_source, open_target
from vmferry.engine.errors import (
    BadInput,
    Cancelled,
    ShortRead,
    SourceError,
    SourceLost,
    TargetError,
    TargetLost,
    TargetTooSmall,
    ToolMissing,
    TrustError,
)
from vmferry.engine.qemu.child import start_bound
from vmferry.engine.units import KiB, MiB

DISK_BYTES = 12 * MiB + 512


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return create_certificate(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def shared_daemon(certificate: Certificate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageioDaemon]:
    with ImageioDaemon(tmp_path_factory.mktemp("io"), certificate) as running:
        yield running


@pytest.fixture
def daemon(certificate: Certificate, tmp_path: Path) -> Iterator[ImageioDaemon]:
    """A daemon of the test's own, to be killed."""
    with ImageioDaemon(tmp_path / "io", certificate) as running:
        yield running


@pytest.fixture
def export(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Start qemu-nbd for an image, return its address as a ticket wants it."""
    children: list[subprocess.Popen[bytes]] = []

    def start(image: Path, image_format: str, *options: str) -> str:
        path = tmp_path / f"nbd{len(children)}"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(16)
        command = ["qemu-nbd", "--persistent", "--shared=16", "--discard=unmap", "-f", image_format, *options]
        children.append(start_bound([*command, str(image)], listening=True, stdin=listener))
        listener.close()
        return f"nbd:unix:{path}"

    yield start
    for child in children:
        child.terminate()
        child.wait()


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Data, a hole, data, a hole and a short end."""
    path = tmp_path / "disk.raw"
    generator = random.Random(21)
    with path.open("wb") as file:
        for at in (0, 4 * MiB, 8 * MiB + 64 * KiB):
            file.seek(at)
            file.write(generator.randbytes(MiB))
        file.truncate(DISK_BYTES)
    return path


def spec_for(daemon: ImageioDaemon, ticket: str, **options: Any) -> EndpointSpec:
    return EndpointSpec("imageio", daemon.url(ticket), options={"tls_ca": str(daemon.certificate.ca), **options})


def read(endpoint: Endpoint, offset: int, length: int) -> bytes:
    buffer = bytearray(length)
    connection = endpoint.connect()
    try:
        connection.read_into(offset, memoryview(buffer))
    finally:
        connection.close()
    return bytes(buffer)


@pytest.mark.parametrize("image_format", ["raw", "qcow2"])
def test_reads_data_and_extents(
    shared_daemon: ImageioDaemon, disk: Path, export: Callable[..., str], tmp_path: Path, image_format: str
) -> None:
    image = tmp_path / "image"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", image_format, disk, image], check=True)
    ticket = shared_daemon.add_ticket(export(image, image_format, "--read-only"), DISK_BYTES, ops=["read"])
    source = open_source(spec_for(shared_daemon, ticket))
    assert (source.size, source.max_connections) == (DISK_BYTES, 8)
    found = bytearray(DISK_BYTES)
    data_bytes = 0
    for extent in source.extents():
        if not extent.zero:
            found[extent.start : extent.end] = read(source, extent.start, extent.length)
            data_bytes += extent.length
    assert found == disk.read_bytes()
    assert 3 * MiB <= data_bytes < 4 * MiB
    assert list(source.extents()) == list(source.extents())
    with pytest.raises(ShortRead):
        read(source, DISK_BYTES - 10, 11)
    source.close()
    shared_daemon.remove_ticket(ticket)


def test_reads_only_what_changed(
    shared_daemon: ImageioDaemon, disk: Path, export: Callable[..., str], tmp_path: Path
) -> None:
    image = tmp_path / "image.qcow2"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", disk, image], check=True)
    subprocess.run(["qemu-img", "bitmap", "--add", "--enable", image, "point1"], check=True)
    for command in ("write -P 7 1M 128k", "write -z -u 4M 256k"):
        subprocess.run(["qemu-io", "-f", "qcow2", "-c", command, image], check=True, capture_output=True)
    subprocess.run(["qemu-img", "bitmap", "--disable", image, "point1"], check=True)
    address = export(image, "qcow2", "--read-only", "--bitmap=point1")
    ticket = shared_daemon.add_ticket(address, DISK_BYTES, ops=["read"], dirty=True)
    source = open_source(spec_for(shared_daemon, ticket))
    changed = [tuple(extent) for extent in source.extents("point1")]
    assert changed == [(MiB, 128 * KiB, False), (4 * MiB, 256 * KiB, True)]
    source.close()


def test_a_full_backup_does_not_know_what_changed(
    shared_daemon: ImageioDaemon, disk: Path, export: Callable[..., str]
) -> None:
    ticket = shared_daemon.add_ticket(export(disk, "raw", "--read-only"), DISK_BYTES, ops=["read"])
    source = open_source(spec_for(shared_daemon, ticket))
    with pytest.raises(BadInput, match="does not know what changed since point1"):
        source.extents("point1")
    source.close()


def test_writes_zeroes_and_flushes(shared_daemon: ImageioDaemon, disk: Path, export: Callable[..., str]) -> None:
    ticket = shared_daemon.add_ticket(export(disk, "raw"), DISK_BYTES)
    expected = bytearray(disk.read_bytes())
    target = open_target(spec_for(shared_daemon, ticket), DISK_BYTES)
    assert not target.reads_zero
    connection, other = target.connect(), target.connect()
    fresh = random.Random(22).randbytes(MiB + 512)
    connection.write(DISK_BYTES - len(fresh), memoryview(fresh))
    expected[DISK_BYTES - len(fresh) :] = fresh
    other.zero(100, 5 * MiB)
    expected[100 : 100 + 5 * MiB] = bytes(5 * MiB)
    connection.flush()
    other.flush()
    assert disk.read_bytes() == expected
    connection.close()
    other.close()
    target.close()


def test_the_local_socket_is_used_when_offered(
    certificate: Certificate, disk: Path, export: Callable[..., str], tmp_path: Path
) -> None:
    with ImageioDaemon(tmp_path / "io", certificate, local=True) as daemon:
        ticket = daemon.add_ticket(export(disk, "raw"), DISK_BYTES)
        source = open_source(spec_for(daemon, ticket))
        assert read(source, 4 * MiB, MiB) == disk.read_bytes()[4 * MiB : 5 * MiB]
        source.close()


def test_certificates_are_verified(
    shared_daemon: ImageioDaemon,
    disk: Path,
    export: Callable[..., str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stranger = create_certificate(tmp_path / "stranger")
    ticket = shared_daemon.add_ticket(export(disk, "raw"), DISK_BYTES)
    with pytest.raises(TrustError, match="cannot be trusted"):
        open_source(spec_for(shared_daemon, ticket, tls_ca=str(stranger.ca)))
    source = open_source(spec_for(shared_daemon, ticket, tls_ca=None, secure=False))
    assert read(source, 0, 100) == disk.read_bytes()[:100]
    assert "NOT verified" in caplog.text
    source.close()


def test_the_proxy_is_used_where_the_host_cannot_be_reached(
    shared_daemon: ImageioDaemon, disk: Path, export: Callable[..., str]
) -> None:
    ticket = shared_daemon.add_ticket(export(disk, "raw"), DISK_BYTES)
    with socket.socket() as closed_port:
        closed_port.bind(("127.0.0.1", 0))
        host_url = f"https://localhost:{closed_port.getsockname()[1]}/images/{ticket}"
        options = {"tls_ca": str(shared_daemon.certificate.ca), "proxy_url": shared_daemon.url(ticket)}
        source = open_source(EndpointSpec("imageio", host_url, options=options))
        assert read(source, 0, 100) == disk.read_bytes()[:100]
        source.close()


def test_the_ticket_is_never_shown(
    shared_daemon: ImageioDaemon, disk: Path, export: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ticket = shared_daemon.add_ticket(export(disk, "raw"), DISK_BYTES)
    source = open_source(spec_for(shared_daemon, ticket))
    read(source, 0, 100)
    shared_daemon.remove_ticket(ticket)
    with pytest.raises(SourceError) as caught:
        read(source, 0, 100)
    assert ticket not in " ".join([source.name, source.identity, str(caught.value), caplog.text])
    source.close()


def test_identity_comes_from_the_driver(shared_daemon: ImageioDaemon, disk: Path, export: Callable[..., str]) -> None:
    address = export(disk, "raw")
    tickets = [shared_daemon.add_ticket(address, DISK_BYTES) for _ in range(2)]
    one, two = (open_source(spec_for(shared_daemon, ticket, identity="disk1 backup7")) for ticket in tickets)
    assert one.identity == two.identity
    one.close()
    two.close()


def remove(daemon: ImageioDaemon, ticket: str) -> None:
    daemon.remove_ticket(ticket)


def expire(daemon: ImageioDaemon, ticket: str) -> None:
    """The daemon extends a ticket when a request ends, which may be a little after its answer has come."""
    while daemon.get_ticket(ticket)["active"]:
        pass
    for _ in range(5):
        daemon.extend_ticket(ticket, 0)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [(remove, "not known to the daemon"), (expire, "has expired")],
    ids=["removed", "expired"],
)
def test_a_transfer_that_is_gone_is_an_error_at_once(
    shared_daemon: ImageioDaemon,
    disk: Path,
    export: Callable[..., str],
    spoil: Callable[[ImageioDaemon, str], None],
    message: str,
) -> None:
    ticket = shared_daemon.add_ticket(export(disk, "raw"), DISK_BYTES)
    source = open_source(spec_for(shared_daemon, ticket))
    target = open_target(spec_for(shared_daemon, ticket), DISK_BYTES)
    spoil(shared_daemon, ticket)
    with pytest.raises(SourceError, match=f"{message}.*must open a new transfer"):
        read(source, 0, 100)
    with pytest.raises(TargetError, match=message):
        target.connect().write(0, memoryview(b"x" * 512))
    with pytest.raises(SourceError, match=message):
        open_source(spec_for(shared_daemon, ticket))
    source.close()
    target.close()


def test_bad_targets_are_refused(shared_daemon: ImageioDaemon, disk: Path, export: Callable[..., str]) -> None:
    address = export(disk, "raw")
    reading = shared_daemon.add_ticket(address, DISK_BYTES, ops=["read"])
    with pytest.raises(BadInput, match="only for reading"):
        open_target(spec_for(shared_daemon, reading), DISK_BYTES)
    writing = shared_daemon.add_ticket(address, DISK_BYTES)
    with pytest.raises(TargetTooSmall, match="too small"):
        open_target(spec_for(shared_daemon, writing), DISK_BYTES + 1)


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ovirt_imageio.client", None)
    with pytest.raises(ToolMissing, match=r"airflow-provider-vmferry\[ovirt\]"):
        open_source(EndpointSpec("imageio", "https://localhost:1/images/x"))


def test_reading_goes_on_when_the_daemon_comes_back(
    daemon: ImageioDaemon, disk: Path, export: Callable[..., str]
) -> None:
    address = export(disk, "raw", "--read-only")
    ticket = daemon.add_ticket(address, DISK_BYTES, ops=["read"])
    source = open_source(spec_for(daemon, ticket))
    connection, buffer = source.connect(), bytearray(MiB)
    connection.read_into(0, memoryview(buffer))
    daemon.kill()
    results: list[bytes] = []
    reader = threading.Thread(target=lambda: results.append(read(source, 4 * MiB, MiB)))
    reader.start()
    daemon.start()
    daemon.add_ticket(address, DISK_BYTES, ops=["read"], uuid=ticket)
    connection.read_into(8 * MiB, memoryview(buffer))
    reader.join()
    content = disk.read_bytes()
    assert (bytes(buffer), results) == (content[8 * MiB : 9 * MiB], [content[4 * MiB : 5 * MiB]])
    assert sum(extent.length for extent in source.extents()) == DISK_BYTES
    connection.close()
    source.close()


def test_a_flush_does_not_vouch_for_a_daemon_that_died(
    daemon: ImageioDaemon, disk: Path, export: Callable[..., str]
) -> None:
    address = export(disk, "raw")
    ticket = daemon.add_ticket(address, DISK_BYTES)
    target = open_target(spec_for(daemon, ticket), DISK_BYTES)
    connection = target.connect()
    connection.write(0, memoryview(b"a" * 4096))
    connection.flush()
    daemon.kill()
    daemon.start()
    daemon.add_ticket(address, DISK_BYTES, uuid=ticket)
    connection.flush()  # nothing was written since the last flush
    connection.write(4096, memoryview(b"b" * 4096))
    daemon.kill()
    daemon.start()
    daemon.add_ticket(address, DISK_BYTES, uuid=ticket)
    other = target.connect()
    other.write(8192, memoryview(b"c" * 4096))  # a new connection to the new daemon knows nothing of the loss
    for each in (other, connection):
        with pytest.raises(TargetLost, match="before it had flushed"):
            each.flush()
        each.close()
    target.close()


def test_gives_up_when_the_daemon_stays_away(daemon: ImageioDaemon, disk: Path, export: Callable[..., str]) -> None:
    ticket = daemon.add_ticket(export(disk, "raw"), DISK_BYTES)
    spec = spec_for(daemon, ticket, reconnect_s=0.5)
    source, target = open_source(spec), open_target(spec, DISK_BYTES)
    daemon.kill()
    with pytest.raises(SourceLost, match="the connection broke"):
        read(source, 0, 10)
    with pytest.raises(TargetLost, match="the connection broke"):
        target.connect().write(0, memoryview(b"x" * 512))
    with pytest.raises(TargetLost, match="does not answer"):
        open_target(spec, DISK_BYTES)
    source.close()
    target.close()


def test_close_ends_a_wait(daemon: ImageioDaemon, disk: Path, export: Callable[..., str]) -> None:
    ticket = daemon.add_ticket(export(disk, "raw"), DISK_BYTES)
    source = open_source(spec_for(daemon, ticket))
    daemon.kill()
    timer = threading.Timer(0.3, source.close)
    timer.start()
    with pytest.raises(Cancelled):
        read(source, 0, 10)
    timer.join()


def test_a_dead_server_behind_the_daemon_is_an_error(shared_daemon: ImageioDaemon, tmp_path: Path, disk: Path) -> None:
    ticket = shared_daemon.add_ticket(f"nbd:unix:{tmp_path}/nobody", DISK_BYTES)
    with pytest.raises(SourceLost, match="answers 500; its log on the host says why"):
        open_source(spec_for(shared_daemon, ticket, reconnect_s=0.5))
