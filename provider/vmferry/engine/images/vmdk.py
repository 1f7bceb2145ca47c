# SPDX-License-Identifier: Apache-2.0
"""Read a VMDK header or descriptor and refuse every one that names another file.

qemu looks for `parentFileNameHint` at byte 0x200 of a sparse VMDK whatever its header says, and takes a sparse VMDK of
capacity 0 for a carrier of a descriptor whose extents it then opens (block/vmdk.c); both ways are closed here.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from vmferry.engine.errors import NotADiskImage, RefusedImage
from vmferry.engine.images.facts import ImageFacts, Limits, check_inside, check_virtual_size
from vmferry.engine.images.reader import ByteReader, FileReader

_SPARSE = struct.Struct("<4sIIQQQQIQQQ")
_COWD = struct.Struct("<4sIIIIII")
_DESCRIPTOR_BYTES = 20 * 512
_MAX_DESCRIPTOR_FILE_BYTES = 2 << 20
_GD_AT_END = (1 << 64) - 1
_MAX_DIRECTORY_BYTES = 32 << 20
_EXTENT = re.compile(r'^\s*(RW|RDONLY|NOACCESS)\s+(\d+)\s+(\w+)(?:\s+"([^"\n]*)")?', re.IGNORECASE | re.MULTILINE)
_SETTING = re.compile(r'^\s*([\w.]+)\s*=\s*"?([^"\r\n]*?)"?\s*$', re.MULTILINE)


class VmdkExtent(NamedTuple):
    """One line of a descriptor: how many sectors, of which kind, in which file."""

    sectors: int
    kind: str
    file_name: str


class Descriptor(NamedTuple):
    """A VMDK's own account of itself."""

    create_type: str
    parent: str | None
    """What it says it is a delta of; None when it stands alone."""
    extents: tuple[VmdkExtent, ...]


def read_vmdk(reader: ByteReader, limits: Limits, *, allow_extents_beside: bool = False) -> ImageFacts:
    """Say what a VMDK is; raises `RefusedImage` or `NotADiskImage`."""
    magic = reader.read_at(0, 4)
    if magic == b"KDMV":
        facts = _read_sparse(reader)
    elif magic == b"COWD":
        facts = _read_cowd(reader)
    else:
        facts = _read_descriptor_file(reader, allow_extents_beside)
    check_virtual_size(reader.name, facts.virtual_size_bytes or 0, limits)
    return facts


def parse_descriptor(raw: bytes) -> Descriptor:
    """Read the text of a descriptor."""
    text = raw.split(b"\0", 1)[0].decode("utf-8", "replace")
    settings = {key.lower(): value for key, value in _SETTING.findall(text)}
    parent_cid = settings.get("parentcid", "ffffffff").strip().lower()
    parent = settings.get("parentfilenamehint")
    # A hint on a line that does not parse still counts: qemu searches the bytes, not the lines.
    if parent is None and b"parentfilenamehint" in raw.lower():
        parent = "(unreadable)"
    if parent is None and parent_cid not in ("ffffffff", ""):
        parent = f"CID {parent_cid}"
    extents = tuple(VmdkExtent(int(n), kind.upper(), name) for _, n, kind, name in _EXTENT.findall(text))
    return Descriptor(settings.get("createtype", ""), parent, extents)


def _read_sparse(reader: ByteReader) -> ImageFacts:
    raw = reader.read_at(0, 512)
    if len(raw) < 512:
        raise NotADiskImage(f"{reader.name}: its VMDK header is cut off")
    fields = _SPARSE.unpack_from(raw)
    version, flags, capacity, grain, descriptor_at, descriptor_sectors, entries = fields[1:8]
    directory_at = fields[9]
    if version not in (1, 2, 3):
        raise RefusedImage(f"{reader.name}: is VMDK of the unknown version {version}")
    if capacity == 0:
        raise RefusedImage(f"{reader.name}: is a VMDK without sectors of its own, it would lead to other files")
    if not (8 <= grain <= 2**16 and grain & (grain - 1) == 0 and 0 < entries <= 512):
        raise RefusedImage(f"{reader.name}: its VMDK header makes no sense (grain {grain}, {entries} entries a table)")
    directory_bytes = -(-capacity // (grain * entries)) * 4
    if directory_bytes > _MAX_DIRECTORY_BYTES:
        raise RefusedImage(f"{reader.name}: says its disk is {capacity} sectors, more than a VMDK can hold")
    if directory_at != _GD_AT_END:
        check_inside(reader.name, "grain directory", directory_at * 512, directory_bytes, reader.size)
    elif _footer_capacity(reader) != capacity:
        raise RefusedImage(f"{reader.name}: its VMDK footer is missing or wrong", fix="was it copied to its end?")
    kind = _check_embedded(reader, descriptor_at * 512, descriptor_sectors * 512)
    subformat = kind or ("streamOptimized" if flags & (1 << 16) else "monolithicSparse")
    return ImageFacts(
        reader.name, "vmdk", capacity * 512, reader.size, subformat=subformat, cluster_size_bytes=grain * 512
    )


def _footer_capacity(reader: ByteReader) -> int | None:
    """Read the footer of a stream-optimised VMDK: qemu believes it more than the header."""
    raw = reader.read_at(max(0, reader.size - 1024), 512)
    return int.from_bytes(raw[12:20], "little") if raw.startswith(b"KDMV") else None


def _check_embedded(reader: ByteReader, at: int, length: int) -> str:
    """Refuse parents and paths in any descriptor inside a sparse VMDK; gives its createType, if it has one."""
    texts = {reader.read_at(0x200, _DESCRIPTOR_BYTES)}
    if at:
        texts.add(reader.read_at(at, max(_DESCRIPTOR_BYTES, min(length, _MAX_DESCRIPTOR_FILE_BYTES))))
    kind = ""
    for text in texts:
        descriptor = parse_descriptor(text)
        _refuse_parent(reader.name, descriptor)
        names = [extent.file_name for extent in descriptor.extents]
        odd = [name for name in names if "/" in name or "\\" in name]
        if odd or len(names) > 1:
            raise RefusedImage(f"{reader.name}: its descriptor names other files: {(odd or names)[0]!r}")
        kind = kind or descriptor.create_type
    return kind


def _read_cowd(reader: ByteReader) -> ImageFacts:
    raw = reader.read_at(0, 2048)
    if len(raw) < 2048:
        raise NotADiskImage(f"{reader.name}: its VMDK header is cut off")
    _, _, flags, sectors, grain, directory_at, directory_entries = _COWD.unpack_from(raw)
    # In a delta (flag 1 "root" not set) the parent's file name stands where a root disk keeps its geometry.
    if not flags & 1 and raw[28 : 28 + 1024].strip(b"\0"):
        raise RefusedImage(f"{reader.name}: is the delta of another VMDK", fix="give the consolidated disk")
    _check_embedded(reader, 0, 0)
    if not (0 < grain <= 2**16 and sectors):
        raise RefusedImage(f"{reader.name}: its VMDK header makes no sense (grain {grain}, {sectors} sectors)")
    check_inside(reader.name, "grain directory", directory_at * 512, directory_entries * 4, reader.size)
    return ImageFacts(
        reader.name, "vmdk", sectors * 512, reader.size, subformat="vmfsSparse", cluster_size_bytes=grain * 512
    )


def _read_descriptor_file(reader: ByteReader, allow_extents_beside: bool) -> ImageFacts:
    if reader.size > _MAX_DESCRIPTOR_FILE_BYTES:
        raise NotADiskImage(f"{reader.name}: is no VMDK: it begins like a descriptor but is {reader.size} bytes long")
    descriptor = parse_descriptor(reader.read_at(0, reader.size))
    _refuse_parent(reader.name, descriptor)
    if not descriptor.extents:
        raise NotADiskImage(f"{reader.name}: is a VMDK descriptor without extents")
    for extent in descriptor.extents:
        _check_extent_name(reader.name, extent, allow_extents_beside)
        _refuse_link(reader, extent)
    sectors = sum(extent.sectors for extent in descriptor.extents)
    return ImageFacts(
        reader.name, "vmdk", sectors * 512, reader.size, subformat=descriptor.create_type or "unknown",
        notes=tuple(f"data is in {extent.file_name}" for extent in descriptor.extents if extent.file_name),
    )  # fmt: skip


def _check_extent_name(name: str, extent: VmdkExtent, allow_beside: bool) -> None:
    if not allow_beside:
        raise RefusedImage(
            f"{name}: its descriptor names another file: {extent.file_name or '(unreadable)'!r}",
            fix="make it one file: qemu-img convert -O vmdk, or vmkfstools / ovftool",
        )
    if extent.kind == "ZERO" and not extent.file_name:
        return
    odd = any(mark in extent.file_name for mark in ("/", "\\", ":")) or extent.file_name in ("", ".", "..")
    if odd:
        raise RefusedImage(f"{name}: its descriptor names a file that is not beside it: {extent.file_name!r}")


def _refuse_link(reader: ByteReader, extent: VmdkExtent) -> None:
    """A link beside it, unpacked from the same archive, leads as far away as a path would."""
    if isinstance(reader, FileReader) and (reader.path.parent / extent.file_name).is_symlink():
        raise RefusedImage(f"{reader.name}: its descriptor names a symbolic link: {extent.file_name!r}")


def _refuse_parent(name: str, descriptor: Descriptor) -> None:
    if descriptor.parent is not None:
        raise RefusedImage(
            f"{name}: is the delta of another VMDK ({descriptor.parent!r})",
            fix="remove the VM's snapshots, then export it",
        )
