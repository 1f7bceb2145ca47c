# SPDX-License-Identifier: Apache-2.0
"""Lets old backups go by policy and never breaks a chain: plans, folds, swaps, and only then takes away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from vmferry.engine.errors import BadInput, JournalMismatch
from vmferry.engine.proof import ProofFile
from vmferry.engine.proof.digests import count_bits
from vmferry.vault.adding import PLAIN_PACE, Pace
from vmferry.vault.backup import Backup
from vmferry.vault.catalogue import Link, Shelf, read_shelf, require_known
from vmferry.vault.folding import fold
from vmferry.vault.layout import Vault
from vmferry.vault.links import check_file, check_layer, check_standing
from vmferry.vault.lock import Hold, swapping, writing
from vmferry.vault.names import id_moment
from vmferry.vault.openpoint import unfinished_points
from vmferry.vault.quarantine import KEPT_FOR, destroy, purge, set_aside
from vmferry.vault.retention import Action, Candidate, Layer, Plan, Rewrite, Rules, plan_retention
from vmferry.vault.swap import clear_fold, finish_swap, finish_swaps, has_fold


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What prune does with one VM's backups."""

    vm: str
    plan: Plan

    @property
    def writes_bytes(self) -> int:
        """About how much folding writes."""
        return sum(rewrite.at_most_bytes for rewrite in self.plan.rewrites)

    def to_json(self) -> dict[str, Any]:
        """Turn into plain data."""
        return {
            "vm": self.vm,
            "backups": [
                {"id": one.id, "action": one.action.value, "reason": one.reason, "size_bytes": one.size_bytes}
                for one in self.plan.decisions
            ],
            "folds": [
                {
                    "into": one.backup,
                    "disk": one.disk,
                    "folded": list(one.folded),
                    "parent": one.parent,
                    "writes_bytes": one.at_most_bytes,
                }
                for one in self.plan.rewrites
            ],
            "removed_bytes": self.plan.removed_bytes,
            "writes_bytes": self.writes_bytes,
        }


@dataclass(frozen=True, slots=True)
class Pruned:
    """What prune did."""

    planned: PrunePlan
    removed: tuple[str, ...]
    folded_into: tuple[str, ...]
    purged: tuple[str, ...]
    """What left the quarantine for good."""

    def to_json(self) -> dict[str, Any]:
        """Turn into plain data."""
        return {
            **self.planned.to_json(),
            "removed": list(self.removed),
            "folded_into": list(self.folded_into),
            "purged": list(self.purged),
        }


def plan_prune(vault: Vault, vm: str, rules: Rules, *, now: datetime | None = None) -> PrunePlan:
    """Say what prune would do; changes nothing."""
    rules.check()
    (vm_dir,) = vault.vm_dirs(vm)
    return _plan(read_shelf(vm_dir), rules, now or datetime.now(UTC))


def prune(
    vault: Vault,
    vm: str,
    rules: Rules,
    *,
    now: datetime | None = None,
    quarantine: timedelta = KEPT_FOR,
    at_once: bool = False,
    pace: Pace = PLAIN_PACE,
) -> Pruned:
    """Let backups of one VM go. May be cut off anywhere and called again: what stays is whole at any moment.

    What goes waits in the quarantine, unless `at_once`; what has waited long enough is removed for good.
    """
    rules.check()
    if quarantine < timedelta(0):
        raise BadInput(f"the quarantine is {quarantine}", fix="give 0 or more hours")
    (vm_dir,) = vault.vm_dirs(vm)
    moment = now or datetime.now(UTC)
    with writing(vm_dir, Hold.EXCLUSIVE, "pruning backups", vm=vm):
        finish_swaps(vm_dir, vm=vm)
        planned = _plan(read_shelf(vm_dir), rules, moment)
        folded_into = tuple(_fold_all(vm_dir, vm, planned.plan, pace))
        _clear_leftovers(vm_dir)
        removed = tuple(_remove_all(vm_dir, vm, planned.plan, moment, at_once=at_once))
        purged = purge(vault, vm_dir.name, kept_for=quarantine, now=moment)
    return Pruned(planned, removed, folded_into, tuple(one.id for one in purged))


def _plan(shelf: Shelf, rules: Rules, now: datetime) -> PrunePlan:
    require_known(shelf.entries)
    plan = plan_retention(tuple(_candidates(shelf)), rules, now)
    measured = tuple(replace(one, at_most_bytes=_estimate(shelf, one)) for one in plan.rewrites)
    return PrunePlan(shelf.vm, replace(plan, rewrites=measured))


def _candidates(shelf: Shelf) -> Iterator[Candidate]:
    needed = {disk.parent for point in unfinished_points(shelf.dir) for disk in point.disks}
    unsound: set[str] = set()
    for entry in shelf.entries:
        backup = entry.backup
        if backup is None:
            unsound.add(entry.id)
            yield Candidate(entry.id, id_moment(entry.id), 0, sound=False, readable=False, held=entry.held)
            continue
        if not _is_sound(shelf, backup, unsound):
            unsound.add(entry.id)
        yield Candidate(
            id=entry.id,
            moment=backup.moment,
            size_bytes=backup.size_bytes,
            layers={
                disk.name: Layer(disk.parent, disk.image.size_bytes + disk.proof.size_bytes) for disk in backup.disks
            },
            sound=entry.id not in unsound,
            held=entry.held,
            needed=entry.id in needed,
        )


def _is_sound(shelf: Shelf, backup: Backup, unsound: set[str]) -> bool:
    """Take the quick look."""
    entry = shelf.entry(backup.id)
    if entry is None or any(True for file in backup.files for _ in check_file(entry, file)):
        return False
    for disk in backup.disks:
        link = Link(entry, disk)
        parent = shelf.entry(disk.parent) if disk.parent else None
        below = parent.backup.disk(disk.name) if parent and parent.backup else None
        if any(True for _ in check_layer(link)) or (
            disk.parent is not None and (below is None or disk.parent in unsound)
        ):
            return False
        if parent is not None and below is not None and any(True for _ in check_standing(link, Link(parent, below))):
            return False
    return True


def _estimate(shelf: Shelf, rewrite: Rewrite) -> int:
    """Estimate what a fold writes: of each layer's file the share of its leaves that no newer layer covers."""
    links = {link.entry.id: link for link in shelf.disk_chain(shelf.find(rewrite.backup).require(), rewrite.disk)}
    covered: dict[int, int] = {}
    total = 0
    for backup in (rewrite.backup, *rewrite.folded):
        link, leaves, unique = links[backup], 0, 0
        with ProofFile(link.proof) as proof:
            for number, _, changed, _, _ in proof.entries():
                before = covered.get(number, 0)
                leaves += count_bits(changed)
                unique += count_bits(changed & ~before)
                covered[number] = before | changed
        total += link.disk.image.size_bytes * unique // leaves if leaves else 0
    return total


def _fold_all(vm_dir: Path, vm: str, plan: Plan, pace: Pace) -> Iterator[str]:
    children = list(dict.fromkeys(rewrite.backup for rewrite in plan.rewrites))
    for child in children:
        shelf = read_shelf(vm_dir)
        entry = shelf.find(child)
        rewrites = [rewrite for rewrite in plan.rewrites if rewrite.backup == child]
        try:
            fold(shelf, entry, rewrites, pace)
        except JournalMismatch:
            # It was cut off while folding something else into it.
            clear_fold(entry.dir)
            fold(shelf, entry, rewrites, pace)
        with swapping(vm_dir, f"folding into {child}", vm=vm):
            finish_swap(entry.dir)
        yield child


def _clear_leftovers(vm_dir: Path) -> None:
    for entry in read_shelf(vm_dir).entries:
        if has_fold(entry.dir) and not entry.swapping:
            clear_fold(entry.dir)


def _remove_all(vm_dir: Path, vm: str, plan: Plan, moment: datetime, *, at_once: bool) -> Iterator[str]:
    going = plan.ids(Action.DELETE, Action.FOLD)
    if not going:
        return
    with swapping(vm_dir, "removing backups", vm=vm):
        # The newest first: whenever we are cut off, no backup misses what it stands on.
        for backup in reversed(going):
            place = set_aside(vm_dir / backup, moment)
            (vm_dir / ".verified" / backup).unlink(missing_ok=True)
            if at_once:
                destroy(place)
            yield backup
