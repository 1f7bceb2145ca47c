# SPDX-License-Identifier: Apache-2.0
"""Restores disks straight from the head of a chain: nothing is copied, rebased or committed first.

The bytes are proved in the same pass: the root of what was read must be the backup's root.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmferry.engine.endpoint import Endpoint, EndpointSpec
from vmferry.engine.endpoints import NO_SECRETS, open_target
from vmferry.engine.errors import BadInput, ProofMismatch
from vmferry.engine.journal import Journal
from vmferry.engine.pump import CopyOptions, CopyResult, copy
from vmferry.engine.pump.passes import journal_header
from vmferry.vault.adding import PLAIN_PACE, Pace
from vmferry.vault.backup import Backup
from vmferry.vault.catalogue import Link, Shelf, read_shelf
from vmferry.vault.images import open_backup_disk
from vmferry.vault.layout import Vault
from vmferry.vault.links import require_links
from vmferry.vault.lock import reading
from vmferry.vault.names import encode_name

_DISKS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class RestoredDisk:
    """A disk that was restored and proved."""

    backup: str
    disk: str
    result: CopyResult

    def to_json(self) -> dict[str, Any]:
        """Turn into plain data."""
        return {"backup": self.backup, "disk": self.disk, **self.result.to_json()}


def restore(
    vault: Vault,
    vm: str,
    targets: Mapping[str, EndpointSpec],
    *,
    backup: str = "latest",
    job_dir: Path | None = None,
    pace: Callable[[str], Pace] = lambda disk: PLAIN_PACE,
    secrets: Mapping[str, str] = NO_SECRETS,
) -> tuple[RestoredDisk, ...]:
    """Write disks of a backup to targets. After any failure the same call goes on where it stopped.

    The journals are in `job_dir`; without one, a file's or an image's is beside it until it is done, and other targets
    begin again. Raises `ChainBroken` before the first byte when the chain is not whole, `ProofMismatch` when what was
    read is not what was backed up.
    """
    if not targets:
        raise BadInput(
            f"VM {vm!r}: no disk to restore", fix="DISK=TARGET, e.g. root=/dev/vg/new; vault show names the disks"
        )
    _check_targets(vault, targets)
    (vm_dir,) = vault.vm_dirs(vm)
    with reading(vm_dir, f"restoring {vm}"):
        shelf = read_shelf(vm_dir)
        chosen = shelf.find(backup).require()
        chains = {disk: _sound_chain(shelf, chosen, disk) for disk in targets}

        def restore_one(disk: str) -> RestoredDisk:
            result = _restore_disk(
                chains[disk], targets[disk], _journal_dir(job_dir, disk, targets[disk]), pace(disk), secrets
            )
            return RestoredDisk(chosen.id, disk, result)

        if len(targets) == 1:
            return tuple(restore_one(disk) for disk in targets)
        with ThreadPoolExecutor(min(_DISKS_AT_ONCE, len(targets))) as pool:
            return tuple(pool.map(restore_one, targets))


def _check_targets(vault: Vault, targets: Mapping[str, EndpointSpec]) -> None:
    """A vault's files are written once, and two disks do not fit into one."""
    taken: dict[str, str] = {}
    for disk, spec in targets.items():
        place = os.path.realpath(spec.address) if spec.kind in ("file", "image") else spec.address
        if vault.path.resolve() in Path(place).parents:
            raise BadInput(f"{spec.address} is in the vault itself", fix="restore to a place outside of it")
        other = taken.setdefault(place, disk)
        if other != disk:
            raise BadInput(f"{spec.address} cannot be both disk {other} and disk {disk}", fix="name two targets")


def find_chain(shelf: Shelf, backup: str, disk: str) -> tuple[Link, ...]:
    """Find the chain of a disk and look whether it is whole."""
    return _sound_chain(shelf, shelf.find(backup).require(), disk)


def _sound_chain(shelf: Shelf, chosen: Backup, disk: str) -> tuple[Link, ...]:
    links = shelf.disk_chain(chosen, disk)
    require_links(links, shelf.vm)
    return links


def _restore_disk(
    links: tuple[Link, ...], spec: EndpointSpec, journal_dir: Path | None, pace: Pace, secrets: Mapping[str, str]
) -> CopyResult:
    with ExitStack() as open_things:
        fresh = journal_dir is not None and spec.kind in ("file", "image") and not Path(spec.address).exists()
        if fresh and journal_dir is not None:
            # The journal speaks about a file that is gone.
            shutil.rmtree(journal_dir, ignore_errors=True)
        source = open_things.enter_context(open_backup_disk(links))
        target = open_target(spec, source.size, secrets)
        open_things.callback(target.close)
        result = _pump(source, target, journal_dir, pace)
    check_root(links, result.root)
    if journal_dir is not None:
        shutil.rmtree(journal_dir, ignore_errors=True)
    return result


def _pump(source: Endpoint, target: Endpoint, place: Path | None, pace: Pace) -> CopyResult:
    options = CopyOptions(workers=pace.workers)
    with _journal(place, journal_header(source, target, options)) as journal:
        return copy(
            source, target, journal=journal, options=options, throttle=pace.throttle, progress=pace.progress,
            cancel=pace.cancel,
        )  # fmt: skip


@contextmanager
def _journal(place: Path | None, header: Mapping[str, str]) -> Iterator[Journal]:
    if place is None:
        # A file without a name: nobody can go on with it, so a kill should not leave it.
        with tempfile.TemporaryFile(prefix="vmferry-restore-") as scratch:
            yield Journal.in_file(scratch)
        return
    with Journal.open(place / "journal", header) as journal:
        yield journal


def check_root(links: tuple[Link, ...], root: str) -> None:
    """Raise `ProofMismatch` when what was read is not what was backed up."""
    entry, disk = links[-1].entry, links[-1].disk
    if root != disk.root:
        raise ProofMismatch(
            f"VM {entry.vm!r}, backup {entry.id}, disk {disk.name}: the restored disk is NOT what was backed up"
            f" (root {root}, should be {disk.root})",
            fix="do not use it; vmferry vault verify names the damaged backup, an older one may be sound",
        )


def _journal_dir(job_dir: Path | None, disk: str, spec: EndpointSpec) -> Path | None:
    if job_dir is not None:
        return job_dir / encode_name(disk, what="disk")
    if spec.kind == "image" or (spec.kind == "file" and not Path(spec.address).is_block_device()):
        target = Path(spec.address).absolute()
        return target.with_name(f".{target.name}.vmferry-restore")
    return None
