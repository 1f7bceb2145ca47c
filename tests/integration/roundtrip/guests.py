"""Disks that are written to between backups, each with a plain model of what it reads like."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from lab.hypervisor import Hypervisor
from lab.imageio import ImageioDaemon
from lab.nbd import serve
from tests.integration.roundtrip.ways import reach, transfer

from vmferry.engine.endpoint import Connection, EndpointSpec
from vmferry.engine.endpoints import open_target


class Stroke(NamedTuple):
    """One write of a guest."""

    at: int
    data: bytes | None
    """None: a hole."""
    length: int


class Point(NamedTuple):
    """A frozen moment."""

    source: EndpointSpec
    bitmap: str | None
    """What changed since the last point, when the source knows."""


class Guest(Protocol):
    """A disk in use."""

    def write(self, strokes: list[Stroke]) -> None:
        """Write."""

    def grow(self, size_bytes: int) -> None:
        """Become larger."""

    def freeze(self, late: list[Stroke]) -> contextlib.AbstractContextManager[Point]:
        """Give the bytes of this moment; the guest writes `late` while they are read, where that is possible."""


class RawGuest:
    """A raw image that its guest does not use while it is read."""

    sector = 1

    def __init__(self, room: Path, way: str, size_bytes: int, daemon: ImageioDaemon) -> None:
        self._way, self._daemon = way, daemon
        self._disk = room / "disk.raw"
        self._disk.write_bytes(b"")
        self.grow(size_bytes)

    def write(self, strokes: list[Stroke]) -> None:
        with self._disk.open("r+b") as file:
            for stroke in strokes:
                if stroke.data is None:
                    punch(file.fileno(), stroke.at, stroke.length)
                else:
                    os.pwrite(file.fileno(), stroke.data, stroke.at)

    def grow(self, size_bytes: int) -> None:
        os.truncate(self._disk, size_bytes)
        self._size = size_bytes

    @contextlib.contextmanager
    def freeze(self, late: list[Stroke]) -> Iterator[Point]:
        with reach(self._way, self._disk, "raw", self._size, self._daemon) as source:
            yield Point(source, None)
        self.write(late)


class ImageGuest:
    """A qcow2 that keeps its dirty bitmaps itself; its guest does not use it while it is read."""

    def __init__(self, room: Path, way: str, size_bytes: int, daemon: ImageioDaemon) -> None:
        self._way, self._daemon, self._size = way, daemon, size_bytes
        self._disk = room / "disk.qcow2"
        self._bitmap = ""
        self._count = 0
        self._door = room / "guest.sock"
        run("qemu-img", "create", "-q", "-f", "qcow2", self._disk, size_bytes)

    def write(self, strokes: list[Stroke]) -> None:
        if strokes:
            with serve(self._disk, "qcow2", socket_path=self._door) as server:
                write_over_nbd(server.spec(), strokes)

    def grow(self, size_bytes: int) -> None:
        run("qemu-img", "resize", "-q", "-f", "qcow2", self._disk, size_bytes)
        self._size = size_bytes

    @contextlib.contextmanager
    def freeze(self, late: list[Stroke]) -> Iterator[Point]:
        old = self._bitmap
        with reach(self._way, self._disk, "qcow2", self._size, self._daemon, bitmap=old) as source:
            yield Point(source, old or None)
        self._count += 1
        self._bitmap = f"since{self._count}"
        run("qemu-img", "bitmap", "--add", self._disk, self._bitmap)
        if old:
            run("qemu-img", "bitmap", "--remove", self._disk, old)
        self.write(late)


class RunningGuest:
    """A disk in a real qemu, which freezes points while its guest goes on writing."""

    def __init__(self, room: Path, way: str, size_bytes: int, daemon: ImageioDaemon) -> None:
        self._way, self._daemon, self._size = way, daemon, size_bytes
        image = room / "disk.qcow2"
        run("qemu-img", "create", "-q", "-f", "qcow2", image, size_bytes)
        self._hypervisor = Hypervisor(image)

    def write(self, strokes: list[Stroke]) -> None:
        if strokes:
            write_over_nbd(EndpointSpec("nbd", self._hypervisor.guest_url), strokes)

    def grow(self, size_bytes: int) -> None:
        self._hypervisor.resize(size_bytes)
        self._size = size_bytes

    @contextlib.contextmanager
    def freeze(self, late: list[Stroke]) -> Iterator[Point]:
        frozen = self._hypervisor.freeze()
        try:
            self.write(late)
            if self._way == "nbd":
                yield Point(EndpointSpec("nbd", frozen.url), frozen.bitmap)
                return
            door = Path(frozen.url.partition("socket=")[2])
            name = f"point{frozen.number}"
            dirty = frozen.bitmap is not None
            with transfer(self._daemon, door, self._size, ops=("read",), dirty=dirty, export=name) as source:
                yield Point(source, frozen.bitmap)
        finally:
            self._hypervisor.release()

    def close(self) -> None:
        self._hypervisor.close()


def write_over_nbd(spec: EndpointSpec, strokes: list[Stroke]) -> None:
    """Write as a guest does, and flush."""
    with contextlib.closing(open_target(spec, 0)) as disk, contextlib.closing(disk.connect()) as connection:
        for stroke in strokes:
            write_one(connection, stroke)
        connection.flush()


def write_one(connection: Connection, stroke: Stroke) -> None:
    if stroke.data is None:
        connection.zero(stroke.at, stroke.length)
    else:
        connection.write(stroke.at, memoryview(stroke.data))


def punch(fd: int, offset: int, length: int) -> None:
    """Make a hole (fallocate(2), PUNCH_HOLE and KEEP_SIZE)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.fallocate(fd, 3, ctypes.c_int64(offset), ctypes.c_int64(length)):
        raise OSError(ctypes.get_errno(), "cannot punch a hole")


def run(*command: object) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
