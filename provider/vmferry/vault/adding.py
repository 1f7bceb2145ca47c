# SPDX-License-Identifier: Apache-2.0
"""Adds a disk's bytes to a backup that is being written."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from vmferry.engine.endpoint import Endpoint, EndpointSpec
from vmferry.engine.endpoints import NO_SECRETS, open_source, open_target
from vmferry.engine.errors import BadInput, NoSpace, ShortRead, SourceChanged
from vmferry.engine.journal import Journal
from vmferry.engine.progress import Progress
from vmferry.engine.pump import CopyOptions, CopyResult, copy
from vmferry.engine.pump.passes import journal_header
from vmferry.engine.throttle import Throttle
from vmferry.vault import sealed
from vmferry.vault.backup import BackupDisk, Method, Mode
from vmferry.vault.catalogue import Link, read_entry, read_shelf
from vmferry.vault.digest import store
from vmferry.vault.layout import image_name, is_published, proof_name
from vmferry.vault.lock import Hold, locked, writing
from vmferry.vault.openpoint import OpenPoint


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a disk is copied, and who hears about it."""

    workers: int = 4
    throttle: Throttle | None = None
    progress: Progress | None = None
    cancel: threading.Event | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """What a platform knows about the changes since the parent backup."""

    bitmap: str | None = None
    """What to ask the source for; None: everything is read and compared with the parent's proof."""
    from_checkpoint: str | None = None
    """The checkpoint the changes begin at."""
    to_checkpoint: str | None = None
    """The checkpoint that this point is: the next incremental begins at it."""


@dataclass(frozen=True, slots=True)
class _Way:
    """How a disk is going to be copied; decided once, then kept for every later try."""

    method: Method
    reason: str
    bitmap: str | None
    parent: str | None


NO_CHANGES = Changes()
PLAIN_PACE = Pace()


def add_disk(
    point: OpenPoint,
    disk: str,
    source: EndpointSpec,
    *,
    changes: Changes = NO_CHANGES,
    pace: Pace = PLAIN_PACE,
    secrets: Mapping[str, str] = NO_SECRETS,
) -> BackupDisk:
    """Copy one disk into the backup. May be called again after any failure: it goes on where it stopped.

    Several processes may add different disks of a point at once. Raises `SourceChanged` when the source is not the
    one it began with, `NoSpace` when the vault is full; what was copied is kept.
    """
    if is_published(point.dir):
        found = read_entry(point.dir).require().disk(disk)
        if found is not None:
            return found
    with writing(point.dir.parent, Hold.SHARED, f"adding disk {disk} to backup {point.id}", vm=point.vm):
        return add_disk_locked(point, disk, source, changes, pace, secrets)


def add_disk_locked(
    point: OpenPoint, disk: str, source: EndpointSpec, changes: Changes, pace: Pace, secrets: Mapping[str, str]
) -> BackupDisk:
    """Copy one disk; the caller holds the writers' lock."""
    point.require_open()
    point.disk(disk)
    done = point.done(disk)
    if done is not None:
        return done
    work = point.work(disk)
    work.mkdir(parents=True, exist_ok=True)
    with locked(work / "lock", Hold.EXCLUSIVE, f"adding disk {disk}", vm=point.vm), _space(point, disk):
        # Somebody may have finished it between our look and our lock.
        return point.done(disk) or _copy_disk(point, disk, source, changes, pace, secrets)


def _copy_disk(
    point: OpenPoint, disk: str, spec: EndpointSpec, changes: Changes, pace: Pace, secrets: Mapping[str, str]
) -> BackupDisk:
    with ExitStack() as open_things:
        source = _open(spec, secrets)
        open_things.callback(source.close)
        _require_whole(point, disk, source)
        way = _decide(point, disk, source, changes)
        links = _links(point, disk, way.parent)
        result = _pump(point, disk, source, way, links, pace)
    sealed.sync_file(point.dir / image_name(disk))
    added = _describe(point, disk, way, links, changes, result)
    point.record_done(added)
    return added


def _require_whole(point: OpenPoint, disk: str, source: Endpoint) -> None:
    """Raise `ShortRead` when the source has fewer bytes than the platform says: a backup of them would look whole."""
    said = point.disk(disk).info.size_bytes
    if said is not None and source.size < said:
        raise ShortRead(
            f"VM {point.vm!r}, disk {disk}: {source.name} offers {source.size} bytes, the platform says {said}",
            fix="run it again; if it stays, compare the disk's size at the platform with what it really is",
        )


def _open(spec: EndpointSpec, secrets: Mapping[str, str]) -> Endpoint:
    """Open the source; an image that has lost the bitmap we name is opened without it, and heals."""
    try:
        return open_source(spec, secrets)
    except BadInput:
        if not spec.options.get("bitmap"):
            raise
        rest = {key: value for key, value in spec.options.items() if key != "bitmap"}
        return open_source(replace(spec, options=rest), secrets)


def _describe(
    point: OpenPoint, disk: str, way: _Way, links: tuple[Link, ...], changes: Changes, result: CopyResult
) -> BackupDisk:
    info = point.disk(disk).info
    return BackupDisk(
        name=info.name,
        id=info.id,
        alias=info.alias,
        interface=info.interface,
        bootable=info.bootable,
        size_bytes=result.size_bytes,
        mode=Mode.INCREMENTAL if links else Mode.FULL,
        method=way.method,
        reason=way.reason,
        parent=way.parent,
        parent_root=links[-1].disk.root if links else None,
        from_checkpoint=changes.from_checkpoint if way.method is Method.DIRTY else None,
        to_checkpoint=changes.to_checkpoint,
        root=result.root,
        image=store(point.dir / image_name(disk)),
        backing=_backing(links),
        proof=store(point.dir / proof_name(disk)),
        read_bytes=result.read_bytes,
        written_bytes=result.written_bytes,
        zeroed_bytes=result.zeroed_bytes,
        changed_bytes=result.changed_bytes,
        resumed_bytes=result.resumed_bytes,
        seconds=round(result.seconds, 3),
        changed_ratio=round(result.changed_ratio, 6),
        compress_ratio=result.compress_ratio,
    )


def _pump(point: OpenPoint, disk: str, source: Endpoint, way: _Way, links: tuple[Link, ...], pace: Pace) -> CopyResult:
    options = CopyOptions(pace.workers, way.bitmap, tuple(str(link.proof) for link in links))
    spec = new_image(point.dir / image_name(disk), _backing(links))
    with ExitStack() as open_things:
        target = open_target(spec, source.size)
        open_things.callback(target.close)
        journal = Journal.open(point.work(disk) / "journal", journal_header(source, target, options))
        open_things.callback(journal.close)
        return copy(
            source, target, journal=journal, options=options, throttle=pace.throttle, progress=pace.progress,
            cancel=pace.cancel, proof=point.dir / proof_name(disk),
        )  # fmt: skip


def new_image(path: Path, backing: str | None) -> EndpointSpec:
    """Say how a backup's qcow2 is made."""
    create: dict[str, object] = {"compress": True}
    if backing is not None:
        create.update(backing_file=backing, backing_format="qcow2")
    return EndpointSpec("image", str(path), "qcow2", {"create": create, "backing": "trust"})


def _decide(point: OpenPoint, disk: str, source: Endpoint, changes: Changes) -> _Way:
    begun = point.begun(disk)
    if begun is None:
        way = _find_way(point, disk, source, changes)
        point.record_begun(
            disk,
            {
                "source": source.identity,
                "size_bytes": source.size,
                "method": way.method.value,
                "reason": way.reason,
                "bitmap": way.bitmap,
                "parent": way.parent,
            },
        )
        return way
    if (begun["source"], begun["size_bytes"]) != (source.identity, source.size):
        raise SourceChanged(
            f"VM {point.vm!r}, disk {disk}: {source.name} is not what backup {point.id} began with",
            fix="abandon the unfinished backup and begin a new one",
        )
    return _Way(Method(begun["method"]), begun["reason"], begun["bitmap"], begun["parent"])


def _find_way(point: OpenPoint, disk: str, source: Endpoint, changes: Changes) -> _Way:
    planned = point.disk(disk)
    if planned.parent is None:
        return _Way(Method.FULL, planned.reason, None, None)
    parent = _links(point, disk, planned.parent)[-1].disk
    if source.size < parent.size_bytes:
        why = f"it shrank from {parent.size_bytes} to {source.size} bytes"
        return _Way(Method.FULL, why, None, None)
    if changes.bitmap is None:
        return _Way(Method.HEALED, "no dirty bitmap was given", None, planned.parent)
    wrong = _why_not(source, changes, parent)
    if wrong:
        return _Way(Method.HEALED, wrong, None, planned.parent)
    return _Way(Method.DIRTY, "", changes.bitmap, planned.parent)


def _why_not(source: Endpoint, changes: Changes, parent: BackupDisk) -> str:
    """Say why a dirty bitmap cannot be believed; an empty text when it can."""
    if changes.from_checkpoint and parent.to_checkpoint and changes.from_checkpoint != parent.to_checkpoint:
        return f"the changes begin at checkpoint {changes.from_checkpoint}, the parent ended at {parent.to_checkpoint}"
    try:
        next(iter(source.extents(changes.bitmap)), None)
    except BadInput as error:
        return f"the dirty bitmap is lost: {error.what}"
    return ""


def _links(point: OpenPoint, disk: str, parent: str | None) -> tuple[Link, ...]:
    if parent is None:
        return ()
    shelf = read_shelf(point.dir.parent)
    backup = shelf.find(parent).require()
    found = backup.disk(disk)
    return shelf.chain(backup, found) if found else ()


def _backing(links: tuple[Link, ...]) -> str | None:
    return f"../{links[-1].entry.id}/{links[-1].disk.image.name}" if links else None


@contextmanager
def _space(point: OpenPoint, disk: str) -> Iterator[None]:
    """Say how to go on when the vault is full."""
    try:
        yield
    except (NoSpace, OSError) as error:
        full = sealed.as_no_space(error, point.dir) if isinstance(error, OSError) else error
        if not isinstance(full, NoSpace):
            raise
        raise NoSpace(
            f"VM {point.vm!r}, disk {disk}: the vault is full ({full.what})",
            fix="free some space (vmferry vault prune) and run the same command again: it goes on where it stopped",
        ) from error
