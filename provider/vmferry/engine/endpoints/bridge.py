# SPDX-License-Identifier: Apache-2.0
"""Serve any readable endpoint as an NBD export, so that qemu can read an image format out of it without a file.

Small on purpose: fixed newstyle handshake, read only, simple replies. qemu has up to 16 requests in flight on its one
connection; they are answered in parallel and out of order, each over a connection of the endpoint.
"""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import struct
import threading
import uuid
from typing import Any, NamedTuple, Optional

from vmferry.engine.endpoint import Endpoint
from vmferry.engine.endpoints.block_reader import BlockReader
from vmferry.engine.endpoints.bridge_protocol import Request, negotiate, read_request, reply_header
from vmferry.engine.errors import EngineError, NotADiskImage
from vmferry.engine.units import MiB

MAX_READ_BYTES = 2 * MiB
WORKERS = 8

_EIO = 5
_ENDLESS_BYTES = 1 << 60


class _Job(NamedTuple):
    peer: _Peer
    request: Request


class _Peer:
    """A client's socket; replies of several workers must not mix."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._lock = threading.Lock()

    def reply(self, header: bytes, data: memoryview) -> None:
        """Send one reply; a client that left is its own affair."""
        with self._lock, contextlib.suppress(OSError):
            self.connection.sendall(header)
            if len(data):
                self.connection.sendall(data)


class Bridge:
    """Serves until it is closed. Its socket has an abstract name: nothing is left on disk when we are killed."""

    def __init__(self, endpoint: Endpoint, *, workers: int = WORKERS, slack_bytes: Optional[int] = None) -> None:
        """With `slack_bytes`, what lies further behind the end is an error, and so many bytes there are zeros.

        qemu reads zeros behind the end of a file: a qcow2 that was cut off in an upload would be a disk with holes.
        It cannot do so when the export is said to be larger than anything an image points to.
        """
        self.failure: Optional[EngineError] = None
        """The first error of the endpoint: NBD carries no more than "I/O error" to the client."""
        self._endpoint = endpoint
        self._slack_bytes = slack_bytes or 0
        self._announced = endpoint.size if slack_bytes is None else _ENDLESS_BYTES
        self._reader = BlockReader(endpoint)
        self._jobs: queue.Queue[Optional[_Job]] = queue.Queue()
        self._peers: list[_Peer] = []
        self._lock = threading.Lock()
        self._closed = False
        self._name = f"vmferry-bridge-{uuid.uuid4()}"
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(f"\0{self._name}")
        self._listener.listen(16)
        self._threads: list[threading.Thread] = []
        self._start(self._accept)
        for _ in range(workers):
            self._start(self._work)

    @property
    def qemu_node(self) -> dict[str, Any]:
        """What a format driver of qemu takes as its `file`."""
        return {"driver": "nbd", "server": {"type": "unix", "path": self._name, "abstract": True}, "export": ""}

    def connect(self) -> socket.socket:
        """Open a socket to the export, for clients in this process."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(f"\0{self._name}")
        return connection

    def _start(self, work: Any, *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # closed
            with self._lock:
                if self._closed or not _is_ours(connection):
                    connection.close()
                    continue
                peer = _Peer(connection)
                self._peers.append(peer)
                self._start(self._serve, peer)

    def _serve(self, peer: _Peer) -> None:
        try:
            with contextlib.suppress(OSError, EOFError):
                if not negotiate(peer.connection, self._announced, MAX_READ_BYTES):
                    return
                while (request := read_request(peer.connection)) is not None:
                    self._jobs.put(_Job(peer, request))
        finally:
            with contextlib.suppress(OSError):
                peer.connection.shutdown(socket.SHUT_RDWR)

    def _work(self) -> None:
        buffer = memoryview(bytearray(MAX_READ_BYTES))
        while (job := self._jobs.get()) is not None:
            error, data = self._answer(job.request, buffer)
            job.peer.reply(reply_header(job.request, error), data)

    def _answer(self, request: Request, buffer: memoryview) -> tuple[int, memoryview]:
        refused = request.refusal(self._announced, MAX_READ_BYTES)
        if refused:
            return refused, buffer[:0]
        try:
            self._read(request.offset, buffer[: request.length])
        except EngineError as error:
            self.failure = self.failure or error
            return _EIO, buffer[:0]
        return 0, buffer[: request.length]

    def _read(self, offset: int, buffer: memoryview) -> None:
        size = self._endpoint.size
        if offset + len(buffer) > size + self._slack_bytes:
            raise NotADiskImage(
                f"{self._endpoint.name}: the image points behind its own end (byte {size}), so it was cut off",
                fix="upload or export it again",
            )
        inside = max(0, min(len(buffer), size - offset))
        if inside:
            self._reader.read_into(offset, buffer[:inside])
        buffer[inside:] = bytes(len(buffer) - inside)

    def close(self) -> None:
        """Stop serving; the endpoint stays open. May be called twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            peers = list(self._peers)
        # shutdown() wakes up accept(), close() alone does not
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for peer in peers:
            with contextlib.suppress(OSError):
                peer.connection.shutdown(socket.SHUT_RDWR)
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        for peer in peers:
            peer.connection.close()
        self._reader.close()


def _is_ours(connection: socket.socket) -> bool:
    """Tell whether the client runs as the same user: an abstract name has no permissions of its own."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return bool(struct.unpack("3i", raw)[1] == os.geteuid())
