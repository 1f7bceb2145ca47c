"""An endpoint in memory that keeps every promise of the protocol, and can be told to break."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from vmferry.engine.errors import BadInput, ShortRead, TargetLost
from vmferry.engine.extents import Extent, merged

BLOCK = 4096


class MemoryDisk:
    """A disk in memory; `dirty` maps bitmap names to the ranges written since."""

    def __init__(self, image: bytes, *, fresh: bool = False, connections: int = 4) -> None:
        self.image = bytearray(image)
        self.safe = bytes(image)
        self.reads_zero = fresh
        self.max_connections = connections
        self.name = "memory"
        self.identity = f"memory:{id(self)}"
        self.dirty: dict[str, list[tuple[int, int]]] = {}
        self.writes_left: int | None = None
        self.written: list[tuple[int, int]] = []
        self.flushes = 0
        self.lock = threading.Lock()

    @property
    def size(self) -> int:
        return len(self.image)

    def guest_write(self, offset: int, data: bytes) -> None:
        """Write as a guest does: every bitmap learns of it."""
        self.image[offset : offset + len(data)] = data
        for ranges in self.dirty.values():
            ranges.append((offset, len(data)))

    def extents(self, since: str | None = None) -> Iterable[Extent]:
        if since is not None and since not in self.dirty:
            raise BadInput(f"memory has no bitmap {since!r}")
        return merged(self._blocks(since))

    def _blocks(self, since: str | None) -> Iterator[Extent]:
        wanted = set(range(0, self.size, BLOCK))
        if since is not None:
            wanted = {b for s, n in self.dirty[since] for b in range(s // BLOCK * BLOCK, s + n, BLOCK)}
        for start in sorted(wanted):
            block = self.image[start : start + BLOCK]
            if block:
                yield Extent(start, len(block), not block.strip(b"\0"))

    def connect(self) -> MemoryConnection:
        return MemoryConnection(self)

    def close(self) -> None:
        """Nothing to give back."""


class MemoryConnection:
    """One way to a `MemoryDisk`."""

    def __init__(self, disk: MemoryDisk) -> None:
        self._disk = disk

    def read_into(self, offset: int, buffer: memoryview) -> None:
        data = self._disk.image[offset : offset + len(buffer)]
        if len(data) < len(buffer):
            raise ShortRead("memory ends early")
        buffer[:] = data

    def write(self, offset: int, data: memoryview) -> None:
        self._spend()
        assert offset + len(data) <= self._disk.size
        self._disk.image[offset : offset + len(data)] = data
        with self._disk.lock:
            self._disk.written.append((offset, len(data)))

    def zero(self, offset: int, length: int) -> None:
        self._spend()
        assert offset + length <= self._disk.size
        self._disk.image[offset : offset + length] = bytes(length)

    def flush(self) -> None:
        self._disk.flushes += 1
        self._disk.safe = bytes(self._disk.image)

    def close(self) -> None:
        """Nothing to give back."""

    def _spend(self) -> None:
        with self._disk.lock:
            if self._disk.writes_left is not None:
                if self._disk.writes_left == 0:
                    raise TargetLost("memory was told to break")
                self._disk.writes_left -= 1
