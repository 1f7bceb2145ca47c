# SPDX-License-Identifier: Apache-2.0
"""Read the headers, regions and metadata of a VHDX and refuse differencing disks ([MS-VHDX])."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Mapping

from vmferry.engine.errors import RefusedImage
from vmferry.engine.images.crc32c import crc32c
from vmferry.engine.images.facts import ImageFacts, Limits, check_inside, check_virtual_size
from vmferry.engine.images.reader import ByteReader

_KiB = 1 << 10
_BAT = uuid.UUID("2DC27766-F623-4200-9D64-115E9BFD4A08")
_METADATA = uuid.UUID("8B7CA206-4790-4B9A-B8FE-575F050F886E")
_PARAMETERS = uuid.UUID("CAA16737-FA36-4D43-B3B6-33F0AA44E76B")
_DISK_SIZE = uuid.UUID("2FA54224-CD1B-4876-B211-5DBED83BF4B8")
_PARENT = uuid.UUID("A8D35F2D-B30B-454D-ABF7-D3D84834AB0C")
_HAS_PARENT = 2


def read_vhdx(reader: ByteReader, limits: Limits) -> ImageFacts:
    """Say what a VHDX is; raises `RefusedImage`."""
    _check_log(reader)
    regions = _read_regions(reader)
    items = _read_metadata(reader, *regions[_METADATA])
    block_bytes, flags = struct.unpack_from("<II", items.get(_PARAMETERS, b"").ljust(8, b"\0"))
    if flags & _HAS_PARENT or _PARENT in items:
        raise RefusedImage(f"{reader.name}: is the delta of another VHDX", fix="merge it into its parent first")
    if _DISK_SIZE not in items or len(items[_DISK_SIZE]) < 8 or not 1 << 20 <= block_bytes <= 256 << 20:
        raise RefusedImage(f"{reader.name}: its VHDX metadata makes no sense")
    size_bytes = struct.unpack_from("<Q", items[_DISK_SIZE])[0]
    check_virtual_size(reader.name, size_bytes, limits)
    if regions[_BAT][1] < -(-size_bytes // block_bytes) * 8:
        raise RefusedImage(f"{reader.name}: its VHDX block table cannot hold the disk")
    return ImageFacts(
        reader.name, "vhdx", size_bytes, reader.size, subformat="dynamic" if not flags & 1 else "fixed",
        cluster_size_bytes=block_bytes,
    )  # fmt: skip


def _check_log(reader: ByteReader) -> None:
    """Find the current one of the two headers; a log that is not empty must be replayed by who made it."""
    best, log = -1, b""
    for offset in (64 * _KiB, 128 * _KiB):
        raw = reader.read_at(offset, 4 * _KiB)
        if raw.startswith(b"head") and _crc_is_right(raw):
            sequence = struct.unpack_from("<Q", raw, 8)[0]
            if sequence > best:
                best, log = sequence, raw[48:64]
    if best < 0:
        raise RefusedImage(f"{reader.name}: both VHDX headers are damaged")
    if log.strip(b"\0"):
        raise RefusedImage(
            f"{reader.name}: was not closed cleanly, its VHDX log must be replayed",
            fix="run: qemu-img check -r all on it",
        )


def _read_regions(reader: ByteReader) -> Mapping[uuid.UUID, tuple[int, int]]:
    for offset in (192 * _KiB, 256 * _KiB):
        raw = reader.read_at(offset, 64 * _KiB)
        if not raw.startswith(b"regi") or not _crc_is_right(raw):
            continue
        regions = {}
        for index in range(min(struct.unpack_from("<I", raw, 8)[0], 2047)):
            guid, start, length, required = struct.unpack_from("<16sQII", raw, 16 + 32 * index)
            kind = uuid.UUID(bytes_le=guid)
            if kind not in (_BAT, _METADATA) and required & 1:
                raise RefusedImage(f"{reader.name}: needs a VHDX feature that we do not know ({kind})")
            check_inside(reader.name, "VHDX region", start, length, reader.size)
            regions[kind] = (start, length)
        if _BAT in regions and _METADATA in regions:
            return regions
    raise RefusedImage(f"{reader.name}: its VHDX region tables are damaged")


def _read_metadata(reader: ByteReader, start: int, length: int) -> Mapping[uuid.UUID, bytes]:
    raw = reader.read_at(start, 64 * _KiB)
    if not raw.startswith(b"metadata"):
        raise RefusedImage(f"{reader.name}: its VHDX metadata is damaged")
    items = {}
    for index in range(min(struct.unpack_from("<H", raw, 10)[0], 2047)):
        guid, offset, size = struct.unpack_from("<16sII", raw, 32 + 32 * index)
        if offset + size > length or size > 1 << 20:
            raise RefusedImage(f"{reader.name}: a VHDX metadata item lies outside its region")
        items[uuid.UUID(bytes_le=guid)] = reader.read_at(start + offset, size)
    return items


def _crc_is_right(raw: bytes) -> bool:
    return crc32c(raw[:4] + bytes(4) + raw[8:]) == int.from_bytes(raw[4:8], "little")
