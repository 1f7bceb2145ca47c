# SPDX-License-Identifier: Apache-2.0
"""One `ImageioClient`, which is not safe to share: reads, writes and zeroes ranges, and comes back when it broke."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING, Any, Callable

from vmferry.engine.endpoints.imageio_answer import explain
from vmferry.engine.endpoints.web import check_trust
from vmferry.engine.errors import ShortRead
from vmferry.engine.units import MiB

if TYPE_CHECKING:
    from vmferry.engine.endpoints.imageio import ImageioEndpoint

ZERO_BYTES = 256 * MiB
"""What one request zeroes: storage that has to write the zeros must be done before the client's 60 s are over."""


class _Into:
    """Takes what `write_to` brings. `ImageioClient.read` would ask for all extents first, to check the size."""

    def __init__(self, buffer: memoryview) -> None:
        self._buffer = buffer
        self._done = 0

    def write(self, data: memoryview) -> int:
        """Put the next bytes into the buffer."""
        self._buffer[self._done : self._done + len(data)] = data
        self._done += len(data)
        return len(data)


class _From:
    """Gives what `read_from` asks for."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._done = 0

    def readinto(self, buffer: memoryview) -> int:
        """Hand out the next bytes."""
        part = self._data[self._done : self._done + len(buffer)]
        buffer[: len(part)] = part
        self._done += len(part)
        return len(part)


class ImageioConnection:
    """Every request is complete in itself, so that it can be sent again after a break."""

    def __init__(self, endpoint: ImageioEndpoint) -> None:
        self._endpoint = endpoint
        self._client: Any = None
        self._outage = endpoint.create_outage()

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the whole buffer from `offset`."""
        if offset + len(buffer) > self._endpoint.size:
            raise ShortRead(f"{self._endpoint.name}: nothing behind byte {self._endpoint.size}")
        self._persist(lambda client: client.write_to(_Into(buffer), offset, len(buffer)))

    def write(self, offset: int, data: memoryview) -> None:
        """Write all of `data` at `offset`."""
        self._endpoint.barrier.arm()
        self._persist(lambda client: client.read_from(_From(data), offset, len(data)))
        self._endpoint.barrier.note_write()

    def zero(self, offset: int, length: int) -> None:
        """Make the range read as zeros."""
        self._endpoint.barrier.arm()
        for start in range(offset, offset + length, ZERO_BYTES):
            step = min(ZERO_BYTES, offset + length - start)
            self._persist(lambda client, at=start, count=step: client.zero(at, count))
            self._endpoint.barrier.note_write()

    def flush(self) -> None:
        """Return when everything written through any connection is on stable storage."""
        self._endpoint.barrier.flush()

    def flush_once(self) -> None:
        """Flush over this very connection, without coming back when it broke."""
        try:
            self._open().flush()
        except BaseException:
            self.close()
            raise

    def _persist(self, work: Callable[..., object]) -> None:
        while True:
            try:
                work(self._open())
            except Exception as error:
                self.close()
                if not self.outlast(error):
                    raise
            else:
                self._outage.end()
                return

    def outlast(self, error: Exception) -> bool:
        """Wait until asking again may help, or raise why it will not; False for an error that is not the client's.

        The client's own error class is not public, so it is known by its `code`.
        """
        name, code = self._endpoint.name, getattr(error, "code", None)
        if isinstance(code, int):
            explain(code, str(error), self._outage, name, self._endpoint.error_kind)
            return True
        # RuntimeError is what the client makes of a body that ends too early.
        if not isinstance(error, (OSError, http.client.HTTPException, RuntimeError)):
            return False
        check_trust(error, name)
        self._outage.wait(f"the connection broke ({error or type(error).__name__})")
        return True

    def _open(self) -> Any:
        if self._client is None:
            self._client = self._endpoint.open_client()
        return self._client

    def close(self) -> None:
        """Close the client's socket."""
        if self._client is not None:
            self._client.close()
            self._client = None
