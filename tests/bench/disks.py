"""Makes the disks of the bench: half of the data compresses, as it does on real disks, and it is not in one piece."""

from __future__ import annotations

import random
from pathlib import Path

MiB = 1 << 20


def make_raw(path: Path, size_bytes: int, data_bytes: int, seed: int = 1) -> Path:
    """Make a sparse raw disk with `data_bytes` in runs of 64 KiB to 4 MiB."""
    source = random.Random(seed)
    noise = source.randbytes(8 * MiB)
    left = data_bytes
    gap = (size_bytes - data_bytes) // max(1, data_bytes // MiB)
    with path.open("wb") as file:
        file.truncate(size_bytes)
        position = 0
        while left > 0 and position < size_bytes:
            length = min(left, 65536 << source.randrange(7), size_bytes - position)
            file.seek(position)
            file.write(_piece(noise, source, length))
            left -= length
            position = (position + length + min(gap, 64 * MiB) * length // MiB) // 65536 * 65536
    return path


def change_share(path: Path, share: float, data_bytes: int, seed: int) -> list[tuple[int, int]]:
    """Overwrite a share of the data in runs of 64 to 512 KiB; give what was written as (offset, length)."""
    source = random.Random(seed)
    size, left, written = path.stat().st_size, int(data_bytes * share), []
    with path.open("r+b") as file:
        while left > 0:
            length = min(left, 65536 << source.randrange(4))
            offset = source.randrange((size - length) // 65536) * 65536
            file.seek(offset)
            file.write(source.randbytes(length))
            written.append((offset, length))
            left -= length
    return written


def _piece(noise: bytes, source: random.Random, length: int) -> bytes:
    """Half noise, half text, in pages of 4 KiB."""
    pages = []
    for _ in range(-(-length // 8192)):
        start = source.randrange(len(noise) - 4096)
        pages.append(noise[start : start + 4096] + (b"the quick brown fox %10d " % start * 120)[:4096])
    return b"".join(pages)[:length]
