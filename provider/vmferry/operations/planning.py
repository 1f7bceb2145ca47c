# SPDX-License-Identifier: Apache-2.0
"""Decides how a VM is restored: its name, its ids, where its disks go. Changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vmferry.engine.errors import BadInput
from vmferry.engine.proof import ProofFile
from vmferry.engine.units import LEAF_BYTES
from vmferry.operations.values import PlannedDisk, RestorePlan
from vmferry.platforms.contract import Target
from vmferry.platforms.errors import NameTaken, NotSupported
from vmferry.platforms.orders import Ground, VmRef
from vmferry.platforms.runs import RunId, is_tag_of
from vmferry.policy.vm import RestoreRule
from vmferry.vault import Backup, BackupDisk, Vault
from vmferry.vault.catalogue import Entry, Link, Shelf, list_shelves
from vmferry.vault.layout import VM_JSON
from vmferry.vault.links import require_links
from vmferry.vault.publishing import VM_OVF

_DEFAULT_INTERFACE = "virtio_scsi"


def plan_restore(
    target: Target, vault: Vault, vm: str, rule: RestoreRule, run: RunId, *, backup: str = "latest",
    name: str | None = None, keep_ids: bool = True,
) -> RestorePlan:  # fmt: skip
    """Plan the restore of a backup; raises what would make it fail, before anything is made.

    `keep_ids` False: VM and disks get other ids than they had, although these are free. A rehearsal must not stand in
    the way of a restore.
    """
    (shelf,) = list_shelves(vault, vm)
    entry = shelf.find(backup)
    found = entry.require()
    ground = _ground(rule, found)
    wanted = name or found.vm + rule.suffix
    old = _old_vm(target, wanted, rule, run)
    disks = tuple(_plan_disks(target, shelf, found, rule, run, keep_ids=keep_ids))
    target.check_ground(ground, sum(disk.used_bytes for disk in disks))
    hardware = _read_hardware(entry)
    return RestorePlan(
        run=run.text,
        vault=str(vault.path),
        vm=found.vm,
        backup=found.id,
        site=target.site,
        ground=ground,
        name=wanted,
        working_name=f"{wanted}.vmferry-{run.digest}" if old else wanted,
        clone=not keep_ids or found.vm_id is None or not target.is_vm_id_free(found.vm_id),
        disks=disks,
        nics={str(nic["name"]): nic.get("network") for nic in hardware.get("nics", ())},
        networks=dict(rule.networks),
        connect=rule.connect_networks,
        start=rule.start,
        timeout_s=rule.timeout_s,
        old=old,
        old_name=f"{wanted}_old_{run.digest[:8]}" if old else "",
        keep_old=rule.keep_old,
        source_vm_id=found.vm_id or "",
    )


def read_document(plan: RestorePlan) -> str:
    """Read the VM's own description, with the disks' new ids in it.

    oVirt attaches by the ids in its OVF: an old id in there could pull a disk of the original onto the copy.
    """
    shelf = _shelf(plan)
    path = shelf.find(plan.backup).path(VM_OVF)
    if not path.is_file():
        raise NotSupported(
            f"VM {plan.vm!r}: backup {plan.backup} has no description of the VM",
            fix="restore its disks with vmferry vault restore, and make a VM by hand",
        )
    text = path.read_text()
    for disk in plan.disks:
        if disk.source_id and disk.source_id != disk.id:
            text = text.replace(disk.source_id, disk.id)
    return text


def _shelf(plan: RestorePlan) -> Shelf:
    (shelf,) = list_shelves(Vault(Path(plan.vault)), plan.vm)
    return shelf


def _ground(rule: RestoreRule, backup: Backup) -> Ground:
    if not rule.cluster or not rule.storage_domain:
        raise BadInput(
            f"VM {backup.vm!r}: the policy does not say where to restore to",
            fix="set target_cluster_name and target_storage_domain_name in restore_settings",
        )
    return Ground(rule.cluster, rule.storage_domain)


def _old_vm(target: Target, name: str, rule: RestoreRule, run: RunId) -> VmRef | None:
    found = target.find_vm(name)
    if found is None or is_tag_of(RunId(found.owner).tag() if found.owner else None, run):
        return None
    if not rule.replace_existing:
        raise NameTaken(
            f"site {target.site} has a VM {name!r} already; nothing was changed",
            fix="set replace_existing_vm, choose another vm_name_suffix, or remove that VM",
        )
    return found


def _plan_disks(
    target: Target, shelf: Shelf, backup: Backup, rule: RestoreRule, run: RunId, *, keep_ids: bool
) -> Iterator[PlannedDisk]:
    for disk in backup.disks:
        links = shelf.chain(backup, disk)
        require_links(links, backup.vm)
        yield PlannedDisk(
            name=disk.name,
            id=_choose_id(target, disk, backup, run, keep=keep_ids),
            source_id=disk.id or "",
            alias=disk.alias or disk.name,
            size_bytes=disk.size_bytes,
            interface=rule.disk_interface or disk.interface or _DEFAULT_INTERFACE,
            bootable=bool(disk.bootable),
            root=disk.root,
            used_bytes=count_used_bytes(links),
        )


def _choose_id(target: Target, disk: BackupDisk, backup: Backup, run: RunId, *, keep: bool) -> str:
    """Keep a disk's id where it is free; else a new one, the same for every try of this run."""
    if keep and disk.id and target.is_disk_id_free(disk.id, run):
        return disk.id
    return derive_disk_id(run, backup.vm, disk.name)


def derive_disk_id(run: RunId, vm: str, disk: str) -> str:
    """Give the id of a disk that cannot keep its own."""
    return run.derive_id("disk", vm, disk)


def count_used_bytes(links: Sequence[Link]) -> int:
    """Count the bytes of a disk's leaves that are not zeros, from the proofs alone."""
    masks: dict[int, int] = {}
    for link in links:
        with ProofFile(link.proof) as proof:
            for index, _, changed, data, _ in proof.entries():
                masks[index] = (masks.get(index, 0) & ~changed) | data
    return sum(mask.bit_count() for mask in masks.values()) * LEAF_BYTES


def _read_hardware(entry: Entry) -> Mapping[str, Any]:
    raw: Mapping[str, Any] = json.loads(entry.path(VM_JSON).read_bytes())
    return raw
