# SPDX-License-Identifier: Apache-2.0
"""Looks for what should not be in a vault, and says what is safe to do about it. Changes nothing."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from vmferry.engine.errors import EngineError
from vmferry.engine.units import format_seconds
from vmferry.vault.catalogue import Entry, Shelf, read_shelf
from vmferry.vault.layout import HOLD, NEXT, POINT, POINT_NEXT, WORK, Vault, backup_dirs
from vmferry.vault.links import check_file, check_links
from vmferry.vault.lock import READERS, WRITERS, is_free, read_holder
from vmferry.vault.openpoint import Keeping, OpenPoint, read_open_point, unfinished_dirs
from vmferry.vault.quarantine import KEPT_FOR, list_quarantine
from vmferry.vault.records import VERIFIED
from vmferry.vault.swap import has_fold


class Trouble(enum.Enum):
    """A kind of thing that should not be."""

    UNFINISHED = "unfinished"
    """A backup that was never published."""
    INTERRUPTED_FOLD = "interrupted-fold"
    """Prune was cut off while folding."""
    ORPHAN = "orphan"
    """A file or directory that belongs to no backup."""
    MISPLACED = "misplaced"
    """A backup that is not in the directory of its VM, or not under its name."""
    TORN = "torn"
    """A point.json that cannot be read."""
    BROKEN_LINK = "broken-link"
    """A backup stands on something that is not there, or not as it was."""
    MISSING_FILE = "missing-file"
    """A backup misses a file, or it has another size."""
    STALE_LOCK = "stale-lock"
    """A lock file whose holder died; the lock itself is free."""
    EXPIRED = "expired"
    """It has been in the quarantine long enough."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that should not be, and what to do."""

    trouble: Trouble
    vm: str
    path: str
    message: str
    advice: str
    harmless: bool
    """No backup is in danger."""

    def to_json(self) -> dict[str, Any]:
        """Turn into plain data."""
        return {**asdict(self), "trouble": self.trouble.value}


def examine(vault: Vault, vm: str | None = None, *, now: datetime | None = None) -> tuple[Diagnosis, ...]:
    """Look at all of a vault, or at one VM."""
    moment = now or datetime.now(UTC)
    found: list[Diagnosis] = []
    for vm_dir in vault.vm_dirs(vm):
        shelf = read_shelf(vm_dir)
        found += _locks(shelf)
        found += _unfinished(shelf)
        for entry in shelf.entries:
            found += _entry(shelf, entry)
        found += _strangers(shelf)
    if vm is None:
        found += _top(vault)
    found += _quarantine(vault, vm, moment)
    return tuple(found)


def _locks(shelf: Shelf) -> Iterator[Diagnosis]:
    for name in (WRITERS, READERS):
        path = shelf.dir / name
        holder = read_holder(path) if path.exists() and is_free(path) else None
        if holder is not None:
            what = f"{holder} died without saying so; the lock is free"
            yield Diagnosis(Trouble.STALE_LOCK, shelf.vm, str(path), what, "nothing: the next one takes it over", True)


def _unfinished(shelf: Shelf) -> Iterator[Diagnosis]:
    free = is_free(shelf.dir / WRITERS)
    for path in unfinished_dirs(shelf.dir):
        try:
            point = read_open_point(path)
        except EngineError as error:
            what = f"backup {path.name} was never published and cannot be gone on with: {error.what}"
            yield Diagnosis(Trouble.UNFINISHED, shelf.vm, str(path), what, f"it is safe to remove {path}", True)
            continue
        if free or point.keeping is Keeping.STEPS:
            yield _unfinished_point(shelf, point)


def _unfinished_point(shelf: Shelf, point: OpenPoint) -> Diagnosis:
    done = [disk.info.name for disk in point.disks if (point.work(disk.info.name) / "done.json").exists()]
    idle = format_seconds(point.idle_s())
    what = (
        f"backup {point.id} of {point.owner} was never published; {len(done)} of {len(point.disks)} disks are complete,"
        f" nothing was written for {idle}"
    )
    again = "run the same vault add again" if point.keeping is Keeping.PROCESS else f"let {point.owner} go on"
    advice = f"{again}: it goes on where it stopped; or remove {point.dir}"
    return Diagnosis(Trouble.UNFINISHED, shelf.vm, str(point.dir), what, advice, True)


def _entry(shelf: Shelf, entry: Entry) -> Iterator[Diagnosis]:
    if entry.backup is None:
        advice = "bring point.json back from a copy of the vault; prune leaves it and everything older alone until then"
        yield Diagnosis(Trouble.TORN, shelf.vm, str(entry.dir / POINT), str(entry.error), advice, False)
        return
    if entry.swapping:
        what = f"a fold into {entry.id} was cut off after its new files were complete; the backup is whole"
        yield Diagnosis(Trouble.INTERRUPTED_FOLD, shelf.vm, str(entry.dir), what, "the next add or prune ends it", True)
    elif (entry.dir / WORK).exists():
        what = f"a fold into {entry.id} was cut off; the backup is as it was before"
        if not has_fold(entry.dir):
            what = f"{entry.id} is complete, but its working directory was not cleared away"
        yield Diagnosis(
            Trouble.INTERRUPTED_FOLD, shelf.vm, str(entry.dir), what, "the next prune goes on or clears up", True
        )
    for file in entry.backup.files:
        for fault in check_file(entry, file):
            yield _missing(shelf, entry, fault.message)
    for disk in entry.backup.disks:
        try:
            own = [fault for fault in check_links(shelf.chain(entry.backup, disk)) if fault.backup == entry.id]
        except EngineError as error:
            yield Diagnosis(
                Trouble.BROKEN_LINK,
                shelf.vm,
                str(entry.dir),
                error.what,
                "bring the missing one back from the quarantine or from a copy; the next incremental becomes full",
                False,
            )
            continue
        for fault in own:
            yield _missing(shelf, entry, f"disk {disk.name}: {fault.message}")
    yield from _orphans(shelf, entry, {file.name for file in entry.backup.all_files()})


def _missing(shelf: Shelf, entry: Entry, message: str) -> Diagnosis:
    advice = "bring the file back from a copy of the vault; restore an older backup if you need one now"
    return Diagnosis(Trouble.MISSING_FILE, shelf.vm, str(entry.dir), f"backup {entry.id}: {message}", advice, False)


def _orphans(shelf: Shelf, entry: Entry, known: set[str]) -> Iterator[Diagnosis]:
    known = known | {POINT, POINT_NEXT, HOLD, WORK}
    for path in sorted(entry.dir.iterdir()):
        folding = path.name.endswith((NEXT, ".tmp")) and (entry.swapping or (entry.dir / WORK).exists())
        if path.name not in known and not folding:
            yield _orphan(shelf.vm, path, f"{path.name} belongs to no backup, though it lies in {entry.id}")


def _strangers(shelf: Shelf) -> Iterator[Diagnosis]:
    for entry in shelf.misplaced:
        advice = entry.error.fix if entry.error else ""
        yield Diagnosis(
            Trouble.MISPLACED, shelf.vm, str(entry.dir), "a backup, but not where it belongs", advice, False
        )
    known = {path.name for path in backup_dirs(shelf.dir)} | {WRITERS, READERS, VERIFIED}
    known |= {entry.id for entry in shelf.misplaced}
    if shelf.dir.name in known:
        return  # a backup itself: what is in it is its own
    for path in sorted(shelf.dir.iterdir()):
        if path.name not in known:
            yield _orphan(shelf.vm, path, f"{path.name} is no backup")
    ids = {entry.id for entry in shelf.entries}
    for path in sorted((shelf.dir / VERIFIED).glob("*")):
        if path.name not in ids:
            yield _orphan(shelf.vm, path, f"it says when {path.name} was verified, which is not there any more")


def _top(vault: Vault) -> Iterator[Diagnosis]:
    for path in sorted(vault.path.iterdir()):
        if not path.is_dir():
            yield _orphan("", path, f"{path.name} is not the directory of a VM")


def _orphan(vm: str, path: Path, what: str) -> Diagnosis:
    return Diagnosis(Trouble.ORPHAN, vm, str(path), what, f"look at it; vmferry does not need it: {path}", True)


def _quarantine(vault: Vault, vm: str | None, now: datetime) -> Iterator[Diagnosis]:
    only = vault.vm_dir(vm).name if vm is not None else None
    for one in list_quarantine(vault):
        if (only is None or one.vm_dir == only) and now - one.since > KEPT_FOR:
            what = f"{one.id} was deleted {_days(now - one.since)} ago and waits in the quarantine"
            yield Diagnosis(
                Trouble.EXPIRED, one.vm_dir, str(one.path), what, "the next prune removes it for good", True
            )


def _days(span: timedelta) -> str:
    return f"{span.days} days" if span.days else format_seconds(span.total_seconds())
