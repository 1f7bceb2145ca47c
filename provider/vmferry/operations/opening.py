# SPDX-License-Identifier: Apache-2.0
"""Opens a backup: the point at the platform and the backup in the vault, which belong together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from vmferry.operations import papers
from vmferry.operations.selection import choose_disks, name_disks, read_vm_shelf
from vmferry.operations.values import OpenBackup, OpenDisk, Skipped
from vmferry.platforms.contract import Source
from vmferry.platforms.inventory import Disk, Vm
from vmferry.platforms.points import Checkpoint, Frozen, Point, PointOrder
from vmferry.platforms.runs import RunId, is_tag_of
from vmferry.policy.fulls import ChainState, why_full
from vmferry.policy.vm import VmPolicy
from vmferry.vault import DiskInfo, Mode, OpenPoint, Vault, abandon, begin_point
from vmferry.vault.catalogue import Shelf
from vmferry.vault.layout import is_published
from vmferry.vault.openpoint import unfinished_points


def nobody_is_dead(run: str) -> bool:
    """Say of no run that it is dead: somebody else's unfinished work is waited for."""
    return False


def open_point(
    source: Source,
    vault: Vault,
    policy: VmPolicy,
    run: RunId,
    *,
    full: bool | None = None,
    now: datetime | None = None,
    is_dead: Callable[[str], bool] = nobody_is_dead,
) -> OpenBackup:
    """Open a backup. May be called again: the same run gets the same one.

    `full`: True or False by a person's word, None as the policy says. `is_dead` tells which runs will never go on: what
    they left unfinished on this VM is ended first. Raises `VmBusy` or `VaultBusy` while another run is at it.
    """
    now = now or datetime.now(UTC)
    vm = source.describe(policy.name)
    disks, skipped = choose_disks(vm, policy.exclude_disks)
    _drop_dead(source, vault, vm, run, is_dead)
    because = _full_because(vault, policy, full, now, vm.name)
    names = name_disks(vault, vm.name, disks)
    begun = _begin(vault, vm, disks, names, source, run, incremental=not because, now=now)
    if is_published(begun.dir):
        return _opened(begun, vm, None, disks, names, source, run, skipped, because)
    since = choose_since(read_vm_shelf(vault, vm.name), begun, source.known_checkpoints(vm))
    freeze = policy.consistency == "filesystem"
    point = source.open_point(vm, run, PointOrder(tuple(disk.id for disk in disks), since, freeze))
    known = papers.find(begun.dir)
    if known is not None and known.point != point.id:
        # The point that the unfinished backup was of is gone; its bytes are of another moment.
        abandon(begun)
        begun = _begin(vault, vm, disks, names, source, run, incremental=not because, now=now)
        known = None
    if known is None:
        papers.write(begun.dir, papers.build(vm, point, skipped))
    return _opened(begun, vm, point, disks, names, source, run, skipped, because)


def choose_since(shelf: Shelf | None, begun: OpenPoint, known: Sequence[Checkpoint]) -> Checkpoint | None:
    """Give the newest checkpoint, of those the platform still knows, that a parent of one of the disks ended at.

    Where it knows none of them, one that it does not know: it says so then, and reads all.
    """
    found = (_parent_checkpoint(shelf, begun, disk.info.name) for disk in begun.disks)
    wanted = [one for one in found if one is not None]
    lost = Checkpoint(wanted[0]) if wanted else None
    return next((one for one in reversed(known) if one.id in wanted), lost)


def _parent_checkpoint(shelf: Shelf | None, begun: OpenPoint, disk: str) -> str | None:
    parent = begun.disk(disk).parent
    entry = shelf.entry(parent) if shelf is not None and parent is not None else None
    found = entry.backup.disk(disk) if entry is not None and entry.backup is not None else None
    return found.to_checkpoint if found is not None else None


def _begin(
    vault: Vault, vm: Vm, disks: Sequence[Disk], names: Mapping[str, str], source: Source, run: RunId, *,
    incremental: bool, now: datetime,
) -> OpenPoint:  # fmt: skip
    infos = [
        DiskInfo(names[disk.id], disk.size_bytes, disk.id, disk.alias, disk.interface, disk.bootable) for disk in disks
    ]
    return begin_point(
        vault, vm.name, infos, owner=run.text, incremental=incremental, vm_id=vm.id, site=source.site, now=now
    )


def _drop_dead(source: Source, vault: Vault, vm: Vm, run: RunId, is_dead: Callable[[str], bool]) -> None:
    """End what dead runs left on this VM, at the platform and in the vault."""
    close_dead(source, vm.id, run, is_dead)
    if not vault.vm_dir(vm.name).is_dir():
        return
    for found in unfinished_points(vault.vm_dir(vm.name)):
        if found.owner != run.text and is_dead(found.owner):
            abandon(found)


def close_dead(source: Source, vm_id: str, run: RunId, is_dead: Callable[[str], bool]) -> tuple[str, ...]:
    """Close the points that dead runs left open on a VM; gives what was closed."""
    owners = {owner for owner in source.open_owners(vm_id) if not is_tag_of(RunId(owner).tag(), run)}
    return tuple(one for owner in sorted(owners) if is_dead(owner) for one in source.close_point(vm_id, RunId(owner)))


def _full_because(vault: Vault, policy: VmPolicy, full: bool | None, now: datetime, vm: str) -> str:
    if full is not None:
        return "it was asked for" if full else ""
    return why_full(policy.full, now, chain_state(read_vm_shelf(vault, vm)), policy.schedule.timezone) or ""


def chain_state(shelf: Shelf | None) -> ChainState:
    """Say what the newest chain looks like."""
    last, count = None, 0
    for backup in shelf.backups if shelf else ():
        if backup.mode is Mode.FULL:
            last, count = backup.moment, 0
        else:
            count += 1
    return ChainState(last, count)


def _opened(
    begun: OpenPoint, vm: Vm, point: Point | None, disks: Sequence[Disk], names: Mapping[str, str], source: Source,
    run: RunId, skipped: tuple[Skipped, ...], because: str,
) -> OpenBackup:  # fmt: skip
    shelf = read_vm_shelf(Vault(begun.dir.parent.parent), vm.name)
    open_disks = []
    for disk in disks:
        name = names[disk.id]
        in_point = point.disk(disk.id) if point is not None else None
        # Only where the parent ended is where the changes may begin: else the disk is read whole and healed.
        fits = point is not None and point.since is not None and _parent_checkpoint(shelf, begun, name) == point.since
        tracked = disk.tracked or disk.can_track
        open_disks.append(
            OpenDisk(
                name, disk.id, disk.size_bytes, bool(in_point and in_point.changes and fits),
                point.checkpoint if point is not None and tracked else None,
            )
        )  # fmt: skip
    return OpenBackup(
        run=run.text, vm=vm.name, vm_id=vm.id, site=source.site, vault=str(begun.dir.parent.parent), backup=begun.id,
        point=point, disks=tuple(open_disks), skipped=skipped, full_because=because or begun.note,
        notes=(*(point.notes if point else ()), *_consistency_note(point)),
    )  # fmt: skip


def _consistency_note(point: Point | None) -> tuple[str, ...]:
    if point is None or point.frozen is not Frozen.CRASH or point.notes:
        return ()
    return ("crash-consistent: nobody vouches that the guest had frozen its file systems",)
