"""Downloads an object as OCI's command line does, ten parts of 128 MiB at a time: ``ranges.py URL FILE``."""

from __future__ import annotations

import os
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor

PART, CONNECTIONS = 128 << 20, 10
PIECE = 1 << 20


def download(url: str, path: str) -> None:
    """Fill the file, each part through a connection of its own."""
    with urllib.request.urlopen(urllib.request.Request(url, method="HEAD")) as answer:
        size = int(answer.headers["Content-Length"])
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with ThreadPoolExecutor(CONNECTIONS) as crew:
        list(crew.map(lambda start: _fetch(url, file, start, min(start + PART, size)), range(0, size, PART)))
    os.close(file)


def _fetch(url: str, file: int, start: int, end: int) -> None:
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-{end - 1}"})
    with urllib.request.urlopen(request) as answer:
        while piece := answer.read(PIECE):
            start += os.pwrite(file, piece, start)
    assert start == end


if __name__ == "__main__":
    download(*sys.argv[1:])
