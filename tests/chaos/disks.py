"""The disk that is copied while things are killed: data, text and holes, of a size that fits nothing."""

from __future__ import annotations

import random
from pathlib import Path

from tests.unit.engine.naive import naive_root

MiB = 1 << 20
DISK_BYTES = 200 * MiB + 1000
COMMIT_BYTES = 64 * MiB
"""What may be moved again for each kill."""


class Disk:
    """A raw disk and what has to come of it."""

    def __init__(self, path: Path, size_bytes: int = DISK_BYTES, *, seed: int = 5) -> None:
        self.path = path
        chance = random.Random(seed)
        text = b"all work and no play makes a dull disk\n" * 27_000
        with path.open("wb") as file:
            for at in range(0, size_bytes - MiB, MiB):
                kind = chance.random()
                if kind < 0.75:
                    file.seek(at)
                    file.write(chance.randbytes(MiB) if kind < 0.6 else text[:MiB])
            file.truncate(size_bytes)
        self.size_bytes = size_bytes
        self.content = path.read_bytes()
        self.root = naive_root(self.content)

    def require_equal(self, image: Path) -> None:
        """Fail when a raw image reads differently; behind the end there may be zeros up to a whole sector."""
        found = image.read_bytes()
        assert found[: self.size_bytes] == self.content, f"{image} differs"
        assert not found[self.size_bytes :].strip(b"\0")
        assert len(found) - self.size_bytes < 512
