# SPDX-License-Identifier: Apache-2.0
"""Turns a stream of extents into units of work: 4 MiB groups to read, and long runs of groups that are zeros.

Whole leaves are the smallest thing that is ever read, hashed or written, so a leaf with one byte of data is data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Union

from vmferry.engine.extents import Extent
from vmferry.engine.units import LEAF_BYTES, LEAVES_PER_GROUP


class GroupTask(NamedTuple):
    """Leaves of one group that have to be looked at."""

    number: int
    read: int
    """Mask of the leaves that have to be read."""
    zero: int
    """Mask of the leaves that are known to be zeros now."""


class ZeroTask(NamedTuple):
    """Whole groups that are known to be zeros now."""

    first: int
    groups: int


Task = Union[GroupTask, ZeroTask]


def plan_tasks(extents: Iterable[Extent], size_bytes: int) -> Iterator[Task]:
    """Stream the tasks, ascending. Extents may leave gaps: what they do not mention is not touched."""
    index, read, zero = -1, 0, 0
    for first, end, is_zero in _leaf_runs(_joined_zeros(extents), size_bytes):
        for group, mask, count in _split(first, end, is_zero, size_bytes):
            if group != index:
                if read or zero:
                    yield GroupTask(index, read, zero & ~read)
                index, read, zero = group, 0, 0
            if count:
                yield ZeroTask(group, count)
                index = group + count - 1
            elif is_zero:
                zero |= mask
            else:
                read |= mask
    if read or zero:
        yield GroupTask(index, read, zero & ~read)


def total_bytes(extents: Iterable[Extent]) -> int:
    """Add up the lengths, streaming."""
    return sum(extent.length for extent in extents)


def _joined_zeros(extents: Iterable[Extent]) -> Iterator[Extent]:
    """Join neighbouring zeros, so that a leaf made of two of them is seen to be zeros."""
    last: Extent | None = None
    for extent in extents:
        if last is not None and last.zero and extent.zero and last.end == extent.start:
            last = Extent(last.start, last.length + extent.length, True)
            continue
        if last is not None:
            yield last
        last = extent
    if last is not None:
        yield last


def _leaf_runs(extents: Iterable[Extent], size_bytes: int) -> Iterator[tuple[int, int, bool]]:
    """Yield (first leaf, end leaf, zeros?). A leaf that is zeros only in part has to be read."""
    for extent in extents:
        first, end = extent.start // LEAF_BYTES, -(-extent.end // LEAF_BYTES)
        if not extent.zero:
            yield first, end, False
            continue
        whole_first = -(-extent.start // LEAF_BYTES)
        whole_end = end if extent.end >= size_bytes else extent.end // LEAF_BYTES
        if whole_first >= whole_end:
            yield first, end, False
            continue
        if first < whole_first:
            yield first, whole_first, False
        yield whole_first, whole_end, True
        if whole_end < end:
            yield whole_end, end, False


def _split(first: int, end: int, is_zero: bool, size_bytes: int) -> Iterator[tuple[int, int, int]]:
    """Cut a run of leaves at groups: (group, mask, 0), or (first group, 0, count) for whole groups of zeros."""
    while first < end:
        group, bit = divmod(first, LEAVES_PER_GROUP)
        whole = _whole_groups(first, end, size_bytes) if is_zero and bit == 0 else 0
        if whole:
            yield group, 0, whole
            first += whole * LEAVES_PER_GROUP
            continue
        count = min(end - first, LEAVES_PER_GROUP - bit)
        yield group, ((1 << count) - 1) << bit, 0
        first += count


def _whole_groups(first: int, end: int, size_bytes: int) -> int:
    """Count the groups that a run from `first` on fills; the last group of a disk may be short."""
    count = (end - first) // LEAVES_PER_GROUP
    at_end = end * LEAF_BYTES >= size_bytes
    return count + 1 if at_end and (end - first) % LEAVES_PER_GROUP else count
