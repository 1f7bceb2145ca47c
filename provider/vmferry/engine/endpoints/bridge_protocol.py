# SPDX-License-Identifier: Apache-2.0
"""The server's half of the NBD protocol, as much as a read-only export needs."""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple, Optional

_MAGIC = b"NBDMAGIC"
_OPTION_MAGIC = b"IHAVEOPT"
_OPTION_REPLY_MAGIC = 0x3E889045565A9
_REQUEST_MAGIC = 0x25609513
_REPLY_MAGIC = 0x67446698

_FIXED_NEWSTYLE, _NO_ZEROES = 1, 2
_OPT_EXPORT_NAME, _OPT_ABORT, _OPT_INFO, _OPT_GO = 1, 2, 6, 7
_REP_ACK, _REP_INFO, _REP_ERR_UNSUPPORTED = 1, 3, 0x80000001
_INFO_EXPORT, _INFO_BLOCK_SIZE = 0, 3
_EXPORT_FLAGS = 1 | 1 << 1 | 1 << 8  # flags present, read only, several connections see the same bytes
_MOST_OPTION_BYTES = 64 << 10

_READ, _WRITE, _DISCONNECT = 0, 1, 2
_EPERM, _EINVAL = 1, 22


class Request(NamedTuple):
    """What a client asks for."""

    kind: int
    handle: bytes
    offset: int
    length: int

    def refusal(self, size_bytes: int, most_bytes: int) -> int:
        """Return the errno to answer with, or 0 for a read that we do."""
        if self.kind != _READ:
            return _EPERM
        return 0 if 0 < self.length <= most_bytes and self.offset + self.length <= size_bytes else _EINVAL


def negotiate(connection: socket.socket, size_bytes: int, most_bytes: int) -> bool:
    """Shake hands; False when the client went away with an abort."""
    connection.sendall(_MAGIC + _OPTION_MAGIC + struct.pack(">H", _FIXED_NEWSTYLE | _NO_ZEROES))
    (client_flags,) = struct.unpack(">I", _receive(connection, 4))
    while True:
        magic, option, length = struct.unpack(">8sII", _receive(connection, 16))
        if magic != _OPTION_MAGIC or length > _MOST_OPTION_BYTES:
            return False
        _receive(connection, length)
        if option == _OPT_EXPORT_NAME:
            padding = b"" if client_flags & _NO_ZEROES else bytes(124)
            connection.sendall(struct.pack(">QH", size_bytes, _EXPORT_FLAGS) + padding)
            return True
        if option in (_OPT_GO, _OPT_INFO):
            _describe(connection, option, size_bytes, most_bytes)
            if option == _OPT_GO:
                return True
            continue
        _reply_option(connection, option, _REP_ACK if option == _OPT_ABORT else _REP_ERR_UNSUPPORTED)
        if option == _OPT_ABORT:
            return False


def _describe(connection: socket.socket, option: int, size_bytes: int, most_bytes: int) -> None:
    export = struct.pack(">HQH", _INFO_EXPORT, size_bytes, _EXPORT_FLAGS)
    blocks = struct.pack(">HIII", _INFO_BLOCK_SIZE, 1, 4096, most_bytes)
    _reply_option(connection, option, _REP_INFO, export)
    _reply_option(connection, option, _REP_INFO, blocks)
    _reply_option(connection, option, _REP_ACK)


def _reply_option(connection: socket.socket, option: int, kind: int, data: bytes = b"") -> None:
    connection.sendall(struct.pack(">QIII", _OPTION_REPLY_MAGIC, option, kind, len(data)) + data)


def read_request(connection: socket.socket) -> Optional[Request]:
    """Read the next request; None when the client said goodbye or talks nonsense."""
    magic, _, kind, handle, offset, length = struct.unpack(">IHH8sQI", _receive(connection, 28))
    if magic != _REQUEST_MAGIC or kind in (_DISCONNECT, _WRITE):
        return None
    return Request(kind, handle, offset, length)


def reply_header(request: Request, error: int) -> bytes:
    """Return the head of a simple reply; the data follows."""
    return struct.pack(">II8s", _REPLY_MAGIC, error, request.handle)


def _receive(connection: socket.socket, length: int) -> bytes:
    parts = []
    while length > 0:
        part = connection.recv(length)
        if not part:
            raise EOFError("the client left")
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
