# SPDX-License-Identifier: Apache-2.0
"""What an NBD server reports about ranges of its export, streamed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

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
from vmferry.engine.extents import Extent
from vmferry.engine.units import GiB, KiB

_ASK_BYTES = 2 * GiB - 64 * KiB


def allocation(link: Link, size_bytes: int) -> Iterator[Extent]:
    """Stream data and zero ranges of the whole export; all is data where the server does not tell."""
    if BASE_ALLOCATION not in link.export.contexts.values():
        return iter([Extent(0, size_bytes, False)] if size_bytes else [])
    pieces = ((start, length, bool(flags & STATE_ZERO)) for start, length, flags in _walk(link, size_bytes))
    return _joined(pieces, size_bytes)


def dirty(link: Link, size_bytes: int, bitmap: str) -> Iterator[Extent]:
    """Stream the ranges that changed according to the bitmap, split into data and zero."""
    name = DIRTY_BITMAP + bitmap
    link.learn(name)
    pieces = (
        (start, length, bool(flags & STATE_ZERO))
        for start, length, flags, state in _walk_both(link, size_bytes, name)
        if state & STATE_DIRTY
    )
    return _joined(pieces, size_bytes)


def at_depth(link: Link, size_bytes: int, depth: int) -> Iterator[Extent]:
    """Stream the ranges that live in the layer `depth` of a chain (1: the image itself), split into data and zero."""
    link.learn(ALLOCATION_DEPTH)
    pieces = (
        (start, length, bool(flags & STATE_ZERO))
        for start, length, flags, found in _walk_both(link, size_bytes, ALLOCATION_DEPTH)
        if found == depth
    )
    return _joined(pieces, size_bytes)


def _joined(pieces: Iterable[tuple[int, int, bool]], size_bytes: int) -> Iterator[Extent]:
    """Join neighbours of a kind and cut off what lies behind the end; disks with millions of pieces come by here."""
    start = end = 0
    zero = False
    for at, length, is_zero in pieces:
        if at == end and is_zero == zero:
            end += length
            continue
        if end > start:
            yield Extent(start, end - start, zero)
        start, end, zero = at, at + length, is_zero
    end = min(end, size_bytes)
    if end > start:
        yield Extent(start, end - start, zero)


def _walk(link: Link, size_bytes: int) -> Iterator[tuple[int, int, int]]:
    """Ask piece by piece; at most one answer is in memory."""
    position = 0
    while position < size_bytes:
        for length, flags in _ask(link, position, size_bytes, BASE_ALLOCATION)[0]:
            yield position, length, flags
            position += length


def _walk_both(link: Link, size_bytes: int, context: str) -> Iterator[tuple[int, int, int, int]]:
    """The same for `base:allocation` and one more context, in step."""
    position = 0
    while position < size_bytes:
        for length, flags, others in _in_step(*_ask(link, position, size_bytes, BASE_ALLOCATION, context)):
            yield position, length, flags, others
            position += length


def _ask(link: Link, position: int, size_bytes: int, *contexts: str) -> list[list[tuple[int, int]]]:
    """Ask for the ranges from `position` on; an answer may be shorter or longer than asked."""
    length = min(_ASK_BYTES, size_bytes - position)
    try:
        answer = link.call(lambda session: session.block_status(position, length))
    except ServerRefused as error:
        raise SourceError(f"cannot read the extents at offset {position}: {error}", fix="check its log") from error
    for context in contexts:
        if not answer.get(context):
            raise SourceError(f"the server does not report {context} at offset {position}", fix="check its log")
    return [answer[context] for context in contexts]


def _in_step(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """Cut the ranges of two answers at each other's borders, as far as both go."""
    ours, theirs = iter(first), iter(second)
    left, flags = next(ours)
    right, others = next(theirs)
    while True:
        step = min(left, right)
        yield step, flags, others
        left -= step
        right -= step
        if not left:
            left, flags = next(ours, (0, 0))
        if not right:
            right, others = next(theirs, (0, 0))
        if not (left and right):
            return
