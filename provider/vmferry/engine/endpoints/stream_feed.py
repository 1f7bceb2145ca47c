# SPDX-License-Identifier: Apache-2.0
"""Where the compressed bytes of a stream come from: a file, or another endpoint read ahead over many connections."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Optional

from vmferry.engine.endpoint import Endpoint, EndpointSpec
from vmferry.engine.endpoints.block_reader import BLOCK_BYTES, BlockReader
from vmferry.engine.errors import BadInput
from vmferry.engine.images.reader import FileReader
from vmferry.engine.units import KiB

FEED_BYTES = 256 * KiB


class EndpointFeed:
    """An endpoint as a `ByteReader` that fetches the next blocks before they are asked for."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.name = endpoint.name
        self.size = endpoint.size
        self.identity = endpoint.identity
        self._endpoint = endpoint
        self._reader = BlockReader(endpoint, cache_bytes=8 * BLOCK_BYTES, sequential=True)

    def read_at(self, offset: int, length: int) -> bytes:
        """Read up to `length` bytes at `offset`."""
        buffer = bytearray(max(0, min(length, self.size - offset)))
        if buffer:
            self._reader.read_into(offset, memoryview(buffer))
        return bytes(buffer)

    def abort(self) -> None:
        """End the waits of a thread that reads."""
        self._endpoint.close()

    def close(self) -> None:
        """Close the endpoint first, which ends its waits, then what reads from it."""
        self._endpoint.close()
        self._reader.close()


class FileFeed(FileReader):
    """A compressed file."""

    def abort(self) -> None:
        """Nothing waits for long on a file."""

    @property
    def identity(self) -> str:
        """Equal as long as nobody wrote to the file or put another in its place."""
        status = os.fstat(self.fileno())
        place = f"{os.path.realpath(self.path)} dev={status.st_dev} inode={status.st_ino}"
        return f"{place} size={status.st_size} mtime_ns={status.st_mtime_ns}"


def open_feed(spec: EndpointSpec, secrets: Mapping[str, str]) -> FileFeed | EndpointFeed:
    """Open what holds the compressed bytes: `options["over"]` is the spec of an endpoint, without it a file."""
    over: Optional[Mapping[str, object]] = spec.options.get("over")
    if over is None:
        return FileFeed(Path(spec.address))
    from vmferry.engine.endpoints import open_source

    if over.get("kind") == "stream":
        raise BadInput(f"{spec.address}: a stream inside a stream is not supported")
    return EndpointFeed(open_source(EndpointSpec.from_json(over), secrets))
