# SPDX-License-Identifier: Apache-2.0
"""Folds backups nobody keeps into one that stands on them: new files, the same guest-visible bytes, proved first.

The pump reads the child through its old chain and writes every leaf that the child or one of the folded layers
changed; so, unlike with `qemu-img convert -B`, nothing between the child and its new parent can be lost, and the root
says so.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from vmferry.engine.endpoint import Connection, Endpoint
from vmferry.engine.endpoints import open_target
from vmferry.engine.errors import ProofMismatch
from vmferry.engine.extents import Extent, merged
from vmferry.engine.journal import Journal
from vmferry.engine.progress import Progress
from vmferry.engine.proof import ProofFile
from vmferry.engine.proof.digests import runs
from vmferry.engine.pump import CopyOptions, CopyResult, copy
from vmferry.engine.pump.passes import journal_header
from vmferry.engine.units import GROUP_BYTES, LEAF_BYTES
from vmferry.vault import sealed
from vmferry.vault.adding import Pace, new_image
from vmferry.vault.backup import Backup, BackupDisk, Method, Mode, StoredFile
from vmferry.vault.catalogue import Entry, Link, Shelf
from vmferry.vault.digest import store
from vmferry.vault.guide import build_checksums
from vmferry.vault.images import open_backup_disk, proof_paths
from vmferry.vault.layout import CHECKSUMS, NEXT, POINT_NEXT, WORK
from vmferry.vault.names import encode_name
from vmferry.vault.publishing import stored_file
from vmferry.vault.retention import Rewrite
from vmferry.vault.swap import clear_fold
from vmferry.vault.verification.content import check_content, recompute_root

CHANGED = "changed"


class _Changed:
    """A chain's head that tells, as its dirty ranges, what the layers that get folded have changed."""

    def __init__(self, inner: Endpoint, layers: Sequence[Path]) -> None:
        self._inner = inner
        self._layers = layers
        self.name = inner.name
        self.size = inner.size
        self.identity = f"{inner.name} size={inner.size}"
        self.reads_zero = False
        self.max_connections = inner.max_connections

    def extents(self, since: str | None = None) -> Iterable[Extent]:
        """Everything, or what changed."""
        return self._inner.extents() if since is None else merged(self._dirty())

    def connect(self) -> Connection:
        """Open one more connection."""
        return self._inner.connect()

    def close(self) -> None:
        """The inner one is closed by who opened it."""

    def _dirty(self) -> Iterator[Extent]:
        for number, mask in changed_masks(self._layers).items():
            for first, count in runs(mask):
                start = number * GROUP_BYTES + first * LEAF_BYTES
                length = min(count * LEAF_BYTES, self.size - start)
                if length > 0:
                    yield Extent(start, length, False)


def changed_masks(proofs: Iterable[Path]) -> Mapping[int, int]:
    """Tell which leaves any of these proofs describes, by group, ascending; in memory: one number per changed group."""
    masks: dict[int, int] = {}
    for path in proofs:
        with ProofFile(path) as proof:
            for number, _, changed, _, _ in proof.entries():
                masks[number] = masks.get(number, 0) | changed
    return dict(sorted(masks.items()))


def fold(shelf: Shelf, entry: Entry, rewrites: Sequence[Rewrite], pace: Pace) -> None:
    """Make the new generation of a backup's files, up to and with point.json.next; the caller finishes the swap.

    May be called again after any failure. The caller holds the writers' lock.
    """
    backup = entry.require()
    marker = entry.dir / WORK / "fold"
    if not marker.exists():
        clear_fold(entry.dir)
        marker.parent.mkdir(exist_ok=True)
        marker.touch()
    changed = {rewrite.disk: _fold_disk(shelf, entry, backup, rewrite, pace) for rewrite in rewrites}
    disks = tuple(changed.get(disk.name, disk) for disk in backup.disks)
    papers = tuple(file for file in backup.files if file.name != CHECKSUMS)
    checksums = build_checksums((*papers, *(file for disk in disks for file in (disk.image, disk.proof))))
    sealed.write_bytes(entry.dir / (CHECKSUMS + NEXT), checksums)
    coming = replace(backup, disks=disks, files=(*papers, stored_file(CHECKSUMS, checksums)), folds=backup.folds + 1)
    sealed.sync_dir(entry.dir)
    sealed.write(entry.dir / POINT_NEXT, coming.to_json())


def _fold_disk(shelf: Shelf, entry: Entry, backup: Backup, rewrite: Rewrite, pace: Pace) -> BackupDisk:
    links = shelf.disk_chain(backup, rewrite.disk)
    disk = links[-1].disk
    place = next((at for at, link in enumerate(links) if link.entry.id == rewrite.parent), -1)
    below, above = links[: place + 1], links[place + 1 :]
    image, proof = entry.dir / (disk.image.name + NEXT), entry.dir / (disk.proof.name + NEXT)
    backing = f"../{below[-1].entry.id}/{below[-1].disk.image.name}" if below else None
    result = _pump(links, below, above, image, proof, backing, entry.dir / WORK / encode_name(disk.name), pace)
    if result.root != disk.root:
        clear_fold(entry.dir)
        raise ProofMismatch(
            f"VM {entry.vm!r}, disk {disk.name}: folding {', '.join(rewrite.folded)} into {entry.id} gives another"
            " root; nothing was changed",
            fix="vmferry vault verify says which of them is damaged",
        )
    sealed.sync_file(image)
    folded = replace(
        disk,
        mode=Mode.INCREMENTAL if below else Mode.FULL,
        method=Method.FOLDED,
        reason=f"{len(rewrite.folded)} older backups were folded into it",
        parent=rewrite.parent,
        parent_root=below[-1].disk.root if below else None,
        from_checkpoint=above[0].disk.from_checkpoint,
        backing=backing,
        image=store(image, disk.image.name),
        proof=store(proof, disk.proof.name),
    )
    _read_back(entry, below, folded, image, proof)
    return folded


def _pump(
    links: Sequence[Link], below: Sequence[Link], above: Sequence[Link], image: Path, proof: Path, backing: str | None,
    work: Path, pace: Pace,
) -> CopyResult:  # fmt: skip
    options = CopyOptions(pace.workers, CHANGED if below else None, proof_paths(below))
    with ExitStack() as open_things:
        inner = open_things.enter_context(open_backup_disk(links))
        source = _Changed(inner, [link.proof for link in above])
        target = open_target(new_image(image, backing), source.size)
        open_things.callback(target.close)
        journal = Journal.open(work / "journal", journal_header(source, target, options))
        open_things.callback(journal.close)
        return copy(
            source, target, journal=journal, options=options, throttle=pace.throttle, progress=pace.progress,
            cancel=pace.cancel, proof=proof,
        )  # fmt: skip


def _read_back(entry: Entry, below: Sequence[Link], folded: BackupDisk, image: Path, proof: Path) -> None:
    """Compare the new layer with its proof: after the swap the old bytes are on their way out."""
    written = replace(folded, image=StoredFile(image.name, 0, ""), proof=StoredFile(proof.name, 0, ""))
    links = (*below, Link(replace(entry, swapping=False), written))
    bad = next(iter(check_content(links, Progress(), threading.Event())), None)
    if bad is None and recompute_root(links) == folded.root:
        return
    clear_fold(entry.dir)
    raise ProofMismatch(
        f"VM {entry.vm!r}, disk {folded.name}: the folded image of {entry.id} does not read back as it was written"
        + (f" at guest offset {bad.offset}" if bad else ""),
        fix="nothing was changed; check the storage of the vault",
    )
