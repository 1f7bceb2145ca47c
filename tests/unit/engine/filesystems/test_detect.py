# SPDX-License-Identifier: Apache-2.0
"""File systems by their magic."""

from __future__ import annotations

import struct

import pytest

from vmferry.engine.filesystems.detect import detect, detect_backup
from vmferry.engine.images.reader import BytesReader

_SIZE = 256 << 10


def _disk(*parts: tuple[int, bytes], size: int = _SIZE) -> BytesReader:
    raw = bytearray(size)
    for offset, data in parts:
        raw[offset : offset + len(data)] = data
    return BytesReader(bytes(raw), "x")


def _ext(compat: int, incompat: int, ro_compat: int) -> tuple[int, bytes]:
    return 0x438, b"\x53\xef" + bytes(0x22) + struct.pack("<III", compat, incompat, ro_compat)


_FAT = (0, b"\xeb\x3c\x90mkfs.fat" + struct.pack("<HBHBHHB", 512, 4, 4, 2, 512, 0, 0xF8))


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        pytest.param([_ext(0x38, 0x2, 0x3)], "ext2", id="ext2"),
        pytest.param([_ext(0x3C, 0x6, 0x3)], "ext3", id="ext3-with-a-journal-to-replay"),
        pytest.param([_ext(0x3C, 0x2C2, 0x46B)], "ext4", id="ext4"),
        pytest.param([_ext(0, 0x8, 0)], "ext_journal", id="journal-device"),
        pytest.param([(0, b"XFSB")], "xfs", id="xfs"),
        pytest.param([(0x10040, b"_BHRfS_M")], "btrfs", id="btrfs"),
        pytest.param([(3, b"NTFS    ")], "ntfs", id="ntfs"),
        pytest.param([_FAT, (54, b"FAT16   ")], "vfat", id="fat16"),
        pytest.param([_FAT, (510, b"\x55\xaa")], "vfat", id="fat-without-a-label"),
        pytest.param([(54, b"FAT16   ")], "unknown", id="only-the-words-fat16"),
        pytest.param([(4086, b"SWAPSPACE2")], "swap", id="swap"),
        pytest.param([(65526, b"SWAPSPACE2")], "swap", id="swap-with-large-pages"),
        pytest.param([(512, b"LABELONE")], "LVM2_member", id="lvm"),
        pytest.param([(0, b"LUKS\xba\xbe\0\x02")], "luks", id="luks"),
        pytest.param([(4096, b"\xfc\x4e\x2b\xa9")], "linux_raid_member", id="md-1.2"),
        pytest.param([(_SIZE - 8192, b"\xfc\x4e\x2b\xa9"), (0, b"XFSB")], "xfs", id="md-1.0-shows-its-content"),
        pytest.param([(_SIZE - 8192, b"\xfc\x4e\x2b\xa9")], "linux_raid_member", id="md-1.0"),
        pytest.param([(0x8001, b"CD001")], "iso9660", id="iso"),
        pytest.param([], "unknown", id="zeros"),
    ],
)
def test_the_magic_tells(parts: list[tuple[int, bytes]], expected: str) -> None:
    assert detect(_disk(*parts)) == expected


def test_only_the_given_range_is_looked_at() -> None:
    disk = _disk((8192, b"XFSB"))
    assert (detect(disk, 8192, 4096), detect(disk, 0, 4096), detect(disk, _SIZE, 0)) == ("xfs", "unknown", "unknown")


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        pytest.param([(_SIZE - 512 + 3, b"NTFS    ")], "ntfs", id="ntfs-last-sector"),
        pytest.param([(6 * 512 + 82, b"FAT32   ")], "vfat", id="fat32-sector-6"),
        pytest.param([(512, b"XAGF"), (1024, b"XAGI")], "xfs", id="xfs-group-headers"),
        pytest.param([(512, b"XAGF")], None, id="one-of-two-is-not-enough"),
        pytest.param([], None, id="zeros"),
    ],
)
def test_a_backup_tells_what_was_there(parts: list[tuple[int, bytes]], expected: str | None) -> None:
    assert detect_backup(_disk(*parts), 0, _SIZE) == expected
