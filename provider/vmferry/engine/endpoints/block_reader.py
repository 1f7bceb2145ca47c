# SPDX-License-Identifier: Apache-2.0
"""Read an endpoint that answers slowly but in parallel: large blocks, a bounded cache, read-ahead.

Made for small reads in order, as qemu reads the compressed grains of a streamOptimized VMDK one by one: 1 GiB of it
took 16,633 requests over HTTP without a cache. Small reads out of order are passed on as they are, because fetching
4 MiB for each 64 KiB of a fragmented image would read it many times over.
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
from vmferry.engine.units import KiB, MiB

BLOCK_BYTES = 4 * MiB
CACHE_BYTES = 64 * MiB
AHEAD_BLOCKS = 4
LARGE_READ_BYTES = 1 * MiB
"""From here on a read is worth a request of its own."""

_STREAMS = 32
_BACK_BYTES, _GAP_BYTES = 64 * KiB, 256 * KiB


class _Block:
    """A part of the endpoint that is here or on its way."""

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.data = memoryview(b"")
        self.error: Optional[EngineError] = None


class BlockReader:
    """Shared by many threads; at most `cache_bytes` are kept."""

    def __init__(
        self, endpoint: Endpoint, *, connections: int = 8, cache_bytes: int = CACHE_BYTES, sequential: bool = False
    ) -> None:
        self._endpoint = endpoint
        self._sequential = sequential
        self._most_blocks = max(2, cache_bytes // BLOCK_BYTES)
        self._lock = threading.Lock()
        self._blocks: OrderedDict[int, _Block] = OrderedDict()
        self._streams: deque[int] = deque(maxlen=_STREAMS)
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
        in_order = self._note_stream(offset, len(buffer)) or self._sequential
        if len(buffer) >= LARGE_READ_BYTES and not self._sequential:
            self._read_directly(offset, buffer)
            return
        done = 0
        while done < len(buffer):
            index, at = divmod(offset + done, BLOCK_BYTES)
            part = buffer[done : done + BLOCK_BYTES - at]
            self._read_part(index, at, part, in_order)
            done += len(part)

    def _read_part(self, index: int, at: int, part: memoryview, in_order: bool) -> None:
        if in_order:
            self._order_ahead(index)
        with self._lock:
            block = self._blocks.get(index)
            is_new = block is None and in_order
            if is_new:
                block = self._blocks[index] = _Block()
                self._shrink()
        if block is None:
            self._read_directly(index * BLOCK_BYTES + at, part)
            return
        if is_new:
            self._fetch(index, block)
        part[:] = self._wait(index, block)[at : at + len(part)]

    def _wait(self, index: int, block: _Block) -> memoryview:
        block.ready.wait()
        if block.error:
            raise block.error
        with self._lock:
            if index in self._blocks:
                self._blocks.move_to_end(index)
        return block.data

    def _note_stream(self, offset: int, length: int) -> bool:
        """Remember where reads end; True when this one goes on near such an end."""
        with self._lock:
            for at, end in enumerate(self._streams):
                if end - _BACK_BYTES <= offset <= end + _GAP_BYTES:
                    self._streams[at] = max(end, offset + length)
                    return True
            self._streams.append(offset + length)
            return False

    def _order_ahead(self, index: int) -> None:
        """Let the next blocks be fetched meanwhile, each over a connection of its own."""
        end = -(-self._endpoint.size // BLOCK_BYTES)
        with self._lock:
            for ahead in range(index + 1, min(index + 1 + AHEAD_BLOCKS, end)):
                if ahead in self._blocks or (len(self._blocks) >= self._most_blocks and not self._shrink()):
                    continue
                self._blocks[ahead] = _Block()
                self._wanted.put(ahead)

    def _shrink(self) -> bool:
        """Drop what was not used for longest; True when there is room. Blocks on their way stay."""
        for index in [index for index, block in self._blocks.items() if block.ready.is_set()]:
            if len(self._blocks) < self._most_blocks:
                break
            del self._blocks[index]
        return len(self._blocks) < self._most_blocks

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
        data = bytearray(min(BLOCK_BYTES, self._endpoint.size - start))
        try:
            self._read_directly(start, memoryview(data))
            block.data = memoryview(data)
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
