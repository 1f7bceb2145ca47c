"""A guest that goes on writing, and remembers each write: what any frozen moment of its disks has to hold.

Every write is one request to qemu, and the next begins when it is answered, so a moment is told by one number: how many
writes came before it. Each block says which write it is.
"""

from __future__ import annotations

import hashlib
import random
import struct
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from lab.ovirt.lab import LabVm

from vmferry.engine.endpoint import EndpointSpec
from vmferry.engine.endpoints import open_target
from vmferry.engine.units import KiB

SLOT_BYTES = 64 * KiB
_MAGIC = b"storm-guest\n"
_HEAD = struct.Struct(">12sQ")


@dataclass(frozen=True, slots=True)
class Write:
    """One write; the number is its place in the list, from 1."""

    disk: int
    offset: int
    length: int
    seed: int
    asked: float
    """When it was asked for, seconds since the epoch."""


class Guest(threading.Thread):
    """Writes to the disks of one VM until it is stopped."""

    def __init__(self, vm: LabVm, contents: Sequence[Path], seed: int, *, pause_s: float) -> None:
        super().__init__(name=f"guest of {vm.name}", daemon=True)
        self.vm = vm
        self.writes: list[Write] = []
        self.failure: BaseException | None = None
        self._contents = list(contents)
        self._dice = random.Random(seed)
        self._pause_s = pause_s
        self._ending = threading.Event()

    def run(self) -> None:
        """Write."""
        try:
            self._write_on()
        except BaseException as error:
            self.failure = error
            raise

    def _write_on(self) -> None:
        with ExitStack() as opened:
            ways = []
            for disk in self.vm.disks:
                target = open_target(EndpointSpec("nbd", self.vm.guest_urls[disk]), 0)
                opened.callback(target.close)
                ways.append(target.connect())
                opened.callback(ways[-1].close)
            while not self._ending.wait(self._pause_s * self._dice.uniform(0.2, 1.8)):
                number = self._dice.randrange(len(ways))
                slots = self._contents[number].stat().st_size // SLOT_BYTES
                wish = Write(
                    number, self._dice.randrange(slots) * SLOT_BYTES, self._dice.randrange(512, SLOT_BYTES + 1, 512),
                    self._dice.getrandbits(48), time.time(),
                )  # fmt: skip
                # Noted first: a moment may hold what is asked for and not answered yet.
                self.writes.append(wish)
                ways[number].write(wish.offset, memoryview(_block(len(self.writes), wish)))

    def stop(self) -> None:
        """End it."""
        self._ending.set()
        self.join(60)

    def read_moment(self, copies: Sequence[Path]) -> int:
        """Say how many writes came before the moment that these copies of all its disks hold."""
        return max(newest_write(path) for path in copies)

    def digests_at(self, moment: int) -> list[str]:
        """Give what each disk held after so many writes."""
        images = [bytearray(path.read_bytes()) for path in self._contents]
        for number, write in enumerate(self.writes[:moment], 1):
            images[write.disk][write.offset : write.offset + write.length] = _block(number, write)
        return [hashlib.sha256(image).hexdigest() for image in images]

    def count_before(self, moment_s: float) -> int:
        """Count the writes that had been asked for by then."""
        return sum(1 for write in list(self.writes) if write.asked <= moment_s)


def newest_write(path: Path) -> int:
    """Find the highest number of a write in a copy of a disk."""
    newest = 0
    with path.open("rb") as image:
        for offset in range(0, path.stat().st_size, SLOT_BYTES):
            image.seek(offset)
            head = image.read(_HEAD.size)
            if head.startswith(_MAGIC):
                newest = max(newest, _HEAD.unpack(head)[1])
    return newest


def make_content(path: Path, size_bytes: int, data_bytes: int, seed: int) -> Path:
    """Make a disk with data in some of its slots; the others are holes."""
    dice = random.Random(seed)
    slots = dice.sample(range(size_bytes // SLOT_BYTES), data_bytes // SLOT_BYTES)
    with path.open("wb") as image:
        image.truncate(size_bytes)
        for slot in sorted(slots):
            image.seek(slot * SLOT_BYTES)
            image.write(dice.randbytes(SLOT_BYTES))
    return path


def _block(number: int, write: Write) -> bytes:
    body = random.Random(write.seed).randbytes(write.length - _HEAD.size)
    return _HEAD.pack(_MAGIC, number) + body
