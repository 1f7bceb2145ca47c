# SPDX-License-Identifier: Apache-2.0
"""Files and devices as targets: who else uses them, when they are full, what is no target at all."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from lab.nbd import serve
from tests.contract.endpoint_kinds import loop_device, make_hole, run

from vmferry.engine.endpoint import EndpointSpec
from vmferry.engine.endpoints import open_source, open_target
from vmferry.engine.errors import NoSpace, SourceChanged, SourceError, TargetInUse, TargetTooSmall, Unreadable
from vmferry.engine.journal import Journal
from vmferry.engine.pump.passes import copy, journal_header
from vmferry.engine.pump.result import CopyOptions
from vmferry.engine.units import KiB, MiB


def file_spec(path: Path | str) -> EndpointSpec:
    return EndpointSpec("file", str(path))


def make_file_system(path: Path) -> Path:
    make_hole(path, 16 * MiB)
    run("mkfs.ext4", "-q", path)
    return path


@contextmanager
def mounted(folder: Path, what: Path | str, *options: str) -> Iterator[Path]:
    folder.mkdir()
    run("mount", *options, what, folder)
    try:
        yield folder
    finally:
        run("umount", folder)


def test_a_new_file_is_a_hole_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new.raw"
    with closing(open_target(file_spec(path), 10_000_001)) as endpoint:
        assert endpoint.reads_zero
        assert (path.stat().st_size, path.stat().st_blocks, path.stat().st_mode & 0o777) == (10_000_001, 0, 0o600)


def test_an_empty_file_counts_as_new_and_keeps_its_inode(tmp_path: Path) -> None:
    """What a kill between creating and sizing leaves."""
    path = tmp_path / "new.raw"
    path.touch()
    inode = path.stat().st_ino
    with closing(open_target(file_spec(path), MiB)) as endpoint:
        assert endpoint.reads_zero
    assert (path.stat().st_ino, path.stat().st_size) == (inode, MiB)


def test_only_one_of_us_writes(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    with closing(open_target(file_spec(path), MiB)), pytest.raises(TargetInUse, match="another vmferry"):
        open_target(file_spec(path), MiB)
    open_target(file_spec(path), MiB).close()


def test_qemu_and_we_keep_each_other_out(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    make_hole(path, MiB)
    with serve(path) as server:
        open_source(server.spec()).close()
        with pytest.raises(TargetInUse, match="qemu"):
            open_target(file_spec(path), MiB)
    with closing(open_target(file_spec(path), MiB)), pytest.raises(AssertionError, match="lock"):
        run("qemu-io", "-f", "raw", "-c", "write 0 4k", path)


@pytest.mark.root
def test_a_mounted_device_is_in_use_and_the_mount_point_is_named(tmp_path: Path) -> None:
    with ExitStack() as stack:
        device = stack.enter_context(loop_device(make_file_system(tmp_path / "fs")))
        folder = stack.enter_context(mounted(tmp_path / "mounted", device))
        with pytest.raises(TargetInUse, match=str(folder)):
            open_target(file_spec(device), MiB)


@pytest.mark.root
def test_a_device_may_be_larger_but_not_smaller(tmp_path: Path) -> None:
    make_hole(tmp_path / "disk", 4 * MiB)
    with loop_device(tmp_path / "disk") as device:
        with pytest.raises(TargetTooSmall) as caught:
            open_target(file_spec(device), 4 * MiB + 1)
        assert str(4 * MiB) in caught.value.what
        with closing(open_target(file_spec(device), 1000)) as endpoint, closing(endpoint.connect()) as connection:
            connection.write(0, memoryview(b"x" * 1000))
            connection.flush()
            with pytest.raises(TargetInUse, match="another program"):
                open_target(file_spec(device), 1000)


@pytest.mark.root
def test_a_full_file_system_is_no_space_and_a_second_try_goes_on(tmp_path: Path) -> None:
    data = memoryview(random.Random(1).randbytes(2 * MiB))
    with mounted(tmp_path / "small", "tmpfs", "-t", "tmpfs", "-o", "size=2m") as folder:
        ballast = folder / "ballast"
        ballast.write_bytes(bytes(MiB))
        target = open_target(file_spec(folder / "disk.raw"), 64 * MiB)
        with closing(target) as endpoint, closing(endpoint.connect()) as connection:
            with pytest.raises(NoSpace, match=r"cannot write .* at offset") as caught:
                connection.write(0, data)
            assert "free space" in caught.value.fix
            ballast.unlink()
            connection.write(0, data[:MiB])
            connection.flush()


@pytest.mark.root
def test_a_file_system_that_takes_no_such_file_says_so(tmp_path: Path) -> None:
    image = make_file_system(tmp_path / "fs")
    with mounted(tmp_path / "mounted", image, "-o", "loop") as folder:
        with pytest.raises(TargetTooSmall, match="cannot hold"):
            open_target(file_spec(folder / "disk.raw"), 1 << 60)
        assert not (folder / "disk.raw").exists()


@pytest.mark.parametrize("opener", [open_source, lambda spec: open_target(spec, MiB)], ids=["source", "target"])
def test_what_is_no_disk_is_unreadable(tmp_path: Path, opener: object) -> None:
    assert callable(opener)
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/null"), tmp_path / "no" / "such"):
        with pytest.raises(Unreadable, match=str(path)):
            opener(file_spec(path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pipe"]


def test_a_source_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="No such file"):
        open_source(file_spec(tmp_path / "x"))
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_shrinks_is_an_error_with_its_offset(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(b"x" * MiB)
    with closing(open_source(file_spec(path))) as endpoint, closing(endpoint.connect()) as connection:
        os.truncate(path, 100_000)
        with pytest.raises(SourceError, match="100000"):
            connection.read_into(64 * KiB, memoryview(bytearray(64 * KiB)))


def test_a_source_that_changed_has_another_identity(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(b"x" * MiB)
    with closing(open_source(file_spec(path))) as endpoint:
        before = endpoint.identity
    os.utime(path, ns=(1, 1))
    with closing(open_source(file_spec(path))) as endpoint:
        assert endpoint.identity != before


def test_a_change_between_journal_and_first_read_counts(tmp_path: Path) -> None:
    disk, target = tmp_path / "disk.raw", tmp_path / "copy.raw"
    disk.write_bytes(bytes(range(256)) * 4096)
    with (
        closing(open_source(file_spec(disk))) as source,
        closing(open_target(file_spec(target), source.size)) as written,
        Journal.open(tmp_path / "journal", journal_header(source, written, CopyOptions())) as journal,
    ):
        with disk.open("r+b") as file:
            file.write(b"x")
        with pytest.raises(SourceChanged, match="was changed"):
            copy(source, written, journal=journal)
