# SPDX-License-Identifier: Apache-2.0
"""Extents as the imageio daemon sends them: one JSON array, however long, read without holding it.

The daemon writes the array in one go and gives up after a minute when nobody takes it, so it is drained at once, into
16 bytes an extent: 2 million of them (130 MB of JSON) are 32 MB, and what is beyond that goes to an unnamed file.
"""

from __future__ import annotations

import json
import struct
import tempfile
import threading
from collections.abc import Iterator
from typing import Any, Callable

from vmferry.engine.errors import SourceError
from vmferry.engine.extents import Extent
from vmferry.engine.units import KiB, MiB

_RECORD = struct.Struct("<QQ")
_ZERO = 1 << 63
_BATCH_RECORDS = 4096
_CHUNK_BYTES = 256 * KiB
_MEMORY_BYTES = 32 * MiB


class ExtentSpool:
    """A long list of extents, written once and read any number of times."""

    def __init__(self) -> None:
        # The spool outlives this function: `close` ends it, and it has no name that could be left behind.
        self._file = tempfile.SpooledTemporaryFile(max_size=_MEMORY_BYTES)  # noqa: SIM115
        self._lock = threading.Lock()
        self._count = 0

    def fill(self, extents: Iterator[Extent]) -> None:
        """Store all of them."""
        batch = bytearray()
        for extent in extents:
            batch += _RECORD.pack(extent.start, extent.length | (_ZERO if extent.zero else 0))
            self._count += 1
            if len(batch) >= _BATCH_RECORDS * _RECORD.size:
                self._file.write(batch)
                batch.clear()
        self._file.write(batch)

    def __iter__(self) -> Iterator[Extent]:
        for first in range(0, self._count, _BATCH_RECORDS):
            with self._lock:
                self._file.seek(first * _RECORD.size)
                data = self._file.read(_BATCH_RECORDS * _RECORD.size)
            for start, length in _RECORD.iter_unpack(data):
                yield Extent(start, length & ~_ZERO, bool(length & _ZERO))

    def close(self) -> None:
        """Free memory and file."""
        self._file.close()


def parse_extents(read: Callable[[int], bytes], context: str, name: str) -> Iterator[Extent]:
    """Yield the extents of a JSON array that `read` brings in chunks; of "dirty" ones only those that changed."""
    for raw in parse_objects(read, name):
        try:
            start, length, zero = int(raw["start"]), int(raw["length"]), bool(raw.get("zero", False))
            wanted = context == "zero" or bool(raw["dirty"])
        except (KeyError, TypeError, ValueError) as error:
            raise SourceError(f"{name}: the daemon sent an extent that is none: {str(raw)[:100]}") from error
        if start < 0 or length <= 0:
            raise SourceError(f"{name}: the daemon sent an impossible extent: {str(raw)[:100]}")
        if wanted:
            yield Extent(start, length, zero)


def parse_objects(read: Callable[[int], bytes], name: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON array of flat objects, a chunk at a time.

    Flat objects of numbers and truth values hold no brace, so everything up to the last one in a chunk is whole.
    """
    pending, began = b"", False
    while chunk := read(_CHUNK_BYTES):
        pending += chunk
        if not began:
            pending = pending.lstrip()
            if not pending.startswith(b"["):
                raise SourceError(f"{name}: the daemon's list of extents is none")
            pending, began = pending[1:], True
        end = pending.rfind(b"}") + 1
        if end:
            yield from _parse_batch(pending[:end], name)
            pending = pending[end:]
    if not began or pending.strip() != b"]":
        raise ConnectionError("the list of extents ends too early")


def _parse_batch(text: bytes, name: str) -> list[dict[str, Any]]:
    try:
        batch: list[dict[str, Any]] = json.loads(b"[" + text.lstrip(b", \r\n\t") + b"]")
    except ValueError as error:
        raise SourceError(f"{name}: the daemon's list of extents is no JSON: {error}") from error
    return batch
