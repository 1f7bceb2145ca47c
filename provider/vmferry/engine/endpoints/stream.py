# SPDX-License-Identifier: Apache-2.0
"""A raw image inside gz, xz or zst: bytes that can only be had in order."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Optional, Union

from vmferry.engine.endpoint import Connection, EndpointSpec
from vmferry.engine.endpoints.stream_decoder import Decoder, open_decoder, torn
from vmferry.engine.endpoints.stream_feed import EndpointFeed, FileFeed, open_feed
from vmferry.engine.endpoints.stream_size import find_size
from vmferry.engine.endpoints.stream_window import FAR_GROUPS, StreamWindow
from vmferry.engine.errors import BadInput, Cancelled, EngineError, ShortRead, SourceError
from vmferry.engine.extents import Extent
from vmferry.engine.units import GROUP_BYTES, GiB, TiB

MAX_BYTES = 64 * TiB


class StreamEndpoint:
    """One decoder behind all connections.

    Of those who wait, the one who wants the lowest group decodes the next one, into a window that all read from. A
    group that was skipped and is no longer there begins a new pass, which is slow and right. Who waits, waits for one
    that decodes, so there is nothing to deadlock.
    """

    max_connections = 64
    reads_zero = False

    def __init__(
        self, feed: Union[FileFeed, EndpointFeed], compression: str, size_bytes: Optional[int], max_bytes: int
    ) -> None:
        self.name = feed.name
        self._feed = feed
        self._compression = compression
        self._turn = threading.Condition()
        self._wanted: list[int] = []
        self._window = StreamWindow()
        self._decoder: Optional[Decoder] = None
        self._is_decoding = False
        self._failure: Optional[EngineError] = None
        self._rest = b""
        self._next_group = 0
        self._closed = False
        self.passes = 0
        """How often the stream was decoded from its start."""
        self.size = find_size(feed, compression, max_bytes, size_bytes)
        self.identity = f"{feed.identity} {compression}"

    def extents(self, since: Optional[str] = None) -> Iterable[Extent]:
        """Everything is data: only decoding tells where zeros are, and the pump finds those itself."""
        if since is not None:
            raise BadInput(f"{self.name}: a compressed image does not know what changed since {since}")
        return self._pieces()

    def _pieces(self) -> Iterator[Extent]:
        for start in range(0, self.size, GiB):
            yield Extent(start, min(GiB, self.size - start), False)

    def connect(self) -> Connection:
        """Give a connection; they all share the decoder."""
        return StreamConnection(self)

    def read_group(self, index: int) -> bytes:
        """Return a group, decoding up to it."""
        with self._turn:
            self._wanted.append(index)
            try:
                while (data := self._window.take(index)) is None:
                    self._check_usable()
                    if self._is_decoding or index != min(self._wanted) or not self._window.make_room(index):
                        self._turn.wait(0.1)
                    else:
                        self._advance(index)
                return data
            finally:
                self._wanted.remove(index)
                self._turn.notify_all()

    def _check_usable(self) -> None:
        if self._closed:
            raise Cancelled(f"{self.name} was closed")
        if self._failure:
            raise self._failure

    def _advance(self, index: int) -> None:
        """Decode one group, with the lock released so that others can read what is there."""
        self._is_decoding = True
        self._turn.release()
        failure: Optional[EngineError] = None
        try:
            if self._decoder is None or index < self._next_group:
                self._decoder = self._restart()
            data = self._decode_group(self._decoder)
        except EngineError as error:
            failure = error
        finally:
            self._turn.acquire()
            self._is_decoding = False
            self._turn.notify_all()
        if failure:
            self._failure = failure
        elif self._next_group > index - FAR_GROUPS:
            self._window.add(self._next_group - 1, data)

    def _restart(self) -> Decoder:
        if self._decoder is not None:
            self._decoder.close()
        self._rest, self._next_group = b"", 0
        self.passes += 1
        return open_decoder(self._feed, self._compression)

    def _decode_group(self, decoder: Decoder) -> bytes:
        start = self._next_group * GROUP_BYTES
        length = min(GROUP_BYTES, self.size - start)
        parts, have = [self._rest], len(self._rest)
        while have < length:
            parts.append(decoder.read())
            have += len(parts[-1])
            if not parts[-1]:
                raise self._wrong_length(start + have)
        data = b"".join(parts)
        self._rest = data[length:]
        if start + length == self.size:
            self._check_end(decoder)
        self._next_group += 1
        return data[:length]

    def _check_end(self, decoder: Decoder) -> None:
        """Read on to the proper end: only there the checksums are compared."""
        extra = len(self._rest) or len(decoder.read())
        if extra:
            raise self._wrong_length(self.size + extra)

    def _wrong_length(self, found: int) -> SourceError:
        why = f"it holds {'more' if found > self.size else 'less'} than the {self.size} bytes it promised"
        return torn(self.name, self._compression, self._feed.size, found, why)

    def close(self) -> None:
        """End the decoder, even while another thread waits for its bytes. May be called twice."""
        self._closed = True
        decoder = self._decoder
        if decoder is not None:
            decoder.abort()
        self._feed.abort()
        with self._turn:
            self._turn.wait_for(lambda: not self._is_decoding)
            if self._decoder is not None:
                self._decoder.close()
                self._decoder = None
            self._window.clear()
            self._feed.close()


class StreamConnection:
    """Reads groups of the shared stream."""

    def __init__(self, endpoint: StreamEndpoint) -> None:
        self._endpoint = endpoint

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the whole buffer from `offset`."""
        if offset + len(buffer) > self._endpoint.size:
            raise ShortRead(f"{self._endpoint.name}: nothing behind byte {self._endpoint.size}")
        done = 0
        while done < len(buffer):
            index, at = divmod(offset + done, GROUP_BYTES)
            part = memoryview(self._endpoint.read_group(index))[at : at + len(buffer) - done]
            buffer[done : done + len(part)] = part
            done += len(part)

    def write(self, offset: int, data: memoryview) -> None:
        """Refuse: compressed images are read only."""
        raise BadInput(f"{self._endpoint.name} can only be read")

    def zero(self, offset: int, length: int) -> None:
        """Refuse: compressed images are read only."""
        raise BadInput(f"{self._endpoint.name} can only be read")

    def flush(self) -> None:
        """Nothing was written."""

    def close(self) -> None:
        """Nothing of its own to give back."""


def open_stream_source(spec: EndpointSpec, secrets: Mapping[str, str]) -> StreamEndpoint:
    """Open a compressed raw image; options: compression, over, size_bytes (when known), max_bytes."""
    compression = str(spec.options.get("compression", ""))
    if compression not in ("gz", "xz", "zst"):
        raise BadInput(f"{compression!r} is no compression we know", fix="use gz, xz or zst")
    size_bytes: Optional[int] = spec.options.get("size_bytes")
    feed = open_feed(spec, secrets)
    try:
        return StreamEndpoint(feed, compression, size_bytes, int(spec.options.get("max_bytes", MAX_BYTES)))
    except BaseException:
        feed.close()
        raise
