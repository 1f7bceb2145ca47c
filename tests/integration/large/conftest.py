"""Disks of terabytes with little in them, made in a moment, and a plain reference for their roots."""

from __future__ import annotations

import hashlib
import os
import random
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

KiB, MiB, GiB, TiB = 1 << 10, 1 << 20, 1 << 30, 1 << 40
LEAF = 64 * KiB
RSS_LIMIT_BYTES = 150 * MiB


# A process inherits the peak of whoever starts it (what was there before exec counts), and a test runner may be large:
# so a small process stands in between and says what its child came to.
LAUNCHER = """
import os, sys
pid = os.fork()
if pid == 0:
    os.execv(sys.argv[2], sys.argv[2:])
_, status, used = os.wait4(pid, 0)
with open(sys.argv[1], "w") as out:
    out.write(str(used.ru_maxrss))
sys.exit(os.waitstatus_to_exitcode(status))
"""


@dataclass(frozen=True)
class Measured:
    """What a command did, and the most memory that it, or any child of it, had at once."""

    out: str
    rss_bytes: int


@pytest.fixture
def measure(tmp_path: Path) -> Callable[..., Measured]:
    """Run a vmferry command that has to end well."""

    def run(*words: object) -> Measured:
        command = [sys.executable, str(Path(sys.executable).with_name("vmferry")), *(str(word) for word in words)]
        environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}
        peak = tmp_path / "peak"
        launched = [sys.executable, "-I", "-S", "-c", LAUNCHER, str(peak), *command]
        done = subprocess.run(launched, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        return Measured(done.stdout, int(peak.read_text()) * KiB)

    return run


class Scattered:
    """Data in pieces of whole leaves, all over a disk."""

    def __init__(self, size_bytes: int, data_bytes: int, *, seed: int = 11) -> None:
        self.size_bytes = size_bytes
        chance = random.Random(seed)
        starts = chance.sample(range(size_bytes // MiB), data_bytes // MiB)
        self._pieces = [(number * MiB, chance.randrange(1 << 30)) for number in sorted(starts)]

    def write(self, write: Callable[[int, bytes], object]) -> None:
        """Put it somewhere."""
        for at, seed in self._pieces:
            write(at, random.Random(seed).randbytes(MiB))

    def root(self) -> str:
        """Compute the root straight from docs/format.md, leaf for leaf."""
        leaves: dict[int, bytes] = {}

        def note(at: int, data: bytes) -> None:
            for inside in range(0, MiB, LEAF):
                leaves[(at + inside) // LEAF] = hashlib.sha256(data[inside : inside + LEAF]).digest()

        self.write(note)
        return root_of(self.size_bytes, leaves)


def root_of(size_bytes: int, leaves: dict[int, bytes]) -> str:
    """Compute a root from the digests of the leaves that are not zeros."""
    root = hashlib.sha256(b"vmferry root 1\n" + struct.pack("<Q", size_bytes))
    groups: dict[int, list[int]] = {}
    for number in sorted(leaves):
        groups.setdefault(number // 64, []).append(number)
    for group, numbers in groups.items():
        mask = sum(1 << number % 64 for number in numbers)
        digest = hashlib.sha256(struct.pack("<Q", mask) + b"".join(leaves[number] for number in numbers)).digest()
        root.update(struct.pack("<Q", group) + digest)
    return root.hexdigest()
