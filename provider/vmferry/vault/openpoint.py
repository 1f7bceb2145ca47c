# SPDX-License-Identifier: Apache-2.0
"""A backup that is being written: what it will be, kept on disk so that any process can go on with it."""

from __future__ import annotations

import enum
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from vmferry.engine.errors import EngineError
from vmferry.vault import sealed
from vmferry.vault.backup import BackupDisk, DiskInfo, Mode, disk_from_json, disk_to_json
from vmferry.vault.errors import PointGone, TornPoint
from vmferry.vault.layout import WORK, backup_dirs, is_published
from vmferry.vault.names import encode_name, format_moment, parse_moment

PLAN = "plan.json"
_DONE = "done.json"
_BEGUN = "begun.json"


class Keeping(enum.Enum):
    """How one knows whether the owner of an unfinished point is still at it."""

    PROCESS = "process"
    """One process does it all and holds the lock all the time: a free lock means it is dead."""
    STEPS = "steps"
    """Several processes, one step each: between them nobody holds the lock."""


@dataclass(frozen=True, slots=True)
class PlannedDisk:
    """A disk that belongs into the point."""

    info: DiskInfo
    parent: str | None
    """The backup it may stand on; None: it becomes full."""
    reason: str
    """Why it becomes full; empty when that was asked for."""
    source: str | None = None
    """Where its bytes are, where one process does it all: a second start compares it."""


@dataclass(frozen=True, slots=True)
class OpenPoint:
    """A backup between `begin_point` and `publish`."""

    dir: Path
    vm: str
    vm_id: str | None
    site: str | None
    owner: str
    keeping: Keeping
    mode: Mode
    asked_incremental: bool
    started: datetime
    disks: tuple[PlannedDisk, ...]

    @property
    def id(self) -> str:
        """The id of the backup it becomes."""
        return self.dir.name

    @property
    def note(self) -> str:
        """What its maker should be told: an incremental that had to become full."""
        if self.asked_incremental and self.mode is Mode.FULL:
            return "there is nothing to stand on yet: this backup is full"
        return ""

    def disk(self, name: str) -> PlannedDisk:
        """Look a disk up by name."""
        found = next((disk for disk in self.disks if disk.info.name == name), None)
        if found is None:
            raise PointGone(f"VM {self.vm!r}: point {self.id} has no disk {name!r}", fix="begin a new point with it")
        return found

    def work(self, disk: str) -> Path:
        """Give the directory where a disk's journal is."""
        return self.dir / WORK / encode_name(disk, what="disk")

    def done(self, disk: str) -> BackupDisk | None:
        """Give what was written down when the disk was complete."""
        path = self.work(disk) / _DONE
        return disk_from_json(sealed.read(path)) if path.exists() else None

    def record_done(self, disk: BackupDisk) -> None:
        """Write down that a disk is complete."""
        sealed.write(self.work(disk.name) / _DONE, disk_to_json(disk))

    def begun(self, disk: str) -> dict[str, Any] | None:
        """Give what was decided when the disk's copy began."""
        path = self.work(disk) / _BEGUN
        return sealed.read(path) if path.exists() else None

    def record_begun(self, disk: str, decided: Mapping[str, Any]) -> None:
        """Write down what was decided, before any byte is copied."""
        self.work(disk).mkdir(parents=True, exist_ok=True)
        sealed.write(self.work(disk) / _BEGUN, decided)

    def require_open(self) -> None:
        """Raise `PointGone` when somebody took the point away."""
        if not (self.dir / WORK / PLAN).exists():
            raise PointGone(
                f"VM {self.vm!r}: the unfinished point {self.id} was set aside or abandoned", fix="begin a new point"
            )

    def idle_s(self) -> float:
        """Tell for how long nothing was written in it."""
        newest = max((path.stat().st_mtime for path in (self.dir / WORK).rglob("*")), default=0.0)
        return time.time() - newest

    def to_json(self) -> dict[str, Any]:
        """Turn into what plan.json holds."""
        return {
            "vm": self.vm,
            "vm_id": self.vm_id,
            "site": self.site,
            "owner": self.owner,
            "keeping": self.keeping.value,
            "mode": self.mode.value,
            "asked_incremental": self.asked_incremental,
            "started": format_moment(self.started),
            "disks": [
                {"info": asdict(disk.info), "parent": disk.parent, "reason": disk.reason, "source": disk.source}
                for disk in self.disks
            ],
        }


def read_open_point(backup_dir: Path) -> OpenPoint:
    """Read an unfinished point's plan; raises `TornPoint` or `Unreadable`."""
    path = backup_dir / WORK / PLAN
    raw = sealed.read(path)
    try:
        return OpenPoint(
            dir=backup_dir,
            vm=raw["vm"],
            vm_id=raw["vm_id"],
            site=raw["site"],
            owner=raw["owner"],
            keeping=Keeping(raw["keeping"]),
            mode=Mode(raw["mode"]),
            asked_incremental=raw["asked_incremental"],
            started=parse_moment(raw["started"]),
            disks=tuple(
                PlannedDisk(DiskInfo(**disk["info"]), disk["parent"], disk["reason"], disk["source"])
                for disk in raw["disks"]
            ),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise TornPoint(f"{path} is not a plan: {error}", fix="it is safe to remove the unfinished point") from error


def unfinished_dirs(vm_dir: Path) -> list[Path]:
    """List directories of backups that do not exist yet."""
    return [path for path in backup_dirs(vm_dir) if not is_published(path)]


def unfinished_points(vm_dir: Path) -> list[OpenPoint]:
    """Read all unfinished points that can be gone on with."""
    found = []
    for path in unfinished_dirs(vm_dir):
        try:
            found.append(read_open_point(path))
        except EngineError:
            # Its first file never became whole: there is nothing in it to go on with.
            continue
    return found
