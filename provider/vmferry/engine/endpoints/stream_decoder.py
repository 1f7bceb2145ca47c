# SPDX-License-Identifier: Apache-2.0
"""Decompress gz, xz and zst from the start to the end, a piece at a time, with bounded memory."""

from __future__ import annotations

import lzma
import shutil
import subprocess
import threading
import zlib
from collections.abc import Iterator
from typing import IO, Any, Callable, Optional, Protocol, cast

from vmferry.engine.endpoints.stream_feed import FEED_BYTES
from vmferry.engine.errors import BadInput, Cancelled, EngineError, SourceError, ToolMissing
from vmferry.engine.images.reader import ByteReader
from vmferry.engine.units import MiB

PIECE_BYTES = 1 * MiB
_XZ_MEMORY_BYTES = 1 << 30


class Decoder(Protocol):
    """One pass over a compressed stream."""

    def read(self) -> bytes:
        """Return the next bytes, up to `PIECE_BYTES`; empty at the proper end; `SourceError` when it is torn."""

    def abort(self) -> None:
        """End the wait of a thread that is in `read`, which then raises. Safe from any thread."""

    def close(self) -> None:
        """Give everything back, when no thread is in `read` any more. May be called twice."""


def open_decoder(feed: ByteReader, compression: str) -> Decoder:
    """Begin a new pass from the first byte."""
    if compression == "zst":
        return ZstdDecoder(feed)
    if compression == "gz":
        return LibraryDecoder(feed, "gz", lambda: zlib.decompressobj(wbits=31))
    if compression == "xz":
        return LibraryDecoder(feed, "xz", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES))
    raise BadInput(f"{compression!r} is no compression we know", fix="use gz, xz or zst")


class LibraryDecoder:
    """gz and xz through the standard library; a file may be of several members one after another."""

    def __init__(self, feed: ByteReader, compression: str, create: Callable[[], Any]) -> None:
        self._feed = feed
        self._compression = compression
        self._create = create
        self._member = create()
        self._position = 0
        self._pending = b""
        self._produced = 0
        self._aborted = False

    def read(self) -> bytes:
        """Return the next bytes."""
        while True:
            if self._aborted:
                raise Cancelled(f"{self._feed.name} was closed")
            if self._member.eof and not self._next_member():
                return b""
            data = self._input()
            out = self._decompress(data or b"")
            if out:
                return out
            if data == b"" and not self._member.eof:
                raise torn(self._feed.name, self._compression, self._position, self._produced, "it ends too early")

    def _input(self) -> Optional[bytes]:
        """Return what to feed next, empty at the end of the file; None when the member still has enough inside."""
        if self._pending:
            data, self._pending = self._pending, b""
            return data
        if not getattr(self._member, "needs_input", True):
            return None
        data = self._feed.read_at(self._position, FEED_BYTES)
        self._position += len(data)
        return data

    def _decompress(self, data: bytes) -> bytes:
        try:
            out: bytes = self._member.decompress(data, PIECE_BYTES)
        except (zlib.error, lzma.LZMAError) as error:
            raise torn(self._feed.name, self._compression, self._position, self._produced, str(error)) from error
        self._pending = getattr(self._member, "unconsumed_tail", b"")
        self._produced += len(out)
        return out

    def _next_member(self) -> bool:
        """Begin the next member; False at the end. Zeros behind a member are padding (gzip(1) and xz(1) agree)."""
        rest: bytes = self._member.unused_data
        while not (rest := rest.lstrip(b"\0")):
            rest = self._feed.read_at(self._position, FEED_BYTES)
            self._position += len(rest)
            if not rest:
                return False
        self._member, self._pending = self._create(), rest
        return True

    def abort(self) -> None:
        """Let the next piece be an error."""
        self._aborted = True

    def close(self) -> None:
        """Nothing to give back."""


class ZstdDecoder:
    """zst through the program zstd: the standard library has it only since Python 3.14."""

    def __init__(self, feed: ByteReader) -> None:
        if shutil.which("zstd") is None:
            raise ToolMissing(f"{feed.name}: the program zstd is not installed", fix="install the package zstd")
        self._feed = feed
        self._position = 0
        self._produced = 0
        self._aborted = False
        self._failure: Optional[EngineError] = None
        # It reads our pipe and writes to one, so it ends with us even after a kill -9.
        pipe, command = subprocess.PIPE, ["zstd", "-dcq", "--memory=1024MB"]
        self._child = subprocess.Popen(command, bufsize=0, stdin=pipe, stdout=pipe, stderr=pipe)
        self._feeder = threading.Thread(target=self._push, args=(cast("IO[bytes]", self._child.stdin),), daemon=True)
        self._feeder.start()

    def read(self) -> bytes:
        """Return the next bytes."""
        out: bytes = cast("IO[bytes]", self._child.stdout).read(PIECE_BYTES)
        self._produced += len(out)
        return out or self._end()

    def _end(self) -> bytes:
        said = cast("IO[bytes]", self._child.stderr).read().decode("utf-8", "replace").strip()
        self._child.wait()
        if self._aborted:
            raise Cancelled(f"{self._feed.name} was closed")
        if self._failure:
            raise self._failure
        if self._child.returncode:
            why = said.splitlines()[-1].rpartition("\\: ")[2] if said else "zstd was stopped"
            raise torn(self._feed.name, "zst", self._position, self._produced, why)
        return b""

    def _push(self, stdin: IO[bytes]) -> None:
        try:
            while data := self._feed.read_at(self._position, FEED_BYTES):
                self._position += len(data)
                view = memoryview(data)
                while view:
                    view = view[stdin.write(view) :]
        except BrokenPipeError:
            pass  # zstd gave up, and says why on its standard error
        except EngineError as error:
            self._failure = error
            self._child.kill()  # else a torn input could look like a good end
        finally:
            stdin.close()

    def abort(self) -> None:
        """Stop zstd."""
        self._aborted = True
        self._child.kill()

    def close(self) -> None:
        """Stop zstd and wait for it."""
        self._child.kill()
        self._child.wait()
        self._feeder.join()
        for pipe in (self._child.stdout, self._child.stderr):
            cast("IO[bytes]", pipe).close()


def torn(name: str, compression: str, position: int, produced: int, why: str) -> SourceError:
    """Say where a stream is damaged: near which compressed byte, and after how much of the disk."""
    what = f"{name}: the {compression} stream is damaged before byte {position} (disk offset {produced}): {why}"
    return SourceError(what, fix="fetch or make the file again")


def iterate(decoder: Decoder) -> Iterator[bytes]:
    """Yield all pieces of a pass."""
    while piece := decoder.read():
        yield piece
