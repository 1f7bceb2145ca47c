# SPDX-License-Identifier: Apache-2.0
"""Read a qcow2 header and refuse what could make qemu open another file, need a key, or go astray.

Field names and limits are those of qemu's docs/interop/qcow2.txt and block/qcow2.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from vmferry.engine.errors import NotADiskImage, RefusedImage
from vmferry.engine.images.facts import ImageFacts, Limits, check_inside, check_virtual_size
from vmferry.engine.images.reader import ByteReader

_V2 = struct.Struct(">4sIQIIQIIQQIIQ")
_V3 = struct.Struct(">QQQII")
_CORRUPT, _DATA_FILE = 1 << 1, 1 << 2
_KNOWN_INCOMPATIBLE = 0b11111
_EXT_END, _EXT_DATA_FILE, _EXT_CRYPTO, _EXT_BITMAPS = 0, 0x44415441, 0x0537BE77, 0x23852875
_MAX_L1_BYTES = 32 << 20
_MAX_REFCOUNT_TABLE_BYTES = 8 << 20
_MAX_SNAPSHOTS = 65536


class _Header(NamedTuple):
    magic: bytes
    version: int
    backing_offset: int
    backing_size: int
    cluster_bits: int
    size: int
    crypt_method: int
    l1_size: int
    l1_offset: int
    refcount_offset: int
    refcount_clusters: int
    snapshots: int
    snapshots_offset: int
    incompatible: int = 0
    length: int = 72

    @property
    def cluster(self) -> int:
        return 1 << self.cluster_bits


def read_qcow2(reader: ByteReader, limits: Limits) -> ImageFacts:
    """Say what a qcow2 is; raises `RefusedImage` or `NotADiskImage`."""
    header = _read_header(reader)
    _check_other_files(reader, header)
    _check_features(reader.name, header)
    check_virtual_size(reader.name, header.size, limits)
    _check_tables(reader, header)
    extensions = set()
    for kind in _extensions(reader, header):
        if kind in (_EXT_DATA_FILE, _EXT_CRYPTO):
            what = "names an external data file" if kind == _EXT_DATA_FILE else "is encrypted and there is no key"
            raise RefusedImage(f"{reader.name}: {what}", fix="convert it where it was made, then import it again")
        extensions.add(kind)
    notes = ("was not closed cleanly (refcounts are dirty)",) if header.incompatible & 1 else ()
    return ImageFacts(
        reader.name,
        "qcow2",
        header.size,
        reader.size,
        subformat=f"v{header.version}",
        cluster_size_bytes=header.cluster,
        has_bitmaps=_EXT_BITMAPS in extensions,
        snapshots=header.snapshots,
        notes=notes,
    )


def _read_header(reader: ByteReader) -> _Header:
    raw = reader.read_at(0, _V2.size + _V3.size)
    if len(raw) < _V2.size or not raw.startswith(b"QFI\xfb"):
        raise NotADiskImage(f"{reader.name}: is no qcow2 image", fix="give its real format, or a complete file")
    header = _Header._make((*_V2.unpack_from(raw), 0, 72))
    if header.version not in (2, 3):
        raise RefusedImage(f"{reader.name}: is qcow2 of the unknown version {header.version}")
    if header.version == 3:
        if len(raw) < _V2.size + _V3.size:
            raise NotADiskImage(f"{reader.name}: its header is cut off")
        incompatible, _, _, refcount_order, length = _V3.unpack_from(raw, _V2.size)
        header = header._replace(incompatible=incompatible, length=length)
        if refcount_order > 6 or length < 104 or length % 8:
            raise RefusedImage(f"{reader.name}: its qcow2 header makes no sense (length {length})")
    if not 9 <= header.cluster_bits <= 21:
        raise RefusedImage(f"{reader.name}: its clusters are 2^{header.cluster_bits} bytes, not 512 B to 2 MiB")
    if header.length > header.cluster:
        raise RefusedImage(f"{reader.name}: its qcow2 header is longer than a cluster")
    return header


def _check_other_files(reader: ByteReader, header: _Header) -> None:
    if header.backing_offset or header.backing_size:
        named = reader.read_at(header.backing_offset, min(header.backing_size, 1023)).decode("utf-8", "replace")
        raise RefusedImage(
            f"{reader.name}: needs the backing file {named!r}",
            fix="flatten it with qemu-img convert where that file is",
        )
    if header.incompatible & _DATA_FILE:
        raise RefusedImage(
            f"{reader.name}: keeps its data in an external file",
            fix="convert it with qemu-img convert where that file is",
        )


def _check_features(name: str, header: _Header) -> None:
    if header.crypt_method:
        raise RefusedImage(f"{name}: is encrypted and there is no key", fix="decrypt it with qemu-img convert first")
    if header.incompatible & _CORRUPT:
        raise RefusedImage(f"{name}: is marked corrupt", fix="repair it with qemu-img check -r all")
    unknown = header.incompatible & ~_KNOWN_INCOMPATIBLE
    if unknown:
        raise RefusedImage(f"{name}: uses qcow2 features that we do not know ({unknown:#x})")


def _check_tables(reader: ByteReader, header: _Header) -> None:
    name, cluster = reader.name, header.cluster
    entry_bytes = 16 if header.incompatible & (1 << 4) else 8
    needed = -(-header.size // (cluster * (cluster // entry_bytes)))
    if header.l1_size < needed or header.l1_size * 8 > _MAX_L1_BYTES:
        raise RefusedImage(f"{name}: its L1 table has {header.l1_size} entries where {needed} are needed")
    refcount_bytes = header.refcount_clusters * cluster
    if refcount_bytes > _MAX_REFCOUNT_TABLE_BYTES:
        raise RefusedImage(f"{name}: its refcount table is absurdly large")
    if header.snapshots > _MAX_SNAPSHOTS:
        raise RefusedImage(f"{name}: says it has {header.snapshots} snapshots")
    places = (("L1 table", header.l1_offset), ("refcount table", header.refcount_offset))
    for what, offset in (*places, ("snapshot table", header.snapshots_offset if header.snapshots else 0)):
        if offset % cluster:
            raise RefusedImage(f"{name}: its {what} is not at the start of a cluster")
    check_inside(name, "L1 table", header.l1_offset, header.l1_size * 8, reader.size)
    check_inside(name, "refcount table", header.refcount_offset, 8 if refcount_bytes else 0, reader.size)
    check_inside(name, "snapshot table", header.snapshots_offset, header.snapshots * 40, reader.size)


def _extensions(reader: ByteReader, header: _Header) -> Iterator[int]:
    """Walk the header extensions; they end with kind 0 or with the first cluster."""
    offset = header.length
    while offset + 8 <= header.cluster:
        raw = reader.read_at(offset, 8)
        if len(raw) < 8:
            return
        kind, length = struct.unpack(">II", raw)
        if kind == _EXT_END:
            return
        if offset + 8 + length > header.cluster:
            raise RefusedImage(f"{reader.name}: a qcow2 header extension is longer than the header")
        yield kind
        offset += 8 + -(-length // 8) * 8
