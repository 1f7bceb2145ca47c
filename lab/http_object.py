"""Objects the lab's HTTP server holds: bytes or a file, with the validators a storage gives them."""

from __future__ import annotations

import email.utils
import hashlib
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHUNK_BYTES = 64 << 10

_clock = itertools.count(1_700_000_000)  # every stored version has a Last-Modified of its own


@dataclass(frozen=True, slots=True)
class HttpObject:
    """One version of an object."""

    content: bytes | Path
    size_bytes: int
    etag: str | None
    modified: str | None

    @classmethod
    def create(cls, content: bytes | Path, *, etag: str | None, dated: bool) -> HttpObject:
        """Describe new content; `etag` is "strong", "weak" or None."""
        moment = next(_clock)
        tag = '"' + _digest(content, moment) + '"' if etag else None
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        modified = email.utils.formatdate(moment, usegmt=True) if dated else None
        return cls(content, size, f"W/{tag}" if etag == "weak" else tag, modified)

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes from `start` up to `end` in chunks."""
        if isinstance(self.content, bytes):
            for at in range(start, end, CHUNK_BYTES):
                yield self.content[at : min(at + CHUNK_BYTES, end)]
            return
        with self.content.open("rb") as file:
            for at in range(start, end, CHUNK_BYTES):
                yield os.pread(file.fileno(), min(CHUNK_BYTES, end - at), at)


def _digest(content: bytes | Path, moment: int) -> str:
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()[:32]
    return f"{content.stat().st_mtime_ns:x}-{moment:x}"
