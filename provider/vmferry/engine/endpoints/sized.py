# SPDX-License-Identifier: Apache-2.0
"""An endpoint seen at the size of the disk in it: a qcow2 is rounded up, a volume is larger than what was written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Optional

from vmferry.engine.endpoint import Connection, Endpoint
from vmferry.engine.extents import Extent, clipped


class Sized:
    """A readable endpoint whose last bytes are not part of the disk."""

    def __init__(self, inner: Endpoint, size_bytes: int) -> None:
        self._inner = inner
        self._size_bytes = size_bytes

    @property
    def name(self) -> str:
        """As the inner one."""
        return self._inner.name

    @property
    def size(self) -> int:
        """Bytes of the disk."""
        return self._size_bytes

    @property
    def identity(self) -> str:
        """As the inner one."""
        return self._inner.identity

    @property
    def reads_zero(self) -> bool:
        """As the inner one."""
        return self._inner.reads_zero

    @property
    def max_connections(self) -> int:
        """As the inner one."""
        return self._inner.max_connections

    def extents(self, since: Optional[str] = None) -> Iterable[Extent]:
        """As the inner one's, up to the end of the disk."""
        return clipped(self._inner.extents(since), self._size_bytes)

    def connect(self) -> Connection:
        """Open one more connection; nobody asks it for what lies behind the end."""
        return self._inner.connect()

    def close(self) -> None:
        """Close the inner one."""
        self._inner.close()
