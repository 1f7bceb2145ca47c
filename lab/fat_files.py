# SPDX-License-Identifier: Apache-2.0
"""Writes files into the root folder of a fresh FAT32 file system (mtools, which could, is not needed anywhere else)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

_END = 0x0FFFFFFF
_ENTRY_BYTES = 32


def write_fat_files(path: Path, files: Mapping[str, bytes]) -> None:
    """Add files with 8.3 names; the file system must be FAT32, empty and made by mkfs.vfat."""
    image = bytearray(path.read_bytes())
    sector, per_cluster, reserved, fats = struct.unpack_from("<HBHB", image, 11)
    fat_bytes = struct.unpack_from("<I", image, 36)[0] * sector
    cluster_bytes = sector * per_cluster
    data_at = reserved * sector + fats * fat_bytes
    table = bytearray(image[reserved * sector :][:fat_bytes])
    next_free = 3

    def store(content: bytes, first: int | None = None) -> int:
        nonlocal next_free
        count = -(-len(content) // cluster_bytes)
        chain = [first] if first is not None else []
        while len(chain) < count:
            chain.append(next_free)
            next_free += 1
        for index, cluster in enumerate(chain):
            following = chain[index + 1] if index + 1 < len(chain) else _END
            struct.pack_into("<I", table, 4 * cluster, following)
            part = content[index * cluster_bytes :][:cluster_bytes].ljust(cluster_bytes, b"\0")
            at = data_at + (cluster - 2) * cluster_bytes
            image[at : at + cluster_bytes] = part
        return chain[0] if chain else 0

    entries = b"".join(_entry(name, store(content), len(content)) for name, content in files.items())
    store(entries or bytes(_ENTRY_BYTES), first=2)
    for copy in range(fats):
        at = reserved * sector + copy * fat_bytes
        image[at : at + fat_bytes] = table
    info = struct.unpack_from("<H", image, 48)[0] * sector
    used = next_free - 2
    free = struct.unpack_from("<I", image, info + 488)[0] - (used - 1)
    struct.pack_into("<II", image, info + 488, free, next_free - 1)
    path.write_bytes(image)


def _entry(name: str, cluster: int, size: int) -> bytes:
    stem, _, suffix = name.upper().partition(".")
    short = stem.ljust(8).encode("ascii") + suffix.ljust(3).encode("ascii")
    return struct.pack("<11sB8xHIHI", short, 0x20, cluster >> 16, 0, cluster & 0xFFFF, size)
