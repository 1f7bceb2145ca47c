# SPDX-License-Identifier: Apache-2.0
"""Where things are in a proof file: header, index, leaves, seal. See docs/format.md."""

from __future__ import annotations

import enum
import struct
from typing import NamedTuple

from vmferry.engine.errors import ProofError
from vmferry.engine.units import GROUP_BYTES, LEAF_BYTES

MAGIC = b"VMFPROOF"
VERSION = 1
SEAL_BYTES = 32
"""SHA-256 of everything before it: a flipped bit in the proof itself is found."""

_HEADER = struct.Struct("<8sIIQIIQQ32s32s")
ENTRY = struct.Struct("<QQQQ32s")
"""index · number of the first leaf digest · changed · data · group digest"""
HEADER_BYTES = _HEADER.size


class ProofKind(enum.Enum):
    """What the proof's groups are."""

    FULL = "full"
    """Every group with data; what is absent reads as zeros."""
    INCREMENTAL = "incremental"
    """Only leaves that changed; what is absent is as in the parent."""


_KINDS = (ProofKind.FULL, ProofKind.INCREMENTAL)


class Header(NamedTuple):
    """The first bytes of a proof file."""

    kind: ProofKind
    size_bytes: int
    groups: int
    leaves: int
    root: bytes
    parent_root: bytes

    @property
    def leaves_offset(self) -> int:
        """Where the leaf digests begin."""
        return HEADER_BYTES + self.groups * ENTRY.size

    @property
    def file_bytes(self) -> int:
        """How long the whole file must be."""
        return self.leaves_offset + self.leaves * 32 + SEAL_BYTES


def pack_header(header: Header) -> bytes:
    """Turn into what `unpack_header` reads."""
    kind = _KINDS.index(header.kind)
    return _HEADER.pack(
        MAGIC, VERSION, kind, header.size_bytes, LEAF_BYTES, GROUP_BYTES, header.groups, header.leaves,
        header.root, header.parent_root,
    )  # fmt: skip


def unpack_header(raw: bytes, name: str) -> Header:
    """Read a header, or say why it cannot be one."""
    if len(raw) < HEADER_BYTES or raw[:8] != MAGIC:
        raise ProofError(f"{name} is not a proof file", fix="it is torn or something else; verify the backup")
    _, version, kind, size, leaf, group, groups, leaves, root, parent_root = _HEADER.unpack(raw[:HEADER_BYTES])
    if version > VERSION:
        raise ProofError(f"{name} has proof format {version}, this engine reads up to {VERSION}", fix="upgrade vmferry")
    if kind >= len(_KINDS) or (leaf, group) != (LEAF_BYTES, GROUP_BYTES):
        raise ProofError(f"{name} has a damaged header", fix="verify the backup")
    return Header(_KINDS[kind], size, groups, leaves, root, parent_root)
