# SPDX-License-Identifier: Apache-2.0
"""One connection to an NBD export: any offset and length, cut and padded to what the server takes."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TypeVar

from vmferry.engine.endpoints.nbd.link import Link
from vmferry.engine.endpoints.nbd.protocol import BASE_ALLOCATION, SEND_WRITE_ZEROES, STATE_ZERO
from vmferry.engine.endpoints.nbd.session import ServerRefused, Session
from vmferry.engine.errors import EngineError, NoSpace, ShortRead, SourceError, TargetError
from vmferry.engine.units import GiB, KiB, MiB

_ZERO_STEP_BYTES = 128 * MiB  # so that one request does not keep the server busy for minutes
_ASK_BYTES = 2 * GiB - 64 * KiB
_ZEROS = memoryview(bytes(MiB))
_T = TypeVar("_T")


class NbdConnection:
    """Reads and writes over one link."""

    def __init__(
        self,
        name: str,
        link: Link,
        *,
        flush: Callable[[Link], None],
        give_back: Callable[[Link], None],
        overwrites: bool = True,
    ) -> None:
        self._name = name
        self._link = link
        self._flush_all = flush
        self._give_back = give_back
        self._overwrites = overwrites
        export = link.export
        self._size = export.size
        self._block = export.min_block
        self._payload = export.max_payload
        self._has_zeroes = export.can(SEND_WRITE_ZEROES)
        self._has_status = BASE_ALLOCATION in export.contexts.values()

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the whole buffer or raise."""
        if offset + len(buffer) > self._size:
            raise ShortRead(f"{self._name} has {self._size} bytes, asked for some up to {offset + len(buffer)}")
        for start in range(0, len(buffer), self._payload):
            self._read_piece(offset + start, buffer[start : start + self._payload])

    def write(self, offset: int, data: memoryview) -> None:
        """Write all or raise."""
        for start in range(0, len(data), self._payload):
            self._write_piece(offset + start, data[start : start + self._payload])

    def zero(self, offset: int, length: int) -> None:
        """Make the range read as zeros; what the server knows to do so already is left alone."""
        position, end = offset, offset + length
        while position < end:
            known = self._known_zero(position, end)
            if not known:
                known = min(_ZERO_STEP_BYTES, end - position)
                self._zero_piece(position, position + known)
            position += known

    def flush(self) -> None:
        """Flush what was written over any connection, or raise when nobody can vouch for it."""
        self._try("flush", 0, lambda: self._flush_all(self._link))

    def close(self) -> None:
        """Give the connection back."""
        self._give_back(self._link)

    def _read_piece(self, offset: int, buffer: memoryview) -> None:
        first, last = self._whole_blocks(offset, offset + len(buffer))
        if last - first == len(buffer):
            self._try("read", offset, lambda: self._link.call(lambda session: session.read(offset, buffer)))
            return
        blocks = memoryview(bytearray(last - first))
        self.read_into(first, blocks)
        buffer[:] = blocks[offset - first : offset - first + len(buffer)]

    def _write_piece(self, offset: int, data: memoryview) -> None:
        end = offset + len(data)
        first, last = self._whole_blocks(offset, end)
        if last - first == len(data):
            self._try("write", offset, lambda: self._send(offset, data))
            return
        blocks = memoryview(bytearray(last - first))
        if first < offset:
            self._read_piece(first, blocks[: self._block])
        if end < last:
            tail = (last - first - 1) // self._block * self._block
            self._read_piece(first + tail, blocks[tail:])
        blocks[offset - first : end - first] = data
        self.write(first, blocks)

    def _send(self, offset: int, data: memoryview) -> None:
        """Write whole blocks.

        QEMU refuses (EIO) to write a compressed cluster over an allocated one, which is what a resumed copy does with
        up to 64 MiB. Zeroing frees the clusters. Dying in between loses nothing: the journal knows of neither.
        """
        try:
            self._link.write(lambda session: session.write(offset, data))
        except ServerRefused as error:
            if self._overwrites or error.code != errno.EIO:
                raise
            self._link.write(_zeroing(offset, len(data)))
            self._link.write(lambda session: session.write(offset, data))

    def _zero_piece(self, start: int, end: int) -> None:
        first = min(-(-start // self._block) * self._block, end)
        last = end if end == self._size else max(end // self._block * self._block, first)
        if not self._has_zeroes:
            first = last = end
        self._write_zeros(start, first)
        if first < last:
            request = _zeroing(first, last - first)
            self._try("zero", first, lambda: self._link.write(request))
        self._write_zeros(last, end)

    def _known_zero(self, start: int, end: int) -> int:
        """Say how many bytes from `start` on read as zeros already, as far as it is worth to leave them out.

        One question instead of making a server allocate what a terabyte of zeros needs.
        """
        wanted = min(end - start, _ASK_BYTES)
        if not self._has_status or start % self._block or wanted % self._block:
            return 0
        answer = self._try("zero", start, lambda: self._link.call(_asking(start, wanted)))
        length, flags = answer.get(BASE_ALLOCATION, [(0, 0)])[0]
        known = min(length, wanted) if flags & STATE_ZERO else 0
        return known if known == wanted or known >= MiB else 0

    def _write_zeros(self, start: int, end: int) -> None:
        for position in range(start, end, len(_ZEROS)):
            self.write(position, _ZEROS[: min(len(_ZEROS), end - position)])

    def _whole_blocks(self, start: int, end: int) -> tuple[int, int]:
        first = start // self._block * self._block
        last = -(-end // self._block) * self._block
        # An export may end within a block, although the protocol says that it should not.
        return first, min(last, self._size) if end <= self._size else end

    def _try(self, action: str, offset: int, request: Callable[[], _T]) -> _T:
        try:
            return request()
        except ServerRefused as error:
            raise _explain(self._name, error, action, offset) from error


def _asking(offset: int, length: int) -> Callable[[Session], dict[str, list[tuple[int, int]]]]:
    return lambda session: session.block_status(offset, length)


def _zeroing(offset: int, length: int) -> Callable[[Session], None]:
    return lambda session: session.write_zeroes(offset, length)


def _explain(name: str, error: ServerRefused, action: str, offset: int) -> EngineError:
    what = f"{name}: cannot {action} at offset {offset}: {error}"
    if error.code in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(what, fix="free space on the server, then run it again: it goes on where it stopped")
    kind = SourceError if action == "read" else TargetError
    return kind(what, fix="check the server's disk and its log")
