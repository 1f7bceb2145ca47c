# SPDX-License-Identifier: Apache-2.0
"""Name a file system by the magic in its superblock, in plain Python.

`detect` trusts only the first superblock. `detect_backup` looks for the copies that file systems keep elsewhere: where
only those are found, the first one was destroyed, and that is damage, not an empty partition.
"""

from __future__ import annotations

import struct

from vmferry.engine.images.reader import ByteReader

UNKNOWN = "unknown"
FAMILY_EXT = ("ext2", "ext3", "ext4")
_KiB, _MiB = 1 << 10, 1 << 20

_MAGICS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"LUKS\xba\xbe", "luks"),
    (0, b"XFSB", "xfs"),
    (0x10040, b"_BHRfS_M", "btrfs"),
    (3, b"NTFS    ", "ntfs"),
    (3, b"EXFAT   ", "exfat"),
    (3, b"-FVE-FS-", "bitlocker"),
    (3, b"ReFS\0", "refs"),
    (82, b"FAT32   ", "vfat"),
    (54, b"FAT12   ", "vfat"),
    (54, b"FAT16   ", "vfat"),
    (54, b"FAT     ", "vfat"),
    (0, b"hsqs", "squashfs"),
    (0x400, b"\x10\x20\xf5\xf2", "f2fs"),
    (0x10034, b"ReIsEr", "reiserfs"),
    (0x8000, b"JFS1", "jfs"),
    (0x1000, b"\xfc\x4e\x2b\xa9", "linux_raid_member"),
    (0, b"\xfc\x4e\x2b\xa9", "linux_raid_member"),
    (0x8001, b"CD001", "iso9660"),
    (128 * _KiB, b"\x0c\xb1\xba\x00\x00\x00\x00\x00", "zfs"),
    *((page - 10, b"SWAPSPACE2", "swap") for page in (4096, 8192, 16384, 65536)),
    *((sector * 512, b"LABELONE", "LVM2_member") for sector in range(4)),
)
_HAS_JOURNAL, _JOURNAL_DEVICE = 0x4, 0x8
# What only ext4 has (the kernel's EXT3_FEATURE_*_SUPP are the rest).
_EXT3_INCOMPAT, _EXT3_RO_COMPAT = 0x2 | 0x4 | 0x10, 0x1 | 0x2 | 0x4


def detect(reader: ByteReader, offset: int = 0, length: int | None = None) -> str:
    """Name what begins at `offset`; `unknown` when nothing known does.

    Names are those of blkid: ext2 ext3 ext4 xfs btrfs ntfs vfat exfat swap LVM2_member luks linux_raid_member iso9660
    zfs f2fs squashfs reiserfs jfs bitlocker refs.
    """
    length = reader.size - offset if length is None else length
    head = reader.read_at(offset, min(length, 132 * _KiB))
    for at, magic, name in _MAGICS:
        if head[at : at + len(magic)] == magic and (name != "vfat" or _is_fat(head)):
            return name
    if head[0x438:0x43A] == b"\x53\xef":
        return _which_ext(head[0x400:0x800])
    # md metadata 1.0 stands 8 KiB before the end, rounded down to 4 KiB.
    tail_at = (length - 8 * _KiB) // 4096 * 4096
    if tail_at > 0 and reader.read_at(offset + tail_at, 4) == b"\xfc\x4e\x2b\xa9":
        return "linux_raid_member"
    return "vfat" if _is_fat(head) and head[510:512] == b"\x55\xaa" else UNKNOWN


def detect_backup(reader: ByteReader, offset: int, length: int) -> str | None:
    """Name the file system of which only a backup superblock is left; None when there is none."""
    if reader.read_at(offset + length - 512, 16)[3:11] == b"NTFS    ":
        return "ntfs"
    if reader.read_at(offset + 6 * 512, 512)[82:90] == b"FAT32   ":
        return "vfat"
    if length > 64 * _MiB + 4096 and reader.read_at(offset + 64 * _MiB + 0x40, 8) == b"_BHRfS_M":
        return "btrfs"
    # XFS keeps free space and inode headers of group 0 in the sectors behind its superblock.
    for sector in (512, 4096):
        if reader.read_at(offset + sector, 4) == b"XAGF" and reader.read_at(offset + 2 * sector, 4) == b"XAGI":
            return "xfs"
    for block in (1024, 2048, 4096):
        at = (block * 8 + (block == 1024)) * block
        raw = reader.read_at(offset + at, 1024) if at + 1024 <= length else b""
        # s_block_group_nr tells a backup from bytes that only look like one.
        if raw[0x38:0x3A] == b"\x53\xef" and raw[0x5A:0x5C] == b"\x01\x00":
            return _which_ext(raw)
    return None


def _which_ext(superblock: bytes) -> str:
    compat, incompat, ro_compat = struct.unpack_from("<III", superblock.ljust(0x68, b"\0"), 0x5C)
    if incompat & _JOURNAL_DEVICE:
        return "ext_journal"
    if incompat & ~_EXT3_INCOMPAT or ro_compat & ~_EXT3_RO_COMPAT:
        return "ext4"
    return "ext3" if compat & _HAS_JOURNAL else "ext2"


def _is_fat(head: bytes) -> bool:
    """Check the parameters that every FAT boot sector must have; its label string alone proves nothing."""
    if len(head) < 512 or head[0] not in (0xEB, 0xE9):
        return False
    sector, per_cluster, reserved, fats = struct.unpack_from("<HBHB", head, 11)
    media = head[21]
    return (
        sector in (512, 1024, 2048, 4096)
        and per_cluster > 0
        and per_cluster & (per_cluster - 1) == 0
        and reserved > 0
        and 1 <= fats <= 2
        and (media == 0xF0 or media >= 0xF8)
    )
