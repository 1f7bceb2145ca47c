# SPDX-License-Identifier: Apache-2.0
"""Looks whether the target of an interrupted copy still holds what the journal says was written there.

Between two tries a disk may be made anew under the same name, another one may stand at the same address, or it may be
put back to a snapshot. Its identity tells none of that. So some leaves, from all over what is done, are read back: a
target that was emptied, exchanged or put back is found out; a single byte that somebody changed is not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import closing
from typing import NamedTuple, Union

from vmferry.engine.endpoint import Connection, Endpoint
from vmferry.engine.errors import EngineError
from vmferry.engine.journal import Journal, ZeroRun
from vmferry.engine.proof.digests import ProofGroup, bits
from vmferry.engine.units import GROUP_BYTES, LEAF_BYTES

SAMPLES = 64
"""At least so many leaves are read back where there are as many, at most twice as many: some megabytes."""

_ZERO_LEAF = bytes(LEAF_BYTES)


class _Sample(NamedTuple):
    offset: int
    digest: bytes
    """Empty: the leaf has to read as zeros."""


def settle_resume(journal: Journal, target: Endpoint, size_bytes: int) -> None:
    """Begin the journal anew when the target does not hold what it says."""
    if journal.committed_groups and not still_holds(journal.records(), target, size_bytes):
        journal.restart()


def still_holds(records: Iterable[Union[ProofGroup, ZeroRun]], target: Endpoint, size_bytes: int) -> bool:
    """Tell by some leaves from all over whether the target reads as the records say."""
    samples = _choose(records)
    try:
        with closing(target.connect()) as connection:
            return all(_reads_so(connection, sample, size_bytes) for sample in samples)
    except EngineError:
        # It cannot be read, as some uploads cannot; if it is lost, the copy will say so better than we could.
        return True


def _choose(records: Iterable[Union[ProofGroup, ZeroRun]]) -> list[_Sample]:
    """Choose leaves at even distances over all records, however many there are."""
    chosen: list[_Sample] = []
    stride = 1
    for count, record in enumerate(records):
        if count % stride == 0:
            chosen.append(_pick(record, count))
            if len(chosen) >= 2 * SAMPLES:
                chosen, stride = chosen[::2], stride * 2
    return chosen


def _pick(record: ProofGroup | ZeroRun, turn: int) -> _Sample:
    if isinstance(record, ZeroRun):
        return _Sample((record.first + turn % record.groups) * GROUP_BYTES, b"")
    base = record.number * GROUP_BYTES
    if not record.data:
        return _Sample(base + next(bits(record.changed), 0) * LEAF_BYTES, b"")
    at = turn % len(record.leaves)
    return _Sample(base + list(bits(record.data))[at] * LEAF_BYTES, record.leaves[at])


def _reads_so(connection: Connection, sample: _Sample, size_bytes: int) -> bool:
    leaf = bytearray(min(LEAF_BYTES, size_bytes - sample.offset))
    connection.read_into(sample.offset, memoryview(leaf))
    if sample.digest:
        return hashlib.sha256(leaf).digest() == sample.digest
    return leaf == _ZERO_LEAF[: len(leaf)]
