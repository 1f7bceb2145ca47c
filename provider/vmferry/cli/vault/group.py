# SPDX-License-Identifier: Apache-2.0
"""The group itself, the arguments its commands share, and how a command is stopped."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import click

from vmferry.cli.exits import Exit
from vmferry.cli.lazy import LazyGroup
from vmferry.engine.errors import BadInput
from vmferry.engine.progress import Progress, Status


@click.group(
    cls=LazyGroup,
    modules={
        **{name: f"vmferry.cli.vault.{name}" for name in ("add", "ls", "show", "verify", "restore", "prune", "hold")},
        "release": "vmferry.cli.vault.hold",
        "doctor": "vmferry.cli.vault.doctor",
    },
)
def vault() -> None:
    """Write, list, verify, restore and prune backups.

    DIR is the backup directory; a VM's backups are in a directory of its name below it.
    """


directory_argument = click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
vm_argument = click.argument("vm", metavar="VM")
any_vm_argument = click.argument("vm", metavar="[VM]", required=False)
backup_option = click.option("--backup", metavar="ID", help="Id of the backup, or the beginning of it.")


def split_disks(pairs: tuple[str, ...], example: str) -> dict[str, str]:
    """Read ``DISK=WHERE`` arguments."""
    found: dict[str, str] = {}
    for pair in pairs:
        disk, equals, where = pair.partition("=")
        if not (disk and equals and where) or "://" in disk:
            raise BadInput(f"{pair!r} does not say which disk", fix=f"write DISK={example}")
        if disk in found:
            raise BadInput(f"disk {disk!r} is given twice", fix="name each disk once")
        found[disk] = where
    return found


class StopSignal:
    """Sets an event at the first SIGINT or SIGTERM, ends the process at the second."""

    def __init__(self, event: threading.Event | None = None, *, says: str = "") -> None:
        self.event = event or threading.Event()
        self._says = says
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.event.is_set():
            os._exit(Exit.CANCELLED)
        self.event.set()
        if self._says:
            # Not through sys.stderr: whoever was interrupted may be writing to it.
            os.write(2, f"{self._says}\n".encode())


class DiskMeters:
    """One progress a disk, read as one."""

    def __init__(self, disks: Mapping[str, Any]) -> None:
        self._progress = {disk: Progress() for disk in disks}

    def of(self, disk: str) -> Progress:
        """Give the disk's own."""
        return self._progress[disk]

    def status(self) -> Status:
        """Add all disks up."""
        each = [one.status() for one in self._progress.values()]
        totals = [one.bytes_total for one in each]
        total = sum(one for one in totals if one is not None) if any(totals) else None
        done, rate = sum(one.bytes_done for one in each), sum(one.bytes_per_s for one in each)
        eta = (total - done) / rate if total is not None and rate > 0 else None
        return Status(done, total, sum(one.zero_bytes for one in each), rate, eta)


Pacer = Callable[[str], Any]


def pacer(meters: DiskMeters, stop: StopSignal, *, rate: str | None, workers: int) -> Pacer:
    """Give each disk the same limits and its own progress; the rate is shared by all of them."""
    from vmferry.engine.throttle import Throttle
    from vmferry.engine.units import parse_rate
    from vmferry.vault.adding import Pace

    throttle = Throttle(parse_rate(rate, field="--rate")) if rate else None
    return lambda disk: Pace(workers=workers, throttle=throttle, progress=meters.of(disk), cancel=stop.event)
