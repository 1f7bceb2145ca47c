# SPDX-License-Identifier: Apache-2.0
"""Read an endpoint that answers slowly but in parallel: large blocks, a bounded cache, read-ahead.

Made for reads in order, as qemu reads the compressed grains of a streamOptimized VMDK one by one: 1 GiB of it took
16,633 requests over HTTP without a cache. Reads out of order are passed on as they are, because fetching 4 MiB for each
64 KiB of a fragmented image would read it many times over. Large reads in order go through the blocks as well: beside
them they brought 1 GiB of qcow2 1.6 times.
"""

from __future__ import annotations

import queue
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Optional

from vmferry.engine.endpoint import Connection, Endpoint
from vmferry.engine.errors import Cancelled, EngineError, ShortRead
from vmferry.engine.proof.digests import count_bits
from vmferry.engine.units import KiB, MiB

BLOCK_BYTES = 4 * MiB
CACHE_BYTES = 64 * MiB
AHEAD_BLOCKS = 10

_STREAMS = 32
_BACK_BYTES, _GAP_BYTES = 256 * KiB, 256 * KiB  # qemu reads 128 KiB for a compressed grain, however short that is
_PROVEN_BYTES = 1 * MiB  # tables of an image are read in order too, but there is nothing worth reading behind them
_IDLE_READS, _IDLE_READS_SEEN = 64, 8
_LARGE_READ_BYTES = 256 * KiB
_PAGE_BYTES = 64 * KiB
_MOST_PAGES = BLOCK_BYTES // _PAGE_BYTES * 3 // 4


class _Block:
    """A part of the endpoint that is here or on its way."""

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.data = bytearray()
        self.error: Optional[EngineError] = None
        self.used_at = 0
        """The last read that was for it or not far before it."""
        self._seen_pages = 0

    def see(self, at: int, length: int) -> None:
        """Note that this part was asked for. Small reads may come again: qemu reads compressed grains overlapping."""
        if length < _LARGE_READ_BYTES:
            return
        first, end = at // _PAGE_BYTES, -(-(at + length) // _PAGE_BYTES)
        self._seen_pages |= (1 << end) - (1 << first)

    @property
    def idle_reads(self) -> int:
        """So many reads must have passed without it before it goes: few when most of it was asked for."""
        return _IDLE_READS_SEEN if count_bits(self._seen_pages) >= _MOST_PAGES else _IDLE_READS


class BlockReader:
    """Shared by many threads; at most `cache_bytes` are kept."""

    def __init__(
        self, endpoint: Endpoint, *, connections: int = 16, cache_bytes: int = CACHE_BYTES, sequential: bool = False
    ) -> None:
        self._endpoint = endpoint
        self._sequential = sequential
        self._most_blocks = max(2, cache_bytes // BLOCK_BYTES)
        self._lock = threading.Lock()
        self._blocks: OrderedDict[int, _Block] = OrderedDict()
        self._reads = 0
        self._spare: list[bytearray] = []
        self._streams: deque[tuple[int, int]] = deque(maxlen=_STREAMS)
        self._connections: queue.Queue[Optional[Connection]] = queue.Queue()
        for _ in range(min(connections, endpoint.max_connections)):
            self._connections.put(None)
        self._wanted: queue.Queue[Optional[int]] = queue.Queue()
        self._closed = threading.Event()
        self._threads = [threading.Thread(target=self._fetch_ahead, daemon=True) for _ in range(AHEAD_BLOCKS)]
        for thread in self._threads:
            thread.start()

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the whole buffer from `offset`."""
        if offset + len(buffer) > self._endpoint.size:
            raise ShortRead(f"{self._endpoint.name}: nothing behind byte {self._endpoint.size}")
        run_bytes = _PROVEN_BYTES if self._sequential else self._note_stream(offset, len(buffer))
        done = 0
        while done < len(buffer):
            index, at = divmod(offset + done, BLOCK_BYTES)
            part = buffer[done : done + BLOCK_BYTES - at]
            self._read_part(index, at, part, run_bytes)
            done += len(part)

    def _read_part(self, index: int, at: int, part: memoryview, run_bytes: int) -> None:
        if run_bytes >= _PROVEN_BYTES:
            self._order_ahead(index)
        with self._lock:
            block = self._blocks.get(index)
            is_new = block is None and run_bytes > 0
            if is_new:
                block = self._blocks[index] = _Block()
                self._make_room()
        if block is None:
            self._read_directly(index * BLOCK_BYTES + at, part)
            return
        if is_new:
            self._fetch(index, block)
        if not self._take(index, block, at, part):
            self._read_directly(index * BLOCK_BYTES + at, part)

    def _take(self, index: int, block: _Block, at: int, part: memoryview) -> bool:
        """Copy out of a block; False when it was dropped while we waited, and its memory may hold another by now."""
        block.ready.wait()
        if block.error:
            raise block.error
        with self._lock:
            if self._blocks.get(index) is not block:
                return False
            self._touch(index, block)
            part[:] = memoryview(block.data)[at : at + len(part)]
            block.see(at, len(part))
        return True

    def _note_stream(self, offset: int, length: int) -> int:
        """Remember where reads end; return how much was read in order up to here, 0 for a read out of order."""
        with self._lock:
            for at, (end, run) in enumerate(self._streams):
                if end - _BACK_BYTES <= offset <= end + _GAP_BYTES:
                    self._streams[at] = (max(end, offset + length), run + length)
                    return run + length
            self._streams.append((offset + length, 0))
            return 0

    def _order_ahead(self, index: int) -> None:
        """Let the next blocks be fetched meanwhile, each over a connection of its own."""
        end = -(-self._endpoint.size // BLOCK_BYTES)
        with self._lock:
            self._reads += 1
            for ahead in range(index + 1, min(index + 1 + AHEAD_BLOCKS, end)):
                block = self._blocks.get(ahead)
                if block is None:
                    if not self._make_room(idle=True):
                        return
                    block = self._blocks[ahead] = _Block()
                    self._wanted.put(ahead)
                self._touch(ahead, block)

    def _touch(self, index: int, block: _Block) -> None:
        block.used_at = self._reads
        self._blocks.move_to_end(index)

    def _make_room(self, *, idle: bool = False) -> bool:
        """Drop what was not used for longest; False when nothing may go.

        Reading ahead drops only what is idle: else streams would drop for ever what the others have read ahead.
        """
        if len(self._blocks) < self._most_blocks:
            return True
        for index, block in self._blocks.items():
            may_go = not idle or self._reads - block.used_at >= block.idle_reads
            if may_go and block.ready.is_set():
                self._spare.append(self._blocks.pop(index).data)
                return True
        return False

    def _fetch_ahead(self) -> None:
        while True:
            index = self._wanted.get()
            if index is None:
                return
            with self._lock:
                block = self._blocks.get(index)
            if block is not None and not block.ready.is_set():
                self._fetch(index, block)

    def _fetch(self, index: int, block: _Block) -> None:
        start = index * BLOCK_BYTES
        with self._lock:
            # Memory is used again: allocating 4 MiB at a time left the process twice as large as the cache.
            block.data = self._spare.pop() if self._spare else bytearray(BLOCK_BYTES)
        try:
            self._read_directly(start, memoryview(block.data)[: self._endpoint.size - start])
        except EngineError as error:
            block.error = error
            with self._lock:
                self._blocks.pop(index, None)  # the next who wants it tries again
        finally:
            block.ready.set()

    def _read_directly(self, offset: int, buffer: memoryview) -> None:
        with self._borrowed() as connection:
            connection.read_into(offset, buffer)

    @contextmanager
    def _borrowed(self) -> Iterator[Connection]:
        connection = self._connections.get()
        try:
            if self._closed.is_set():
                raise Cancelled(f"{self._endpoint.name} was closed")
            connection = connection or self._endpoint.connect()
            yield connection
        finally:
            self._connections.put(connection)

    def close(self) -> None:
        """End the read-ahead and close the connections; the endpoint stays open. May be called twice."""
        self._closed.set()
        for _ in self._threads:
            self._wanted.put(None)
        for thread in self._threads:
            thread.join()
        for _ in range(self._connections.qsize()):
            connection = self._connections.get()
            if connection is not None:
                connection.close()
            self._connections.put(None)
