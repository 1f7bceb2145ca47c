# SPDX-License-Identifier: Apache-2.0
"""Show one volume of a disk to a checker: as a loop device, or as a temporary copy where that is not possible."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from vmferry.engine.errors import BadInput
from vmferry.engine.filesystems.loop import NoLoopDevice, loop_device
from vmferry.engine.filesystems.scratch import scratch_copy
from vmferry.engine.filesystems.volumes import RunsReader, Volume
from vmferry.engine.images.reader import ByteReader


@dataclass(frozen=True)
class Disk:
    """The raw bytes that are being checked."""

    reader: ByteReader
    fd: int
    sector_bytes: int
    work_dir: Path | None
    writable: bool = False


@dataclass(frozen=True)
class Exposed:
    """A path that a checker can open."""

    path: str
    keep_fds: tuple[int, ...] = ()
    is_copy: bool = False


@contextmanager
def expose(disk: Disk, volume: Volume, *, writable: bool = False) -> Iterator[Exposed]:
    """Show the volume itself when it is in one piece and loop devices are to be had, else a copy to look at."""
    with ExitStack() as stack:
        yield _attach(stack, disk, volume, writable) or stack.enter_context(expose_copy(disk, volume))


def _attach(stack: ExitStack, disk: Disk, volume: Volume, writable: bool) -> Exposed | None:
    """Attach a loop device; None where only a copy is possible, which is no use for writing."""
    if len(volume.runs) != 1:
        if writable:
            raise BadInput(f"{volume.where} lies in several pieces", fix="repair it where LVM can be activated")
        return None
    offset, length = volume.runs[0]
    try:
        path = stack.enter_context(
            loop_device(disk.fd, offset, length, writable=writable, sector_bytes=disk.sector_bytes)
        )
    except NoLoopDevice as error:
        if writable:
            raise BadInput(f"{volume.where} cannot be repaired: {error.strerror}", fix="run this as root") from error
        return None
    return Exposed(str(path))


@contextmanager
def expose_copy(disk: Disk, volume: Volume) -> Iterator[Exposed]:
    """Show a temporary copy, which a checker may change."""
    with scratch_copy(RunsReader(disk.reader, volume), disk.work_dir) as fd:
        yield Exposed(f"/proc/self/fd/{fd}", (fd,), is_copy=True)
