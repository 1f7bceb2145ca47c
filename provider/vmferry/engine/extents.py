# SPDX-License-Identifier: Apache-2.0
"""Ranges of a disk: what has data, what reads as zeros, what changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Extent(NamedTuple):
    """A range of a disk whose bytes are alike."""

    start: int
    """Offset of the first byte."""
    length: int
    """Number of bytes, never 0."""
    zero: bool
    """True when the range is known to read as zeros, so that nobody has to read it."""

    @property
    def end(self) -> int:
        """Offset behind the last byte."""
        return self.start + self.length


def merged(extents: Iterable[Extent]) -> Iterator[Extent]:
    """Join neighbours of the same kind; order is kept, gaps stay gaps."""
    last: Extent | None = None
    for extent in extents:
        if last is not None and last.end == extent.start and last.zero == extent.zero:
            last = Extent(last.start, last.length + extent.length, last.zero)
            continue
        if last is not None:
            yield last
        last = extent
    if last is not None:
        yield last


def clipped(extents: Iterable[Extent], size_bytes: int) -> Iterator[Extent]:
    """Cut off what lies behind the end of the disk (servers round extents up)."""
    for extent in extents:
        if extent.start >= size_bytes:
            return
        yield extent if extent.end <= size_bytes else extent._replace(length=size_bytes - extent.start)
