# SPDX-License-Identifier: Apache-2.0
"""The digests a proof is made of: leaf, group and root. Leaves that are all zeros are implied."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from typing import NamedTuple

from vmferry.engine.units import GROUP_BYTES, LEAF_BYTES

DIGEST_BYTES = 32
ALL_LEAVES = (1 << 64) - 1
_ROOT_PREFIX = b"vmferry root 1\n"
_U64 = struct.Struct("<Q")


class ProofGroup(NamedTuple):
    """The leaves of 4 MiB of a disk."""

    number: int
    """Offset of the group in the disk, divided by 4 MiB."""
    changed: int
    """Bit i set: leaf i is described here. In a full proof, the leaves with data."""
    data: int
    """Bit i set: leaf i is not all zeros. Always a part of `changed`."""
    digest: bytes
    """Digest of the whole group as it reads now, inherited leaves included; empty bytes until it is known."""
    leaves: tuple[bytes, ...]
    """SHA-256 of each leaf in `data`, ascending."""


def leaf_count(size_bytes: int) -> int:
    """Count the leaves of a disk; the last one may be short."""
    return -(-size_bytes // LEAF_BYTES)


def group_count(size_bytes: int) -> int:
    """Count the groups of a disk; the last one may be short."""
    return -(-size_bytes // GROUP_BYTES)


def bits(mask: int) -> Iterator[int]:
    """Yield the numbers of the bits that are set, ascending."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def runs(mask: int) -> Iterator[tuple[int, int]]:
    """Yield (first bit, count) for each run of set bits, ascending."""
    while mask:
        first = (mask & -mask).bit_length() - 1
        shifted = mask >> first
        count = ((~shifted) & (shifted + 1)).bit_length() - 1
        yield first, count
        mask &= ~(((1 << count) - 1) << first)


def count_bits(mask: int) -> int:
    """Count the set bits (int.bit_count came with Python 3.10)."""
    return bin(mask).count("1")


def group_digest(data: int, leaves: tuple[bytes, ...]) -> bytes:
    """Digest a group: which of its leaves have data, and their digests."""
    return hashlib.sha256(_U64.pack(data) + b"".join(leaves)).digest()


def overlay(lower: ProofGroup | None, upper: ProofGroup) -> ProofGroup:
    """Describe the group as it reads when `upper`'s leaves lie over `lower`'s; the digest is computed."""
    if lower is None or not lower.data & ~upper.changed:
        return upper._replace(digest=group_digest(upper.data, upper.leaves))
    seen: dict[int, bytes] = dict(zip(bits(lower.data), lower.leaves))
    for bit in bits(upper.changed):
        seen.pop(bit, None)
    seen.update(zip(bits(upper.data), upper.leaves))
    data = sum(1 << bit for bit in seen)
    leaves = tuple(seen[bit] for bit in sorted(seen))
    return ProofGroup(upper.number, lower.changed | upper.changed, data, group_digest(data, leaves), leaves)


class RootHasher:
    """Computes a root; groups come in ascending order, groups that are all zeros are left out."""

    def __init__(self, size_bytes: int) -> None:
        self._hash = hashlib.sha256(_ROOT_PREFIX + _U64.pack(size_bytes))

    def add(self, index: int, digest: bytes) -> None:
        """Take the next group into account."""
        self._hash.update(_U64.pack(index) + digest)

    def root(self) -> bytes:
        """Give the root over everything added so far."""
        return self._hash.digest()


ZERO_GROUP_DIGEST = group_digest(0, ())
"""Digest of a group that has become all zeros; such a group does not enter the root."""
