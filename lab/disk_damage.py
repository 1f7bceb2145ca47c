# SPDX-License-Identifier: Apache-2.0
"""Where one flipped bit hurts: places in the metadata of every file system that the lab makes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from lab.disks import LabDisk, flip_bit

Place = Callable[[bytes], tuple[int, ...]]
"""From the bytes of a file system to the offsets inside it where a bit is flipped."""


def _ext_inode(number: int, inside: int) -> Place:
    def find(raw: bytes) -> tuple[int, ...]:
        block = 1024 << struct.unpack_from("<I", raw, 0x400 + 24)[0]
        inode_bytes = struct.unpack_from("<H", raw, 0x400 + 88)[0]
        descriptors = block if block > 1024 else 2048
        table = struct.unpack_from("<I", raw, descriptors + 8)[0] * block
        return (table + (number - 1) * inode_bytes + inside,)

    return find


def _ext_block(field: int, inside: int) -> Place:
    def find(raw: bytes) -> tuple[int, ...]:
        block = 1024 << struct.unpack_from("<I", raw, 0x400 + 24)[0]
        descriptors = block if block > 1024 else 2048
        return (struct.unpack_from("<I", raw, descriptors + field)[0] * block + inside,)

    return find


def _xfs_root_inode(inside: int) -> Place:
    def find(raw: bytes) -> tuple[int, ...]:
        block, inode_bytes = struct.unpack_from(">I", raw, 4)[0], struct.unpack_from(">H", raw, 104)[0]
        number = struct.unpack_from(">Q", raw, 56)[0]
        return (number * inode_bytes + inside if number * inode_bytes < len(raw) else block,)

    return find


def _btrfs_block(superblock_field: int, copies: int) -> Place:
    def find(raw: bytes) -> tuple[int, ...]:
        logical = struct.unpack_from("<Q", raw, 0x10000 + superblock_field)[0]
        node_bytes = struct.unpack_from("<I", raw, 0x10000 + 0x94)[0]
        found = [
            at
            for at in range(0, len(raw), 4096)
            if struct.unpack_from("<Q", raw, at + 48)[0] == logical and raw[at + 32 : at + 48] == raw[0x10020:0x10030]
        ]
        if len(found) < 2 or node_bytes < 4096:
            raise ValueError("the lab's btrfs keeps two copies of its metadata")
        return tuple(at + 101 + 7 for at in found[:copies])

    return find


def _btrfs_second_copy(raw: bytes) -> tuple[int, ...]:
    return (_btrfs_block(0x50, 2)(raw)[1],)


def _ntfs_record(number: int, inside: int) -> Place:
    def find(raw: bytes) -> tuple[int, ...]:
        sector, per_cluster = struct.unpack_from("<HB", raw, 11)
        return (struct.unpack_from("<Q", raw, 48)[0] * sector * per_cluster + number * 1024 + inside,)

    return find


def _first(magic: bytes, inside: int) -> Place:
    return lambda raw: (raw.index(magic) + inside,)


def _ntfs_bitmap(raw: bytes) -> tuple[int, ...]:
    """A byte of $Bitmap that marks the master file table as used: all ones at cluster 0 and on."""
    record = _ntfs_record(6, 0)(raw)[0]
    sector, per_cluster = struct.unpack_from("<HB", raw, 11)
    at = record + struct.unpack_from("<H", raw, record + 20)[0]
    while struct.unpack_from("<I", raw, at)[0] != 0x80:
        at += struct.unpack_from("<I", raw, at + 4)[0]
    runs = at + struct.unpack_from("<H", raw, at + 32)[0]
    length_bytes, offset_bytes = raw[runs] & 15, raw[runs] >> 4
    lcn = int.from_bytes(raw[runs + 1 + length_bytes :][:offset_bytes], "little")
    return (lcn * sector * per_cluster,)


def _fat_at(copy: int, inside: int) -> Place:
    def find(raw: bytes) -> tuple[int, ...]:
        sector, _, reserved = struct.unpack_from("<HBH", raw, 11)
        return (reserved * sector + copy * struct.unpack_from("<I", raw, 36)[0] * sector + inside,)

    return find


def _fat_both(inside: int) -> Place:
    return lambda raw: (*_fat_at(0, inside)(raw), *_fat_at(1, inside)(raw))


def _fat_entry(inside: int) -> Place:
    """A byte of a directory entry: the root folder is the first cluster behind both FATs."""
    return lambda raw: (_fat_at(2, inside)(raw)[0],)


DAMAGES: dict[str, dict[str, Place]] = {
    "ext4": {
        "superblock-block-count": lambda _: (0x400 + 4,),
        "superblock-magic": lambda _: (0x400 + 0x38,),
        "group-descriptor": lambda raw: (max(2048, 1024 << raw[0x418]) + 8,),
        "root-inode-mode": _ext_inode(2, 1),
        "file-inode-extent-magic": _ext_inode(13, 40),
        "inode-checksum": _ext_inode(12, 0x7C),
        "block-bitmap": _ext_block(0, 3),
    },
    "xfs": {
        "superblock-magic": lambda _: (0,),
        "superblock-block-count": lambda _: (15,),
        "agf": lambda _: (512 + 24,),
        "agi": lambda _: (1024 + 20,),
        "root-inode-mode": _xfs_root_inode(2),
        "root-inode-size": _xfs_root_inode(62),
        "free-space-tree": _first(b"AB3B", 7),
        "inode-tree": _first(b"IAB3", 7),
    },
    "btrfs": {
        "superblock-root": lambda _: (0x10000 + 0x50,),
        "superblock-magic": lambda _: (0x10000 + 0x40,),
        "superblock-mirror": lambda _: ((64 << 20) + 0x48,),
        "chunk-tree-one-copy": _btrfs_block(0x58, 1),
        "chunk-tree-both-copies": _btrfs_block(0x58, 2),
        "root-tree-one-copy": _btrfs_block(0x50, 1),
        "root-tree-other-copy": _btrfs_second_copy,
        "root-tree-both-copies": _btrfs_block(0x50, 2),
    },
    "ntfs": {
        "boot-sector-size": lambda _: (41,),
        "boot-sector-magic": lambda _: (4,),
        "table-record-0-runs": _ntfs_record(0, 0x140),
        "record-signature": _ntfs_record(66, 1),
        "record-fixup": _ntfs_record(66, 510),
        "record-attribute-length": _ntfs_record(66, 0x3C),
        "record-in-use": _ntfs_record(66, 22),
        "file-name": lambda raw: (
            _ntfs_record(66, 0)(raw)[0] + raw[_ntfs_record(66, 0)(raw)[0] :].index(b"F\0I\0L\0"),
        ),
        "index-block": _first(b"INDX", 0x18),
        "cluster-bitmap": _ntfs_bitmap,
        "backup-boot-sector": lambda raw: (len(raw) - 512 + 41,),
    },
    "vfat": {
        "boot-sector-magic": lambda _: (11,),
        "boot-sector-fat-size": lambda _: (37,),
        "first-fat": _fat_at(0, 4 * 8 + 1),
        "second-fat": _fat_at(1, 4 * 8 + 1),
        "both-fats": _fat_both(4 * 8 + 2),
        "entry-first-cluster": _fat_entry(32 + 27),
        "entry-size": _fat_entry(32 + 30),
    },
}
"""Kind of file system -> what is hit -> where."""


def damage(disk: LabDisk, what: str, bit: int = 0) -> tuple[int, ...]:
    """Flip one bit at each place of that damage; gives the offsets on the disk."""
    raw = _read_file_system(disk)
    offsets = tuple(disk.offset_of(inside) for inside in DAMAGES[disk.file_system][what](raw))
    for offset in offsets:
        flip_bit(disk.path, offset, bit)
    return offsets


def _read_file_system(disk: LabDisk) -> bytes:
    with Path(disk.path).open("rb") as file:
        parts = []
        for start, length in disk.runs:
            file.seek(start)
            parts.append(file.read(length))
    return b"".join(parts)
