"""Image formats read out of an HTTP object by the real qemu, through the bridge and its cache."""

from __future__ import annotations

import json
import random
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lab.http import Fault, HttpServer

from vmferry.engine.endpoint import Endpoint, EndpointSpec
from vmferry.engine.endpoints import open_source
from vmferry.engine.endpoints.block_reader import BLOCK_BYTES, BlockReader
from vmferry.engine.endpoints.bridge import Bridge
from vmferry.engine.errors import SourceChanged
from vmferry.engine.units import KiB, MiB

DISK_BYTES = 24 * MiB


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with HttpServer() as running:
        yield running


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("disk") / "disk.raw"
    generator = random.Random(3)
    with path.open("wb") as file:
        for at in range(0, DISK_BYTES, 2 * MiB):
            file.seek(at)
            file.write(generator.randbytes(700 * KiB))
        file.truncate(DISK_BYTES)
    return path


@contextmanager
def bridged(url: str) -> Iterator[tuple[Bridge, Endpoint]]:
    endpoint = open_source(EndpointSpec("http", url))
    bridge = Bridge(endpoint)
    try:
        yield bridge, endpoint
    finally:
        endpoint.close()
        bridge.close()


def run_qemu(bridge: Bridge, tool: str, image_format: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    image = "json:" + json.dumps({"driver": image_format, "file": bridge.qemu_node})
    command = ["qemu-img", tool, *(each.replace("IMAGE", image) for each in arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)


@pytest.mark.parametrize(
    ("image_format", "options"),
    [
        ("qcow2", ["-c"]),
        ("qcow2", []),
        ("vmdk", ["-o", "subformat=streamOptimized"]),
        ("vmdk", ["-o", "subformat=monolithicSparse"]),
        ("vpc", ["-o", "subformat=dynamic,force_size=on"]),
        ("vhdx", []),
        ("vdi", []),
    ],
    ids=["qcow2-compressed", "qcow2", "vmdk-stream", "vmdk-sparse", "vhd", "vhdx", "vdi"],
)
def test_qemu_reads_a_format_over_http(
    server: HttpServer, disk: Path, tmp_path: Path, image_format: str, options: list[str]
) -> None:
    image = tmp_path / "image"
    subprocess.run(["qemu-img", "convert", "-O", image_format, *options, disk, image], check=True)
    with bridged(server.put("/image", image)) as (bridge, _):
        done = run_qemu(bridge, "compare", image_format, "-f", "raw", str(disk), "IMAGE")
    assert (done.returncode, done.stderr) == (0, "")
    assert server.counts.requests < 60
    assert server.counts.body_bytes < 3 * image.stat().st_size


def test_faults_of_the_server_are_not_seen_by_qemu(server: HttpServer, disk: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", disk, image], check=True)
    with bridged(server.put("/image", image)) as (bridge, _):
        for _ in range(3):
            server.fail(Fault(drop_after_bytes=100_000))
            server.fail(Fault(status=503))
        done = run_qemu(bridge, "compare", "qcow2", "-f", "raw", str(disk), "IMAGE")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_bridge_remembers_what_qemu_cannot_say(server: HttpServer, disk: Path, tmp_path: Path) -> None:
    with bridged(server.put("/image", disk)) as (bridge, _):
        server.put("/image", random.Random(5).randbytes(DISK_BYTES))
        done = run_qemu(bridge, "compare", "raw", "-f", "raw", str(disk), "IMAGE")
        assert done.returncode != 0
        assert isinstance(bridge.failure, SourceChanged)


def test_writing_is_refused(server: HttpServer, disk: Path) -> None:
    with bridged(server.put("/image", disk)) as (bridge, _):
        image = "json:" + json.dumps({"driver": "raw", "file": bridge.qemu_node})
        done = subprocess.run(["qemu-io", "-c", "write 0 64k", image], capture_output=True, text=True, check=False)
    assert done.returncode != 0


def test_a_client_that_talks_nonsense_is_dropped(server: HttpServer, disk: Path) -> None:
    with bridged(server.put("/image", disk)) as (bridge, _):
        for nonsense in (b"GET / HTTP/1.1\r\n\r\n" + bytes(99), struct.pack(">I8sII", 3, b"IHAVEOPT", 7, 1 << 30)):
            with bridge.connect() as client:
                client.settimeout(20)
                client.sendall(nonsense)
                while client.recv(4096):
                    pass
        assert run_qemu(bridge, "info", "raw", "IMAGE").returncode == 0


def test_small_reads_in_order_are_few_requests(server: HttpServer, disk: Path) -> None:
    endpoint = open_source(EndpointSpec("http", server.put("/image", disk)))
    reader = BlockReader(endpoint)
    content, buffer = disk.read_bytes(), bytearray(48 * KiB)
    for offset in range(0, DISK_BYTES - len(buffer), len(buffer)):
        reader.read_into(offset, memoryview(buffer))
        assert buffer == content[offset : offset + len(buffer)]
    reader.close()
    assert server.counts.requests <= DISK_BYTES // BLOCK_BYTES + 3


def test_reads_in_order_of_all_sizes_bring_each_byte_once(server: HttpServer, disk: Path) -> None:
    endpoint = open_source(EndpointSpec("http", server.put("/image", disk)))
    reader = BlockReader(endpoint)
    content, dice, offset = disk.read_bytes(), random.Random(5), 0
    while offset < DISK_BYTES:
        buffer = bytearray(min(dice.choice([64 * KiB, 300 * KiB, MiB, 2 * MiB]), DISK_BYTES - offset))
        reader.read_into(offset, memoryview(buffer))
        assert buffer == content[offset : offset + len(buffer)]
        offset += len(buffer)
    reader.close()
    assert server.counts.body_bytes <= DISK_BYTES + BLOCK_BYTES


def test_small_reads_out_of_order_fetch_no_more_than_they_ask(server: HttpServer, disk: Path) -> None:
    endpoint = open_source(EndpointSpec("http", server.put("/image", disk)))
    reader = BlockReader(endpoint)
    content, buffer = disk.read_bytes(), bytearray(64 * KiB)
    offsets = list(range(0, DISK_BYTES, MiB))
    random.Random(7).shuffle(offsets)
    for offset in offsets:
        reader.read_into(offset, memoryview(buffer))
        assert buffer == content[offset : offset + len(buffer)]
    reader.close()
    assert server.counts.body_bytes < 2 * len(offsets) * len(buffer)


def test_many_threads_share_one_bounded_cache(server: HttpServer, disk: Path) -> None:
    endpoint = open_source(EndpointSpec("http", server.put("/image", disk)))
    reader = BlockReader(endpoint, cache_bytes=3 * BLOCK_BYTES)
    content = disk.read_bytes()
    wrong: list[int] = []

    def work(seed: int) -> None:
        generator, buffer = random.Random(seed), bytearray(100 * KiB)
        at = generator.randrange(DISK_BYTES // 2)
        for _ in range(60):
            at = at + len(buffer) if generator.random() < 0.9 else generator.randrange(DISK_BYTES)
            at = min(at, DISK_BYTES - len(buffer))
            reader.read_into(at, memoryview(buffer))
            if buffer != content[at : at + len(buffer)]:
                wrong.append(at)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reader.close()
    assert not wrong
