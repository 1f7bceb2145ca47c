# SPDX-License-Identifier: Apache-2.0
"""One live NBD connection: requests out, replies in, one at a time, payload without a copy."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator, Sequence

from vmferry.engine.endpoints.nbd import protocol
from vmferry.engine.endpoints.nbd.address import NbdAddress
from vmferry.engine.endpoints.nbd.handshake import SessionBroken, negotiate
from vmferry.engine.units import MiB

_ZEROS = memoryview(bytes(MiB))
_MAX_CONTROL_BYTES = 64 * MiB
_SHUTDOWN = 108  # NBD_ESHUTDOWN
_TIMEVAL = struct.Struct("@ll")


class ServerRefused(Exception):
    """The server answered with an error; the connection is still good."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text or os.strerror(code))
        self.code = code


class Session:
    """What one socket can do. `SessionBroken` means that the socket is of no use any more."""

    def __init__(
        self, address: NbdAddress, contexts: Sequence[str], timeout_s: float, handshake_timeout_s: float | None = None
    ) -> None:
        try:
            stream = address.dial(handshake_timeout_s or timeout_s)
        except OSError as error:
            raise SessionBroken(f"cannot connect: {error.strerror or error}") from error
        try:
            self._stream, self.export = negotiate(stream, address, contexts)
            self._secure = address.tls is not None
            if self._secure:
                self._stream.settimeout(timeout_s)
            else:
                self._let_the_kernel_time_out(timeout_s)
        except BaseException:
            stream.close()
            raise
        self._handle = 0

    def _let_the_kernel_time_out(self, timeout_s: float) -> None:
        # A Python timeout makes the socket non-blocking, and then MSG_WAITALL, which fills 4 MiB in one call, is void.
        self._stream.settimeout(None)
        wait = _TIMEVAL.pack(int(timeout_s), int(timeout_s % 1 * 1_000_000))
        self._stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, wait)
        self._stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, wait)

    def read(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer."""
        self._request(protocol.CMD_READ, offset, len(buffer))
        missing = len(buffer)
        for kind, length in self._reply(plain_payload=len(buffer)):
            if kind == protocol.CHUNK_DATA:
                start = 0
                if self.export.structured:
                    start = struct.unpack(">Q", self._receive(8))[0] - offset
                    length -= 8
                self._fill(_part(buffer, start, length))
            elif kind == protocol.CHUNK_HOLE:
                start, length = struct.unpack(">QI", self._receive(12))
                _wipe(_part(buffer, start - offset, length))
            else:
                raise SessionBroken(f"unexpected kind {kind} in the reply to a read")
            missing -= length
        if missing:
            raise SessionBroken(f"the reply to a read is {missing} bytes off")

    def write(self, offset: int, data: memoryview) -> None:
        """Write all of the data."""
        self._request(protocol.CMD_WRITE, offset, len(data), data)
        self._expect_done()

    def write_zeroes(self, offset: int, length: int) -> None:
        """Let the server make the range zero; it may make a hole."""
        self._request(protocol.CMD_WRITE_ZEROES, offset, length)
        self._expect_done()

    def flush(self) -> None:
        """Let the server put on stable storage what it acknowledged."""
        self._request(protocol.CMD_FLUSH, 0, 0)
        self._expect_done()

    def block_status(self, offset: int, length: int) -> dict[str, list[tuple[int, int]]]:
        """Return (length, flags) of the ranges from `offset` on, per context; may cover less than was asked."""
        self._request(protocol.CMD_BLOCK_STATUS, offset, length)
        found: dict[str, list[tuple[int, int]]] = {}
        for kind, size in self._reply():
            if kind != protocol.CHUNK_STATUS or size > _MAX_CONTROL_BYTES or size % 8 != 4:
                raise SessionBroken(f"unexpected kind {kind} in the reply to a status request")
            data = self._receive(size)
            name = self.export.contexts.get(int.from_bytes(data[:4], "big"), "")
            found[name] = list(struct.iter_unpack(">II", memoryview(data)[4:]))
        return found

    def close(self, *, politely: bool = True) -> None:
        """Say good-bye, if the socket is still good, and close it."""
        if politely:
            with contextlib.suppress(SessionBroken):
                self._request(protocol.CMD_DISC, 0, 0)
        self._stream.close()

    def _request(self, command: int, offset: int, length: int, payload: memoryview | None = None) -> None:
        self._handle += 1
        head = protocol.REQUEST.pack(protocol.REQUEST_MAGIC, 0, command, self._handle, offset, length)
        try:
            if payload is None:
                self._stream.sendall(head)
            elif self._secure:
                self._stream.sendall(head)
                self._stream.sendall(payload)
            else:
                self._send_both(head, payload)
        except OSError as error:
            raise SessionBroken(f"sending failed: {_describe(error)}") from error

    def _send_both(self, head: bytes, payload: memoryview) -> None:
        sent = self._stream.sendmsg([head, payload])
        if sent < len(head):
            self._stream.sendall(head[sent:])
            sent = len(head)
        while sent < len(head) + len(payload):
            sent += self._stream.send(payload[sent - len(head) :])

    def _expect_done(self) -> None:
        for kind, _ in self._reply():
            raise SessionBroken(f"unexpected kind {kind} in a reply without data")

    def _reply(self, plain_payload: int = 0) -> Iterator[tuple[int, int]]:
        """Yield (kind, bytes to receive) of each chunk that carries something; raise what the server refuses.

        The rest of a reply is read before an error is raised: the connection stays usable.
        """
        refused: ServerRefused | None = None
        done = False
        while not done:
            start = self._receive(protocol.SIMPLE_REPLY.size)
            if int.from_bytes(start[:4], "big") == protocol.SIMPLE_REPLY_MAGIC:
                _, code, handle = protocol.SIMPLE_REPLY.unpack(start)
                self._check_handle(handle)
                if code:
                    raise _refusal(code, "")
                if plain_payload:
                    yield protocol.CHUNK_DATA, plain_payload
                return
            magic, flags, kind, handle = protocol.CHUNK_START.unpack(start)
            if magic != protocol.CHUNK_MAGIC:
                raise SessionBroken("the server's reply makes no sense")
            self._check_handle(handle)
            length = int.from_bytes(self._receive(4), "big")
            done = bool(flags & protocol.CHUNK_DONE)
            if kind & protocol.CHUNK_ERROR:
                refused = refused or self._receive_error(length)
            elif kind != protocol.CHUNK_NONE:
                yield kind, length
        if refused is not None:
            raise refused

    def _check_handle(self, handle: int) -> None:
        if handle != self._handle:
            raise SessionBroken("a reply to something that was not asked")

    def _receive_error(self, length: int) -> ServerRefused:
        if not 6 <= length <= _MAX_CONTROL_BYTES:
            raise SessionBroken("the server's error makes no sense")
        data = self._receive(length)
        code, text_length = struct.unpack(">IH", data[:6])
        return _refusal(code, data[6 : 6 + text_length].decode(errors="replace"))

    def _receive(self, length: int) -> bytearray:
        data = bytearray(length)
        self._fill(memoryview(data))
        return data

    def _fill(self, view: memoryview) -> None:
        flags = 0 if self._secure else socket.MSG_WAITALL
        while len(view):
            try:
                count = self._stream.recv_into(view, len(view), flags)
            except OSError as error:
                raise SessionBroken(f"receiving failed: {_describe(error)}") from error
            if not count:
                raise SessionBroken("the server closed the connection")
            view = view[count:]


def _refusal(code: int, text: str) -> ServerRefused:
    if code == _SHUTDOWN:
        raise SessionBroken("the server is shutting down")
    return ServerRefused(code, text)


def _part(buffer: memoryview, start: int, length: int) -> memoryview:
    if start < 0 or length < 0 or start + length > len(buffer):
        raise SessionBroken("the reply to a read has bytes that were not asked for")
    return buffer[start : start + length]


def _wipe(view: memoryview) -> None:
    for start in range(0, len(view), len(_ZEROS)):
        piece = view[start : start + len(_ZEROS)]
        piece[:] = _ZEROS[: len(piece)]


def _describe(error: OSError) -> str:
    if isinstance(error, (BlockingIOError, socket.timeout)):
        return "no answer in time"
    return error.strerror or str(error)
