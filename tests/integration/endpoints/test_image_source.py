# SPDX-License-Identifier: Apache-2.0
"""Images as sources: chains, bitmaps, what is refused, and that nothing of the server is left."""

from __future__ import annotations

import os
import random
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from lab.nbd import serve
from tests.contract.endpoint_kinds import run

from vmferry.engine.endpoint import Endpoint, EndpointSpec
from vmferry.engine.endpoints import open_source
from vmferry.engine.endpoints.image import ImageEndpoint
from vmferry.engine.errors import BadInput, NotADiskImage, RefusedImage, SourceLost, ToolMissing, Unreadable
from vmferry.engine.extents import Extent
from vmferry.engine.units import GiB, KiB, MiB, TiB

LEAF = 64 * KiB


def image_spec(path: Path, image_format: str = "qcow2", **options: Any) -> EndpointSpec:
    return EndpointSpec("image", str(path), image_format, options)


def create(path: Path, size: object, *options: object) -> Path:
    run("qemu-img", "create", "-q", "-f", "qcow2", *options, path, size)
    return path


def write(path: Path, *commands: str) -> None:
    """What a guest would write."""
    run("qemu-io", "-f", "qcow2", *(word for command in commands for word in ("-c", command)), path)


def read(endpoint: Endpoint, offset: int, length: int) -> bytes:
    buffer = bytearray(length)
    with closing(endpoint.connect()) as connection:
        connection.read_into(offset, memoryview(buffer))
    return bytes(buffer)


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    base = create(tmp_path / "base.qcow2", "8M")
    write(base, "write -P 1 0 2M", "write -P 2 4M 64k")
    head = create(tmp_path / "head.qcow2", "8M", "-b", "base.qcow2", "-F", "qcow2")
    write(head, "write -P 3 64k 64k", "write -z 1M 128k", "write -P 4 6M 64k")
    return head


class TestChain:
    def test_is_refused_unless_trusted(self, chain: Path) -> None:
        with pytest.raises(RefusedImage, match=r"base\.qcow2"):
            open_source(image_spec(chain))

    def test_reads_through_all_layers(self, chain: Path) -> None:
        with closing(open_source(image_spec(chain, backing="trust"))) as endpoint:
            assert [read(endpoint, at, 1)[0] for at in (0, LEAF, MiB, 4 * MiB, 6 * MiB, 7 * MiB)] == [1, 3, 0, 2, 4, 0]
            assert not next(iter(endpoint.extents())).zero

    def test_tells_what_the_topmost_layer_has(self, chain: Path) -> None:
        with closing(open_source(image_spec(chain, backing="trust"))) as endpoint:
            assert isinstance(endpoint, ImageEndpoint)
            assert list(endpoint.allocated_extents()) == [
                Extent(LEAF, LEAF, False),
                Extent(MiB, 2 * LEAF, True),
                Extent(6 * MiB, LEAF, False),
            ]
            below = list(endpoint.allocated_extents(2))
            assert (below[0], below[-1]) == (Extent(0, LEAF, False), Extent(4 * MiB, LEAF, False))

    def test_without_its_base_is_unreadable(self, chain: Path) -> None:
        (chain.parent / "base.qcow2").unlink()
        with pytest.raises(Unreadable, match=r"base\.qcow2"):
            open_source(image_spec(chain, backing="trust"))


class TestBitmap:
    @pytest.mark.parametrize("state", ["--enable", "--disable"])
    def test_dirty_ranges_are_split_into_data_and_zero(self, tmp_path: Path, state: str) -> None:
        disk = create(tmp_path / "disk.qcow2", "16M")
        write(disk, "write -P 1 0 4M")
        run("qemu-img", "bitmap", "--add", disk, "day1")
        write(disk, "write -P 2 1M 64k", "write -z 2M 192k", "discard 3M 64k", "write -P 5 12M 100")
        run("qemu-img", "bitmap", state, disk, "day1")
        with closing(open_source(image_spec(disk, bitmap="day1"))) as endpoint:
            assert list(endpoint.extents("day1")) == [
                Extent(MiB, LEAF, False),
                Extent(2 * MiB, 3 * LEAF, True),
                Extent(3 * MiB, LEAF, True),
                Extent(12 * MiB, LEAF, False),
            ]
            assert sum(extent.length for extent in endpoint.extents()) == 16 * MiB
            with pytest.raises(BadInput, match="day2"):
                endpoint.extents("day2")

    def test_a_bitmap_that_is_not_there_is_bad_input(self, tmp_path: Path) -> None:
        disk = create(tmp_path / "disk.qcow2", "1M")
        with pytest.raises(BadInput, match="day1"):
            open_source(image_spec(disk, bitmap="day1"))


class TestRefused:
    def test_an_external_data_file(self, tmp_path: Path) -> None:
        disk = create(tmp_path / "disk.qcow2", "1M", "-o", f"data_file={tmp_path / 'other.raw'}")
        with pytest.raises(RefusedImage, match="external file"):
            open_source(image_spec(disk))

    def test_a_vmdk_that_names_another_file(self, tmp_path: Path) -> None:
        run("qemu-img", "create", "-q", "-f", "vmdk", "-o", "subformat=monolithicFlat", tmp_path / "disk.vmdk", "1M")
        with pytest.raises(RefusedImage, match="another file"):
            open_source(image_spec(tmp_path / "disk.vmdk", "vmdk"))
        with closing(open_source(image_spec(tmp_path / "disk.vmdk", "vmdk", backing="trust"))) as endpoint:
            assert endpoint.size == MiB

    @pytest.mark.parametrize("claimed", ["qcow2", "vmdk", "vpc", "vhdx", "vdi"])
    def test_another_format_than_said(self, tmp_path: Path, claimed: str) -> None:
        disk = tmp_path / "disk"
        disk.write_bytes(random.Random(1).randbytes(MiB))
        for trust in ("refuse", "trust"):
            with pytest.raises(NotADiskImage, match=str(disk)):
                open_source(image_spec(disk, claimed, backing=trust))

    def test_a_raw_disk_whose_guest_wrote_a_qcow2_header_is_raw(self, tmp_path: Path) -> None:
        trap = create(tmp_path / "trap", "1M", "-b", "/etc/hostname", "-F", "raw", "-u")
        with closing(open_source(image_spec(trap, "raw"))) as endpoint:
            assert read(endpoint, 0, 4) == b"QFI\xfb"

    def test_one_that_a_vm_writes(self, tmp_path: Path) -> None:
        disk = create(tmp_path / "disk.qcow2", "1M")
        with serve(disk, "qcow2") as server:
            open_source(server.spec()).close()
            with pytest.raises(Unreadable, match="would change") as caught:
                open_source(image_spec(disk))
            assert "lock" in caught.value.what

    def test_nonsense_in_the_options(self, tmp_path: Path) -> None:
        disk = create(tmp_path / "disk.qcow2", "1M")
        with pytest.raises(BadInput, match="maybe"):
            open_source(image_spec(disk, backing="maybe"))

    def test_without_the_tool_its_package_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        disk = create(tmp_path / "disk.qcow2", "1M")
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(ToolMissing, match="qemu-utils"):
            open_source(image_spec(disk))


def test_a_sparse_terabyte_is_known_at_once(tmp_path: Path) -> None:
    disk = create(tmp_path / "disk.qcow2", "1T")
    write(disk, f"write -P 1 {TiB - 64 * KiB} 64k", "write -P 2 512G 64k")
    with closing(open_source(image_spec(disk))) as endpoint:
        extents = list(endpoint.extents())
    assert [extent for extent in extents if not extent.zero] == [
        Extent(512 * GiB, LEAF, False),
        Extent(TiB - LEAF, LEAF, False),
    ]
    assert len(extents) == 4


def test_a_fragmented_image_gives_every_piece(tmp_path: Path) -> None:
    raw, disk, step = tmp_path / "disk.raw", tmp_path / "disk.qcow2", 16 * KiB
    count = 4000
    with raw.open("wb") as file:
        file.truncate(count * step)
        for number in range(count):
            os.pwrite(file.fileno(), b"data" * KiB, number * step)
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-S", "4k", "-o", "cluster_size=4k", raw, disk)
    with closing(open_source(image_spec(disk))) as endpoint:
        data = [extent for extent in endpoint.extents() if not extent.zero]
    assert data == [Extent(number * step, 4 * KiB, False) for number in range(count)]


def test_a_server_that_was_killed_is_lost_and_says_so(tmp_path: Path) -> None:
    disk = create(tmp_path / "disk.qcow2", "1M")
    with closing(open_source(image_spec(disk))) as endpoint, closing(endpoint.connect()) as connection:
        assert isinstance(endpoint, ImageEndpoint)
        os.kill(endpoint.server_pid, 9)
        with pytest.raises(SourceLost, match=r"disk\.qcow2"):
            connection.read_into(0, memoryview(bytearray(512)))


def test_names_of_any_kind(tmp_path: Path) -> None:
    folder = tmp_path / "a, b" / ("x" * 120)
    folder.mkdir(parents=True)
    disk = create(folder / "größe=1,2;'\".qcow2", "1M")
    with closing(open_source(image_spec(disk))) as endpoint:
        assert endpoint.size == MiB


def test_what_a_kill_in_a_bad_moment_left_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = create(tmp_path / "disk.qcow2", "1M")
    namespace = Path("/proc/self/ns/pid").stat().st_ino
    folders = {
        name: tmp_path / f"vmferry-{namespace}-{name}-x"
        for name in ("4194305", str(os.getpid()))  # the first is above any process id
    }
    for folder in folders.values():
        folder.mkdir()
        (folder / "s").touch()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    open_source(image_spec(disk)).close()
    assert [folder.exists() for folder in folders.values()] == [False, True]
