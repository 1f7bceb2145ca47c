# SPDX-License-Identifier: Apache-2.0
"""What an NBD server reports about ranges of its export, streamed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from vmferry.engine.endpoints.nbd.link import Link
from vmferry.engine.endpoints.nbd.protocol import (
    ALLOCATION_DEPTH,
    BASE_ALLOCATION,
    DIRTY_BITMAP,
    STATE_DIRTY,
    STATE_ZERO,
)
from vmferry.engine.endpoints.nbd.session import ServerRefused
from vmferry.engine.errors import SourceError
from vmferry.engine.extents import Extent, clipped, merged
from vmferry.engine.units import GiB, KiB

_ASK_BYTES = 2 * GiB - 64 * KiB


class Status(NamedTuple):
    """A range over which every context says one thing."""

    start: int
    length: int
    flags: tuple[int, ...]
    """One per context, in the order asked."""


def allocation(link: Link, size_bytes: int) -> Iterator[Extent]:
    """Stream data and zero ranges of the whole export; all is data where the server does not tell."""
    if BASE_ALLOCATION not in link.export.contexts.values():
        return iter([Extent(0, size_bytes, False)] if size_bytes else [])
    found = (Extent(start, length, bool(flags[0] & STATE_ZERO)) for start, length, flags in _walk(link, size_bytes))
    return merged(clipped(found, size_bytes))


def dirty(link: Link, size_bytes: int, bitmap: str) -> Iterator[Extent]:
    """Stream the ranges that changed according to the bitmap, split into data and zero."""
    name = DIRTY_BITMAP + bitmap
    link.learn(name)
    found = (
        Extent(start, length, bool(flags[0] & STATE_ZERO))
        for start, length, flags in _walk(link, size_bytes, (BASE_ALLOCATION, name))
        if flags[1] & STATE_DIRTY
    )
    return merged(clipped(found, size_bytes))


def at_depth(link: Link, size_bytes: int, depth: int) -> Iterator[Extent]:
    """Stream the ranges that live in the layer `depth` of a chain (1: the image itself), split into data and zero."""
    link.learn(ALLOCATION_DEPTH)
    found = (
        Extent(start, length, bool(flags[0] & STATE_ZERO))
        for start, length, flags in _walk(link, size_bytes, (BASE_ALLOCATION, ALLOCATION_DEPTH))
        if flags[1] == depth
    )
    return merged(clipped(found, size_bytes))


def _walk(link: Link, size_bytes: int, contexts: tuple[str, ...] = (BASE_ALLOCATION,)) -> Iterator[Status]:
    """Ask piece by piece. An answer may be shorter than asked; at most one answer is in memory."""
    position = 0
    while position < size_bytes:
        length = min(_ASK_BYTES, size_bytes - position)
        answer = _ask(link, position, length)
        missing = [name for name in contexts if not answer.get(name)]
        if missing:
            raise SourceError(f"the server does not report {missing[0]} at offset {position}", fix="check its log")
        for status in _in_step(position, [answer[name] for name in contexts]):
            yield status
            position = status.start + status.length


def _ask(link: Link, position: int, length: int) -> dict[str, list[tuple[int, int]]]:
    try:
        return link.call(lambda session: session.block_status(position, length))
    except ServerRefused as error:
        raise SourceError(f"cannot read the extents at offset {position}: {error}", fix="check its log") from error


def _in_step(position: int, columns: list[list[tuple[int, int]]]) -> Iterator[Status]:
    """Cut the contexts' ranges at each other's borders, as far as all of them go."""
    readers = [iter(column) for column in columns]
    heads = [next(reader) for reader in readers]
    while True:
        step = min(length for length, _ in heads)
        yield Status(position, step, tuple(flags for _, flags in heads))
        position += step
        for index, (length, flags) in enumerate(heads):
            if length > step:
                heads[index] = (length - step, flags)
                continue
            following = next(readers[index], None)
            if following is None:
                return
            heads[index] = following
