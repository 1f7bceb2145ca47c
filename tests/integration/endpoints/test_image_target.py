# SPDX-License-Identifier: Apache-2.0
"""Images as targets: made once, compressed in one pass, written again after a kill, and nothing left behind."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from lab.nbd import serve
from tests.contract.endpoint_kinds import run

from vmferry.engine.endpoint import EndpointSpec
from vmferry.engine.endpoints import open_source, open_target
from vmferry.engine.endpoints.image import ImageEndpoint
from vmferry.engine.errors import BadInput, NoSpace, RefusedImage, TargetInUse, TargetLost, TargetTooSmall, Unreadable
from vmferry.engine.extents import Extent
from vmferry.engine.units import KiB, MiB

LEAF = 64 * KiB
COMPRESSED = {"compress": True}


def target_spec(path: Path, image_format: str = "qcow2", create: Mapping[str, Any] | None = None) -> EndpointSpec:
    return EndpointSpec("image", str(path), image_format, {"create": dict(create or {})})


def leaf(number: int, length: int = LEAF) -> memoryview:
    """Every third one cannot be compressed."""
    if number % 3 == 0:
        return memoryview(random.Random(number).randbytes(length))
    return memoryview((b"%07d " % number * (length // 8 + 1))[:length])


def content_of(path: Path, size: int, image_format: str = "qcow2") -> bytes:
    """What qemu-img alone makes of it."""
    run("qemu-img", "convert", "-f", image_format, "-O", "raw", path, path.with_suffix(".out"))
    assert path.with_suffix(".out").stat().st_size == size
    return path.with_suffix(".out").read_bytes()


def info(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("qemu-img", "info", "--output=json", path))
    return found


@pytest.mark.parametrize("size", [1000, 512, LEAF, 3 * LEAF + 512, 5 * MiB - 1], ids=str)
@pytest.mark.parametrize(
    ("image_format", "create"),
    [
        ("qcow2", {}),
        ("qcow2", COMPRESSED),
        ("vmdk", {}),
        ("vmdk", {"subformat": "twoGbMaxExtentSparse"}),
        ("vmdk", {"subformat": "monolithicFlat"}),
        ("vpc", {}),
        ("vpc", {"subformat": "fixed"}),
        ("vhdx", {}),
        ("vdi", {}),
        ("raw", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())) or "default",
)
def test_any_size_in_any_format(tmp_path: Path, image_format: str, create: Mapping[str, Any], size: int) -> None:
    """Sizes are rounded up to a sector, and the last leaf is as short as the source's."""
    path, rounded = tmp_path / f"disk.{image_format}", -(-size // 512) * 512
    spec = target_spec(path, image_format, create)
    first, last = 0, (size - 1) // LEAF * LEAF
    expected = bytearray(rounded)
    for attempt in (1, 4):
        with closing(open_target(spec, size)) as endpoint, closing(endpoint.connect()) as connection:
            assert endpoint.size == rounded
            assert endpoint.reads_zero == (attempt == 1)
            for offset, number in ((first, attempt), (last, attempt + 1)):
                data = leaf(number, min(LEAF, size - offset))
                connection.write(offset, data)
                expected[offset : offset + len(data)] = data
            connection.zero(size, rounded - size)
            connection.flush()
            assert sum(extent.length for extent in endpoint.extents()) == rounded
    assert content_of(path, rounded, image_format) == expected
    assert not list(tmp_path.glob(".*"))


class TestCompressed:
    def test_is_as_small_as_qemu_img_makes_it(self, tmp_path: Path) -> None:
        raw = tmp_path / "raw"
        raw.write_bytes(b"".join(leaf(number) for number in range(64)))
        with (
            closing(open_target(target_spec(tmp_path / "ours", create=COMPRESSED), 64 * LEAF)) as endpoint,
            closing(endpoint.connect()) as connection,
        ):
            for number in range(0, 64, 16):
                connection.write(number * LEAF, memoryview(raw.read_bytes())[number * LEAF : (number + 16) * LEAF])
            connection.flush()
        run("qemu-img", "convert", "-c", "-O", "qcow2", "-o", "compression_type=zstd", raw, tmp_path / "theirs")
        assert (tmp_path / "ours").stat().st_size <= (tmp_path / "theirs").stat().st_size * 1.1
        assert info(tmp_path / "ours")["format-specific"]["data"]["compression-type"] == "zstd"
        assert content_of(tmp_path / "ours", 64 * LEAF) == raw.read_bytes()

    @pytest.mark.parametrize("size", [40 * LEAF, 40 * LEAF - 5 * KiB], ids=["whole-clusters", "odd-size"])
    def test_a_killed_server_and_the_same_leaves_again(self, tmp_path: Path, size: int) -> None:
        path = tmp_path / "disk.qcow2"
        spec, content = target_spec(path, create=COMPRESSED), bytearray(size)
        endpoint = open_target(spec, size)
        identity = endpoint.identity
        assert isinstance(endpoint, ImageEndpoint)
        connection = endpoint.connect()
        for number in range(40):
            data = leaf(number, min(LEAF, size - number * LEAF))
            connection.write(number * LEAF, data)
            content[number * LEAF : number * LEAF + len(data)] = data
            if number == 20:
                connection.flush()
        os.kill(endpoint.server_pid, signal.SIGKILL)
        with pytest.raises(TargetLost):
            connection.flush()
        endpoint.close()
        with closing(open_target(spec, size)) as endpoint, closing(endpoint.connect()) as connection:
            assert (endpoint.identity, endpoint.reads_zero) == (identity, False)
            for number in range(10, 40):
                connection.write(number * LEAF, leaf(number, min(LEAF, size - number * LEAF)))
            connection.flush()
        assert content_of(path, size) == content
        assert "leaks" not in json.loads(run("qemu-img", "check", "--output=json", path))


class TestOnABackup:
    @pytest.fixture
    def base(self, tmp_path: Path) -> Path:
        raw = tmp_path / "base.raw"
        raw.write_bytes(b"".join(leaf(number) for number in range(8)))
        run("qemu-img", "convert", "-O", "qcow2", raw, tmp_path / "base.qcow2")
        return tmp_path / "base.qcow2"

    def test_zeros_hide_what_is_below_and_the_name_stays_relative(self, base: Path) -> None:
        size = 16 * LEAF
        create = {**COMPRESSED, "backing_file": "base.qcow2", "backing_format": "qcow2"}
        head = base.with_name("head.qcow2")
        with (
            closing(open_target(target_spec(head, create=create), size)) as endpoint,
            closing(endpoint.connect()) as connection,
        ):
            assert isinstance(endpoint, ImageEndpoint)
            assert not endpoint.reads_zero
            connection.write(LEAF, leaf(100))
            connection.zero(2 * LEAF, 2 * LEAF)
            connection.zero(12 * LEAF, LEAF)
            connection.flush()
            assert list(endpoint.allocated_extents())[:2] == [
                Extent(LEAF, LEAF, False),
                Extent(2 * LEAF, 2 * LEAF, True),
            ]
        assert info(head)["backing-filename"] == "base.qcow2"
        below = base.with_suffix(".raw").read_bytes()
        expected = below[:LEAF] + leaf(100) + bytes(2 * LEAF) + below[4 * LEAF :] + bytes(8 * LEAF)
        assert content_of(head, size) == expected
        with closing(open_target(target_spec(head, create=create), size)) as endpoint:
            assert not endpoint.reads_zero

    def test_a_base_that_is_not_there(self, tmp_path: Path) -> None:
        create = {"backing_file": "nothing.qcow2", "backing_format": "qcow2"}
        with pytest.raises(Unreadable, match=r"nothing\.qcow2"):
            open_target(target_spec(tmp_path / "head.qcow2", create=create), MiB)
        assert not (tmp_path / "head.qcow2").exists()

    def test_an_existing_image_with_a_backing_file_is_no_target(self, base: Path) -> None:
        head = base.with_name("head.qcow2")
        run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", head)
        with pytest.raises(RefusedImage):
            open_target(EndpointSpec("image", str(head), "qcow2"), MiB)


class TestRefused:
    def test_a_second_writer(self, tmp_path: Path) -> None:
        spec = target_spec(tmp_path / "disk.qcow2")
        with closing(open_target(spec, MiB)), pytest.raises(TargetInUse, match="lock"):
            open_target(spec, MiB)

    def test_a_running_vm(self, tmp_path: Path) -> None:
        path = tmp_path / "disk.vmdk"
        open_target(target_spec(path, "vmdk"), MiB).close()
        with serve(path, "vmdk") as server:
            open_source(server.spec()).close()
            with pytest.raises(TargetInUse, match="lock"):
                open_target(target_spec(path, "vmdk"), MiB)

    @pytest.mark.parametrize(
        ("image_format", "create", "says"),
        [
            ("vmdk", COMPRESSED, "only qcow2"),
            ("qcow2", {"format": "raw"}, "cannot be"),
            ("qcow2", {"backing_file": "x"}, "needs its format"),
            ("vmdk", {"subformat": "streamOptimized"}, "once"),
        ],
        ids=["compressed-vmdk", "two-formats", "backing-without-format", "stream-optimized"],
    )
    def test_what_cannot_be_made(self, tmp_path: Path, image_format: str, create: Mapping[str, Any], says: str) -> None:
        with pytest.raises(BadInput, match=says):
            open_target(target_spec(tmp_path / "disk", image_format, create), MiB)
        assert list(tmp_path.iterdir()) == []

    def test_a_missing_image_that_nobody_said_how_to_make(self, tmp_path: Path) -> None:
        with pytest.raises(Unreadable, match="not there"):
            open_target(EndpointSpec("image", str(tmp_path / "disk"), "qcow2"), MiB)

    def test_one_that_is_too_small(self, tmp_path: Path) -> None:
        spec = target_spec(tmp_path / "disk.qcow2")
        open_target(spec, MiB).close()
        with pytest.raises(TargetTooSmall, match=str(MiB)):
            open_target(spec, 2 * MiB)


@pytest.mark.root
def test_a_full_file_system_is_no_space(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder)
    try:
        with (
            closing(open_target(target_spec(folder / "disk.qcow2"), 16 * MiB)) as endpoint,
            closing(endpoint.connect()) as connection,
            pytest.raises(NoSpace, match=r"disk\.qcow2"),
        ):
            connection.write(0, memoryview(random.Random(2).randbytes(4 * MiB)))
    finally:
        run("umount", folder)


CHILD = """
import sys, threading
from vmferry.engine.endpoint import EndpointSpec
from vmferry.engine.endpoints import open_target
def work():
    global endpoint
    endpoint = open_target(EndpointSpec("image", sys.argv[1], "qcow2", {"create": {"compress": True}}), 1 << 20)
worker = threading.Thread(target=work)  # the server must outlive the thread that asked for it
worker.start()
worker.join()
connection = endpoint.connect()
connection.write(0, memoryview(b"x" * 65536))
connection.flush()
print(endpoint.server_pid, flush=True)
sys.stdin.read()
"""


def test_the_server_dies_with_us_and_leaves_nothing(tmp_path: Path) -> None:
    temporary, disk = tmp_path / "tmp", tmp_path / "disk.qcow2"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", CHILD, str(disk)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as ours:
        assert ours.stdout is not None
        server = int(ours.stdout.readline())
        assert Path(f"/proc/{server}").exists()
        ours.kill()
    tick = threading.Event()
    while _lives(server):
        tick.wait(0.01)
    assert list(temporary.iterdir()) == []
    with closing(open_source(EndpointSpec("image", str(disk), "qcow2"))) as endpoint:
        assert not next(iter(endpoint.extents())).zero


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False
