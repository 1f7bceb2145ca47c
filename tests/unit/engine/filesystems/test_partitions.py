# SPDX-License-Identifier: Apache-2.0
"""Partition tables as sgdisk and sfdisk write them, whole and damaged, with sectors of 512 and 4096 bytes."""

from __future__ import annotations

import subprocess
import zlib
from pathlib import Path

import pytest

from vmferry.engine.filesystems.partitions import read_table
from vmferry.engine.filesystems.table import Table
from vmferry.engine.images.reader import BytesReader, FileReader

MiB = 1 << 20
_LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"


def _make(tmp_path: Path, script: str, size: int = 64 * MiB) -> Path:
    path = tmp_path / "disk"
    path.touch()
    with path.open("r+b") as file:
        file.truncate(size)
    subprocess.run(["/usr/sbin/sfdisk", "-q", str(path)], input=script.encode(), check=True)
    return path


def _read(path: Path) -> Table:
    with FileReader(path) as reader:
        return read_table(reader)


def _flip(path: Path, offset: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[offset] ^= 4
    path.write_bytes(raw)


_GPT = f'label: gpt\nstart=2048, size=20480, type={_LINUX}, name="root"\n\nstart=40960, size=2048, type={_LINUX}\n'


def test_a_gpt_is_read(tmp_path: Path) -> None:
    table = _read(_make(tmp_path, _GPT))
    assert (table.kind, table.problems, table.notes) == ("gpt", (), ())
    assert [(one.number, one.start, one.length, one.name) for one in table.partitions] == [
        (1, MiB, 10 * MiB, "root"),
        (2, 20 * MiB, MiB, ""),
    ]
    assert table.partitions[0].type_id == _LINUX


@pytest.mark.parametrize(
    ("offset", "problem"),
    [
        pytest.param(512, "first GPT header is damaged", id="first-signature"),
        pytest.param(512 + 40, "first GPT header is damaged", id="first-header"),
        pytest.param(1024 + 32, "first GPT header is damaged", id="first-entries"),
        pytest.param(64 * MiB - 512 + 24, "backup GPT header is damaged", id="backup-header"),
        pytest.param(64 * MiB - 33 * 512 + 32, "backup GPT header is damaged", id="backup-entries"),
        pytest.param(446 + 4, "protective MBR is gone", id="protective-mbr"),
    ],
)
def test_a_gpt_with_one_damaged_part_is_read_from_the_other(tmp_path: Path, offset: int, problem: str) -> None:
    path = _make(tmp_path, _GPT)
    sound = _read(path)
    _flip(path, offset)
    table = _read(path)
    assert table.partitions == sound.partitions
    assert len(table.problems) == 1
    assert problem in table.problems[0]


def test_a_gpt_with_both_copies_damaged_says_so(tmp_path: Path) -> None:
    path = _make(tmp_path, _GPT)
    _flip(path, 512 + 40)
    _flip(path, 64 * MiB - 512 + 40)
    assert _read(path) == Table("gpt", problems=("both copies of the GPT are damaged",))


def test_an_enlarged_disk_is_no_damage_and_a_cut_one_is(tmp_path: Path) -> None:
    path = _make(tmp_path, _GPT)
    with path.open("r+b") as file:
        file.truncate(80 * MiB)
    assert (_read(path).problems, len(_read(path).notes)) == ((), 1)
    with path.open("r+b") as file:
        file.truncate(60 * MiB)
    assert _read(path).problems == ("the disk is shorter than its GPT says",)


def test_a_gpt_in_sectors_of_4096_is_read(tmp_path: Path) -> None:
    """No program makes one in a file, so a real one is set wider: the same fields, counted in larger sectors."""
    raw = _make(tmp_path, _GPT).read_bytes()
    wide = b"".join(raw[at : at + 512].ljust(4096, b"\0") for at in range(0, 2 * 512, 512)) + raw[1024 : 34 * 512]
    size = 64 * MiB * 8
    table = read_table(BytesReader(wide, "wide", size_bytes=size))
    assert (table.sector_bytes, table.partitions[0].start) == (4096, 8 * MiB)


def test_an_mbr_with_logical_partitions_is_read(tmp_path: Path) -> None:
    script = "label: dos\nstart=2048, size=20480, type=83\nstart=40960, size=61440, type=5\n"
    script += "start=43008, size=2048, type=83\nstart=49152, size=4096, type=82\n"
    table = _read(_make(tmp_path, script))
    assert (table.kind, table.problems) == ("mbr", ())
    assert [(one.number, one.start // 512, one.length // 512, one.type_id) for one in table.partitions] == [
        (1, 2048, 20480, "83"),
        (5, 43008, 2048, "83"),
        (6, 49152, 4096, "82"),
    ]


def test_a_damaged_chain_of_logical_partitions_is_a_problem(tmp_path: Path) -> None:
    script = "label: dos\nstart=40960, size=61440, type=5\nstart=43008, size=2048, type=83\n"
    path = _make(tmp_path, script)
    _flip(path, 40960 * 512 + 511)
    assert _read(path).problems == ("the extended partition's table at sector 40960 is damaged",)


def _mbr(*entries: tuple[int, int, int]) -> bytes:
    slots = b"".join(
        bytes([0, 0, 0, 0, kind, 0, 0, 0]) + first.to_bytes(4, "little") + count.to_bytes(4, "little")
        for kind, first, count in entries
    )
    return bytes(446) + slots.ljust(64, b"\0") + b"\x55\xaa"


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        pytest.param([(0x83, 8, 1000)], "partition 1 lies behind the end of the disk", id="behind-the-end"),
        pytest.param([(0x83, 8, 20), (0x83, 10, 20)], "partitions 1 and 2 overlap", id="overlap"),
        pytest.param([(0x05, 0, 50)], "the extended partition's tables run in a circle", id="circle"),
    ],
)
def test_partitions_that_cannot_be_are_problems(entries: list[tuple[int, int, int]], problem: str) -> None:
    assert read_table(BytesReader(_mbr(*entries) + bytes(100 * 512), "x"), 512).problems == (problem,)


def test_an_mbr_in_sectors_of_4096_is_recognised_by_what_its_partitions_hold() -> None:
    disk = bytearray(_mbr((0x83, 4, 16)) + bytes(100 * 4096))
    disk[4 * 4096 : 4 * 4096 + 4] = b"XFSB"
    table = read_table(BytesReader(bytes(disk), "x"))
    assert (table.sector_bytes, table.partitions[0].start) == (4096, 16384)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(bytes(8192), id="zeros"),
        pytest.param(_mbr() + bytes(8192), id="mbr-without-partitions"),
        pytest.param(b"\xeb\x58\x90" + b"NTFS    " + bytes(499) + b"\x55\xaa" + bytes(8192), id="boot-sector"),
        pytest.param(bytes(446) + zlib.compress(bytes(range(256)) * 9)[:64] + b"\x55\xaa" + bytes(8192), id="noise"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_what_is_no_table_is_none(content: bytes) -> None:
    assert read_table(BytesReader(content, "x")).kind == "none"
