"""Memory does not grow with the disk: terabytes, and millions of extents, within the bound of docs/testing.md."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from lab.counted import CountedDisk
from lab.nbd import serve
from tests.integration.large.combed import CLUSTER, write_combed_qcow2
from tests.integration.large.conftest import LEAF, RSS_LIMIT_BYTES, GiB, Measured, MiB, Scattered, TiB, root_of

from vmferry.engine.endpoints import open_target

Measure = Callable[..., Measured]

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def scattered() -> Scattered:
    return Scattered(TiB, 256 * MiB)


def test_a_terabyte_in_a_file(tmp_path: Path, measure: Measure, scattered: Scattered) -> None:
    disk, copy = tmp_path / "disk.raw", tmp_path / "copy.raw"
    with disk.open("wb") as file:
        file.truncate(scattered.size_bytes)
        scattered.write(lambda at, data: os.pwrite(file.fileno(), data, at))
    done = measure("disk", "copy", f"raw:{disk}", copy, "--json")
    require_small(done)
    assert json.loads(done.out)["root"] == scattered.root()
    compare(disk, copy, "raw")
    assert copy.stat().st_blocks * 512 < GiB


def test_a_terabyte_in_an_image(tmp_path: Path, measure: Measure, scattered: Scattered) -> None:
    disk, copy = tmp_path / "disk.qcow2", tmp_path / "copy.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, str(scattered.size_bytes)], check=True)
    with contextlib.ExitStack() as open_things:
        server = open_things.enter_context(serve(disk, "qcow2", socket_path=tmp_path / "s"))
        target = open_things.enter_context(contextlib.closing(open_target(server.spec(), 0)))
        connection = open_things.enter_context(contextlib.closing(target.connect()))
        scattered.write(lambda at, data: connection.write(at, memoryview(data)))
        connection.flush()
    done = measure("disk", "copy", disk, copy, "--json")
    require_small(done)
    assert json.loads(done.out)["root"] == scattered.root()
    compare(disk, copy, "qcow2")


def test_a_terabyte_over_nbd(tmp_path: Path, measure: Measure) -> None:
    """The server makes the disk up, and refuses every write that is not what it would have read."""
    plugin = ("sparse-random", "size=1T", "percent=0.025", "runlength=1048576", "seed=5")
    (tmp_path / "target").mkdir()
    with CountedDisk(tmp_path, *plugin) as source, CountedDisk(tmp_path / "target", *plugin) as target:
        done = measure("disk", "copy", source.url, target.url, "--json")
        require_small(done)
        moved = target.moved("Write")
        again = measure("disk", "proof", source.url, "--json")
    require_small(again)
    answer = json.loads(done.out)
    assert answer["root"] == json.loads(again.out)["root"]
    assert 100 * MiB < answer["read_bytes"] == moved.total_bytes == moved.distinct_bytes < GiB


def test_two_million_extents(tmp_path: Path, measure: Measure) -> None:
    size, pattern = GiB, hashlib.shake_256(b"data").digest(CLUSTER)
    disk, copy = tmp_path / "disk.qcow2", tmp_path / "copy.raw"
    write_combed_qcow2(disk, size, pattern)
    done = measure("disk", "copy", disk, copy, "--json")
    require_small(done)
    leaf = (bytes(CLUSTER) + pattern) * (LEAF // CLUSTER // 2)
    digest = hashlib.sha256(leaf).digest()
    answer = json.loads(done.out)
    assert answer["root"] == root_of(size, dict.fromkeys(range(size // LEAF), digest))
    assert answer["read_bytes"] == size
    with copy.open("rb") as file:
        assert all(piece == leaf * 16 for piece in iter(lambda: file.read(MiB), b""))


def test_sixty_four_empty_terabytes(tmp_path: Path, measure: Measure) -> None:
    disk, copy = tmp_path / "disk.qcow2", tmp_path / "copy.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "64T"], check=True)
    done = measure("disk", "copy", disk, copy, "--json")
    require_small(done)
    answer = json.loads(done.out)
    assert answer["root"] == root_of(64 * TiB, {})
    assert (answer["size_bytes"], answer["read_bytes"], answer["written_bytes"]) == (64 * TiB, 0, 0)
    assert copy.stat().st_blocks * 512 < 16 * MiB


def require_small(done: Measured) -> None:
    print(f"most memory at once: {done.rss_bytes / MiB:.0f} MiB")
    assert done.rss_bytes < RSS_LIMIT_BYTES


def compare(one: Path, other: Path, image_format: str) -> None:
    """Let qemu-img find a difference."""
    subprocess.run(["qemu-img", "compare", "-q", "-f", image_format, "-F", image_format, one, other], check=True)
