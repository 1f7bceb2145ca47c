# SPDX-License-Identifier: Apache-2.0
"""Agree with an NBD server on what comes: TLS, structured replies, contexts, size and limits."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from vmferry.engine.endpoints.nbd import protocol
from vmferry.engine.endpoints.nbd.address import NbdAddress
from vmferry.engine.errors import BadInput, TrustError, Unreadable
from vmferry.engine.units import KiB, MiB

_DEFAULT_PAYLOAD_BYTES = 32 * MiB  # what the protocol lets us send to a server that names no limit
_MAX_OPTION_REPLY_BYTES = 64 * KiB


class SessionBroken(Exception):
    """The connection is of no use any more; a new one may be."""


@dataclass
class Export:
    """What the server says about the export."""

    size: int = 0
    """Bytes."""
    flags: int = 0
    """Transmission flags."""
    min_block: int = 1
    """Offsets and lengths must be multiples of it."""
    max_payload: int = _DEFAULT_PAYLOAD_BYTES
    """Most bytes of one read or write."""
    structured: bool = False
    """Replies come in chunks."""
    contexts: dict[int, str] = field(default_factory=dict)
    """Metadata contexts the server will report: id -> name."""

    def can(self, flag: int) -> bool:
        """Tell whether the server offers this."""
        return bool(self.flags & flag)


def negotiate(stream: socket.socket, address: NbdAddress, contexts: Sequence[str]) -> tuple[socket.socket, Export]:
    """Go through the handshake; returns the socket to use from here on (another one with TLS)."""
    talk = _Handshake(stream, address)
    try:
        talk.greet()
        if address.tls is not None:
            talk.start_tls()
        export = Export()
        export.structured = talk.ask(protocol.OPT_STRUCTURED_REPLY)
        if export.structured and contexts:
            export.contexts = talk.choose_contexts(contexts)
        talk.go(export)
    except (OSError, EOFError) as error:
        raise SessionBroken(f"the handshake broke off: {error or 'end of stream'}") from error
    return talk.stream, export


class _Handshake:
    def __init__(self, stream: socket.socket, address: NbdAddress) -> None:
        self.stream = stream
        self._address = address

    def greet(self) -> None:
        magic, option_magic, flags = protocol.GREETING.unpack(self._receive(protocol.GREETING.size))
        if magic != protocol.GREETING_MAGIC:
            raise BadInput(f"{self._address.label}: this is not an NBD server", fix="check host and port")
        if option_magic != protocol.OPTION_MAGIC or not flags & protocol.FIXED_NEWSTYLE:
            raise BadInput(f"{self._address.label}: the server speaks only an outdated NBD", fix="use a newer server")
        self._no_zeroes = bool(flags & protocol.NO_ZEROES)
        self.stream.sendall(struct.pack(">I", flags & (protocol.FIXED_NEWSTYLE | protocol.NO_ZEROES)))

    def start_tls(self) -> None:
        if not self.ask(protocol.OPT_STARTTLS):
            fix = "start the server with TLS, or use nbd://"
            raise TrustError(f"{self._address.label}: the server does not do TLS", fix=fix)
        self.stream = self._address.secure(self.stream)

    def ask(self, option: int) -> bool:
        """Ask for something that takes no data and that a server may not have."""
        self._send(option, b"")
        kind = [kind for kind, _ in self._replies(option)][-1]
        return kind == protocol.REP_ACK

    def choose_contexts(self, names: Sequence[str]) -> dict[int, str]:
        export = self._address.export.encode()
        queries = b"".join(_counted(name.encode()) for name in names)
        self._send(protocol.OPT_SET_META_CONTEXT, _counted(export) + struct.pack(">I", len(names)) + queries)
        chosen = {}
        for kind, data in self._replies(protocol.OPT_SET_META_CONTEXT):
            if kind == protocol.REP_META_CONTEXT:
                chosen[int.from_bytes(data[:4], "big")] = data[4:].decode()
        return chosen

    def go(self, export: Export) -> None:
        name = self._address.export.encode()
        self._send(protocol.OPT_GO, _counted(name) + struct.pack(">HH", 1, protocol.INFO_BLOCK_SIZE))
        for kind, data in self._replies(protocol.OPT_GO):
            if kind == protocol.REP_INFO:
                _take_info(export, data)
            elif kind == protocol.REP_ERR_UNSUP:
                self._go_the_old_way(export)
            elif kind & protocol.REP_ERROR:
                raise self._refusal(kind, data)

    def _go_the_old_way(self, export: Export) -> None:
        name = self._address.export.encode()
        self.stream.sendall(protocol.OPTION.pack(protocol.OPTION_MAGIC, protocol.OPT_EXPORT_NAME, len(name)) + name)
        export.size, export.flags = struct.unpack(">QH", self._receive(10))
        if not self._no_zeroes:
            self._receive(124)

    def _refusal(self, kind: int, data: bytes) -> Exception:
        label, says = self._address.label, data.decode(errors="replace").strip()
        if kind == protocol.REP_ERR_UNKNOWN:
            return Unreadable(f"{label}: the server has no such export", fix="check the name behind the last slash")
        if kind == protocol.REP_ERR_TLS_REQD:
            return TrustError(f"{label}: the server wants TLS", fix="use nbds://")
        if kind == protocol.REP_ERR_SHUTDOWN:
            return SessionBroken("the server is shutting down")
        return BadInput(f"{label}: the server refuses the export: {says or hex(kind)}", fix="check the server's log")

    def _send(self, option: int, data: bytes) -> None:
        self.stream.sendall(protocol.OPTION.pack(protocol.OPTION_MAGIC, option, len(data)) + data)

    def _replies(self, option: int) -> Iterator[tuple[int, bytes]]:
        while True:
            magic, echoed, kind, length = protocol.OPTION_REPLY.unpack(self._receive(protocol.OPTION_REPLY.size))
            if magic != protocol.OPTION_REPLY_MAGIC or echoed != option or length > _MAX_OPTION_REPLY_BYTES:
                raise SessionBroken("the server's answer makes no sense")
            yield kind, self._receive(length)
            if kind == protocol.REP_ACK or kind & protocol.REP_ERROR:
                return

    def _receive(self, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            piece = self.stream.recv(length - len(data))
            if not piece:
                raise EOFError("the server closed the connection")
            data += piece
        return bytes(data)


def _take_info(export: Export, data: bytes) -> None:
    kind = int.from_bytes(data[:2], "big")
    if kind == protocol.INFO_EXPORT:
        export.size, export.flags = struct.unpack(">QH", data[2:12])
    elif kind == protocol.INFO_BLOCK_SIZE:
        minimum, _, maximum = struct.unpack(">III", data[2:14])
        export.min_block = max(minimum, 1)
        limit = min(maximum, _DEFAULT_PAYLOAD_BYTES) // export.min_block * export.min_block
        export.max_payload = max(limit, export.min_block)


def _counted(text: bytes) -> bytes:
    return struct.pack(">I", len(text)) + text
