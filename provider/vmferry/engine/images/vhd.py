# SPDX-License-Identifier: Apache-2.0
"""Read the footer of a VHD (qemu calls the format vpc) and refuse differencing disks."""

from __future__ import annotations

import struct
from typing import Any

from vmferry.engine.errors import NotADiskImage, RefusedImage
from vmferry.engine.images.facts import ImageFacts, Limits, check_inside, check_virtual_size
from vmferry.engine.images.reader import ByteReader

_FOOTER = struct.Struct(">8sIIQI4sI4sQQHBBII16s")
_DYNAMIC = struct.Struct(">8sQQIIII16s")
_KINDS = {2: "fixed", 3: "dynamic", 4: "differencing"}
_TRUST_SIZE_OF = (b"win ", b"qem2", b"d2v ", b"tap\0", b"CTXS", b"wa\0\0")
_MAX_CHS_SECTORS = 65535 * 16 * 255


def read_vhd(reader: ByteReader, limits: Limits) -> ImageFacts:
    """Say what a VHD is; raises `RefusedImage` or `NotADiskImage`."""
    raw = _find_footer(reader)
    fields = _FOOTER.unpack_from(raw)
    kind = _KINDS.get(fields[13], "unknown")
    if kind == "differencing":
        raise RefusedImage(f"{reader.name}: is the delta of another VHD", fix="merge it into its parent first")
    if kind == "unknown":
        raise RefusedImage(f"{reader.name}: is a VHD of the unknown kind {fields[13]}")
    size_bytes = _virtual_size(fields)
    check_virtual_size(reader.name, max(size_bytes, fields[9]), limits)
    block_bytes = None
    if kind == "fixed":
        check_inside(reader.name, "disk", 0, size_bytes, reader.size)
    else:
        block_bytes = _check_dynamic(reader, fields[3], size_bytes)
    return ImageFacts(reader.name, "vpc", size_bytes, reader.size, subformat=kind, cluster_size_bytes=block_bytes)


def _find_footer(reader: ByteReader) -> bytes:
    """Take the copy at the start of a dynamic disk, else the footer at the end."""
    for offset in (0, reader.size - 512, reader.size - 511):
        raw = reader.read_at(max(0, offset), 512)
        if raw.startswith(b"conectix"):
            raw = raw.ljust(512, b"\0")
            if _checksum(raw, 64) != struct.unpack_from(">I", raw, 64)[0]:
                raise RefusedImage(f"{reader.name}: the checksum of its VHD footer is wrong", fix="the file is damaged")
            return raw
    raise NotADiskImage(f"{reader.name}: is no VHD image")


def _virtual_size(fields: tuple[Any, ...]) -> int:
    """Size as qemu takes it: most programs' footers say it, old Virtual PC ones mean their geometry."""
    creator, current = fields[5], int(fields[9])
    chs: int = fields[10] * fields[11] * fields[12]
    if creator in _TRUST_SIZE_OF or chs == _MAX_CHS_SECTORS:
        return current // 512 * 512
    return chs * 512


def _check_dynamic(reader: ByteReader, offset: int, size_bytes: int) -> int:
    check_inside(reader.name, "dynamic header", offset, 1024, reader.size)
    raw = reader.read_at(offset, 1024)
    if not raw.startswith(b"cxsparse") or _checksum(raw, 36) != struct.unpack_from(">I", raw, 36)[0]:
        raise RefusedImage(f"{reader.name}: its VHD dynamic header is damaged")
    _, _, table_at, _, entries, block_bytes, _, parent = _DYNAMIC.unpack_from(raw)
    if parent.strip(b"\0") or raw[64 : 64 + 512].strip(b"\0") or raw[576 : 576 + 192].strip(b"\0"):
        raise RefusedImage(f"{reader.name}: names a parent VHD", fix="merge it into its parent first")
    if block_bytes < 512 or block_bytes & (block_bytes - 1) or entries * block_bytes < size_bytes:
        raise RefusedImage(f"{reader.name}: its VHD block table cannot hold the disk")
    check_inside(reader.name, "block table", table_at, entries * 4, reader.size)
    return int(block_bytes)


def _checksum(raw: bytes, at: int) -> int:
    return ~(sum(raw) - sum(raw[at : at + 4])) & 0xFFFFFFFF
