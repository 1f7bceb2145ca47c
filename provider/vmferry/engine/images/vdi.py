# SPDX-License-Identifier: Apache-2.0
"""Read the header of a VirtualBox VDI and refuse differencing disks."""

from __future__ import annotations

import struct

from vmferry.engine.errors import NotADiskImage, RefusedImage
from vmferry.engine.images.facts import ImageFacts, Limits, check_inside, check_virtual_size
from vmferry.engine.images.reader import ByteReader

_KINDS = {1: "dynamic", 2: "static"}


def read_vdi(reader: ByteReader, limits: Limits) -> ImageFacts:
    """Say what a VDI is; raises `RefusedImage` or `NotADiskImage`."""
    raw = reader.read_at(0, 512)
    if len(raw) < 512:
        raise NotADiskImage(f"{reader.name}: its VDI header is cut off")
    version, _, kind = struct.unpack_from("<III", raw, 0x44)
    map_at, _data_at = struct.unpack_from("<II", raw, 0x154)
    size_bytes, block_bytes, _, blocks = struct.unpack_from("<QIII", raw, 0x170)
    if version != 0x00010001:
        raise RefusedImage(f"{reader.name}: is VDI of the unknown version {version:#x}")
    # uuid_link and uuid_parent: who has them is the delta of that disk.
    if raw[0x1A8:0x1C8].strip(b"\0") or kind not in _KINDS:
        raise RefusedImage(f"{reader.name}: is the delta of another VDI", fix="clone it with VBoxManage clonemedium")
    check_virtual_size(reader.name, size_bytes, limits)
    if block_bytes < 512 or block_bytes & (block_bytes - 1) or blocks * block_bytes < size_bytes:
        raise RefusedImage(f"{reader.name}: its VDI block map cannot hold the disk")
    check_inside(reader.name, "block map", map_at, blocks * 4, reader.size)
    return ImageFacts(
        reader.name, "vdi", size_bytes, reader.size, subformat=_KINDS[kind], cluster_size_bytes=block_bytes
    )
