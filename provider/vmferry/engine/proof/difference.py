# SPDX-License-Identifier: Apache-2.0
"""Names the guest offsets where two proofs differ, reading only what differs."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from typing import NamedTuple

from vmferry.engine.proof.chain import ProofChain
from vmferry.engine.proof.digests import ZERO_GROUP_DIGEST, ProofGroup, bits
from vmferry.engine.units import GROUP_BYTES, LEAF_BYTES


class Difference(NamedTuple):
    """A range of the disk whose bytes are not the same."""

    offset: int
    """Guest offset of the first leaf that differs."""
    length: int
    """Bytes, a multiple of 64 KiB except at the end of the disk."""


def compare(left: ProofChain, right: ProofChain) -> Iterator[Difference]:
    """Stream the ranges that differ, ascending and joined. A disk that is longer differs where it is longer."""
    if left.root == right.root:
        return
    size = max(left.size, right.size)
    pending: Difference | None = None
    for offset in _differing_leaves(left, right):
        length = min(LEAF_BYTES, size - offset)
        if pending is not None and pending.offset + pending.length == offset:
            pending = Difference(pending.offset, pending.length + length)
            continue
        if pending is not None:
            yield pending
        pending = Difference(offset, length)
    if pending is not None:
        yield pending


def _differing_leaves(left: ProofChain, right: ProofChain) -> Iterator[int]:
    for index in _differing_groups(left, right):
        ours, theirs = _leaves(left.group(index)), _leaves(right.group(index))
        for bit in sorted(set(ours) | set(theirs)):
            if ours.get(bit) != theirs.get(bit):
                yield index * GROUP_BYTES + bit * LEAF_BYTES


def _differing_groups(left: ProofChain, right: ProofChain) -> Iterator[int]:
    streams = (((number, digest) for number, digest, _ in chain.digests()) for chain in (left, right))
    for number, described in itertools.groupby(heapq.merge(*streams), key=lambda entry: entry[0]):
        digests = [digest for _, digest in described if digest != ZERO_GROUP_DIGEST]
        if len(digests) == 1 or len(set(digests)) > 1:
            yield number


def _leaves(group: ProofGroup | None) -> dict[int, bytes]:
    return {} if group is None else dict(zip(bits(group.data), group.leaves))
