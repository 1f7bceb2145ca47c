# SPDX-License-Identifier: Apache-2.0
"""A target that keeps nothing: for a pass that only hashes, and for measuring how fast a source can be."""

from __future__ import annotations

from collections.abc import Iterable

from vmferry.engine.extents import Extent


class NullConnection:
    """Swallows what it is given; reads as zeros."""

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill with zeros."""
        buffer[:] = bytes(len(buffer))

    def write(self, offset: int, data: memoryview) -> None:
        """Forget it."""

    def zero(self, offset: int, length: int) -> None:
        """Nothing to do."""

    def flush(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to give back."""


class NullTarget:
    """Takes any bytes and keeps none."""

    name = "null:"
    identity = "null:"
    reads_zero = True
    max_connections = 64

    def __init__(self, size_bytes: int) -> None:
        self.size = size_bytes

    def extents(self, since: str | None = None) -> Iterable[Extent]:
        """One hole."""
        return [Extent(0, self.size, True)] if self.size and since is None else []

    def connect(self) -> NullConnection:
        """Give a connection that forgets."""
        return NullConnection()

    def close(self) -> None:
        """Nothing to give back."""
