"""Downloads an object as OCI's command line does, ten parts of 128 MiB at a time, to a disk of that speed.

``python -m tests.bench.lines.ranges URL FILE [BYTES_PER_SECOND]``
"""

from __future__ import annotations

import os
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

PART, CONNECTIONS = 128 << 20, 10
PIECE = 1 << 20


class Disk:
    """A file; with a rate, it takes no more than a disk of that speed would."""

    def __init__(self, path: str, rate: float | None) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._rate, self._free_at, self._lock = rate, time.monotonic(), threading.Lock()

    def write(self, start: int, piece: bytes) -> None:
        """Write, and wait as long as the disk would take."""
        os.pwrite(self._file, piece, start)
        if self._rate:
            with self._lock:
                self._free_at = max(self._free_at, time.monotonic()) + len(piece) / self._rate
                until = self._free_at
            time.sleep(max(0.0, until - time.monotonic()))


def download(url: str, path: str, rate: float | None = None) -> None:
    """Fill the file, each part through a connection of its own."""
    with urllib.request.urlopen(urllib.request.Request(url, method="HEAD")) as answer:
        size = int(answer.headers["Content-Length"])
    disk = Disk(path, rate)
    with ThreadPoolExecutor(CONNECTIONS) as crew:
        list(crew.map(lambda start: _fetch(url, disk, start, min(start + PART, size)), range(0, size, PART)))


def _fetch(url: str, disk: Disk, start: int, end: int) -> None:
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-{end - 1}"})
    with urllib.request.urlopen(request) as answer:
        while piece := answer.read(PIECE):
            disk.write(start, piece)
            start += len(piece)
    assert start == end


if __name__ == "__main__":
    download(sys.argv[1], sys.argv[2], float(sys.argv[3]) if sys.argv[3:] else None)
