# SPDX-License-Identifier: Apache-2.0
"""The SHA-256 of a whole file that somebody promised: read once, in order, over several connections."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Optional, Protocol

from vmferry.engine.endpoint import Connection, Endpoint
from vmferry.engine.errors import BadInput, Cancelled, RefusedImage
from vmferry.engine.progress import Progress
from vmferry.engine.units import MiB

_PIECE_BYTES = 8 * MiB
_AHEAD = 4


class _Hash(Protocol):
    def update(self, data: bytearray, /) -> None: ...


def check_sha256(source: Endpoint, promised: str, progress: Progress, cancel: Optional[threading.Event] = None) -> None:
    """Raise `RefusedImage` when the bytes are not those that were promised."""
    wanted = promised.strip().lower()
    if len(wanted) != 64 or not set(wanted) <= set("0123456789abcdef"):
        raise BadInput(f"{promised!r:.80} is no SHA-256", fix="write 64 hex digits, as sha256sum prints them")
    found = _digest(source, progress, cancel)
    if found != wanted:
        what = f"{source.name}: its SHA-256 is {found}, not the promised {wanted}"
        raise RefusedImage(what, fix="upload it again, or correct the metadata")


def _digest(source: Endpoint, progress: Progress, cancel: Optional[threading.Event]) -> str:
    """Hash in order while the next pieces are being read."""
    digest = hashlib.sha256()
    readers = min(_AHEAD, source.max_connections)
    with contextlib.ExitStack() as stack:
        free: deque[Connection] = deque()
        for _ in range(readers):
            free.append(stack.enter_context(contextlib.closing(source.connect())))
        pool = stack.enter_context(ThreadPoolExecutor(readers, thread_name_prefix="checksum"))
        waiting: deque[tuple[Connection, Future[bytearray]]] = deque()
        for start in range(0, source.size, _PIECE_BYTES):
            if not free:
                _take(waiting, free, digest, progress)
            if cancel is not None and cancel.is_set():
                raise Cancelled(f"{source.name}: stopped while its SHA-256 was computed")
            connection = free.popleft()
            length = min(_PIECE_BYTES, source.size - start)
            waiting.append((connection, pool.submit(_read, connection, start, length)))
        while waiting:
            _take(waiting, free, digest, progress)
    return digest.hexdigest()


def _read(connection: Connection, start: int, length: int) -> bytearray:
    buffer = bytearray(length)
    connection.read_into(start, memoryview(buffer))
    return buffer


def _take(
    waiting: deque[tuple[Connection, Future[bytearray]]], free: deque[Connection], digest: _Hash, progress: Progress
) -> None:
    connection, future = waiting.popleft()
    data = future.result()
    digest.update(data)
    progress.add(len(data))
    free.append(connection)
