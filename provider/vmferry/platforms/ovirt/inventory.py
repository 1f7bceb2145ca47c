# SPDX-License-Identifier: Apache-2.0
"""Reads what an engine has: the list of VMs, and one VM with all of its disks and cards."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from vmferry.platforms.errors import NotThere
from vmferry.platforms.inventory import Disk, Nic, Vm, VmSummary
from vmferry.platforms.ovirt.sdk import types
from vmferry.platforms.ovirt.session import Session
from vmferry.platforms.ovirt.texts import ident, word

CBT_VERSION = (4, 4)


def list_vms(session: Session, query: str | None) -> Iterator[VmSummary]:
    """List VMs with one call that names no disks, no cards and no OVF."""
    found = session.ask("listing VMs", lambda api: api.vms_service().list(search=query, follow="tags"))
    for vm in found:
        yield VmSummary(vm.id, vm.name, word(vm.status), tuple(tag.name for tag in vm.tags or () if tag.name))


def read_version(session: Session) -> tuple[str, tuple[int, int]]:
    """Give the engine's version, whole and as two numbers."""
    info = session.ask("logging in", lambda api: api.get()).product_info
    version = info.version
    return version.full_version or f"{version.major}.{version.minor}", (version.major or 0, version.minor or 0)


def find_by_name(session: Session, name: str, *, all_content: bool = False) -> Any | None:
    """Look a VM up by its exact name."""
    escaped = name.replace('"', "")
    found = session.ask(
        f"looking for VM {name!r}",
        lambda api: api.vms_service().list(search=f'name="{escaped}"', all_content=all_content or None),
    )
    # A search also finds VMs of other case, and "*" in a name is a wildcard.
    return next((vm for vm in found if vm.name == name), None)


def find_by_id(session: Session, vm_id: str, *, all_content: bool = False) -> Any | None:
    """Look a VM up by its id."""
    return session.find(
        f"looking for VM {vm_id}", lambda api: api.vms_service().vm_service(vm_id).get(all_content=all_content or None)
    )


def describe(session: Session, wanted: str) -> Vm:
    """Describe a VM, by name or id."""
    vm = find_by_id(session, wanted, all_content=True) if _is_id(wanted) else None
    vm = vm or find_by_name(session, wanted, all_content=True)
    if vm is None:
        raise NotThere(
            f"site {session.site} has no VM {wanted!r}", fix="was it renamed or removed? may the user see it?"
        )
    status = word(vm.status)
    return Vm(
        id=vm.id,
        name=vm.name,
        status=status,
        is_down=status == "down",
        disks=tuple(_disks(session, vm)),
        nics=tuple(_nics(session, vm)),
        cluster=_cluster_name(session, vm),
        has_agent=bool(vm.guest_operating_system or vm.fqdn),
        document=_ovf(vm),
        hardware=_hardware(vm),
    )


def read_disk(session: Session, disk_id: str) -> Any | None:
    """Read one disk; None when it is gone."""
    return session.find(f"reading disk {disk_id}", lambda api: api.disks_service().disk_service(disk_id).get())


def list_attachments(session: Session, vm_id: str, name: str) -> list[Any]:
    """List how disks hang on a VM."""
    found: list[Any] = session.ask(
        f"VM {name!r}: listing its disks",
        lambda api: api.vms_service().vm_service(vm_id).disk_attachments_service().list(),
    )
    return found


def _disks(session: Session, vm: Any) -> Iterator[Disk]:
    for attachment in list_attachments(session, vm.id, vm.name):
        disk = read_disk(session, attachment.disk.id)
        yield make_disk(attachment, disk) if disk is not None else _unseen(attachment)


def make_disk(attachment: Any, disk: Any) -> Disk:
    """Join what the engine says about a disk and about its place."""
    tracked = disk.backup == types.DiskBackup.INCREMENTAL
    return Disk(
        id=disk.id,
        alias=disk.alias or disk.name or disk.id,
        size_bytes=int(disk.provisioned_size or 0),
        interface=word(attachment.interface) or None,
        bootable=bool(attachment.bootable),
        format=word(disk.format),
        tracked=tracked,
        can_track=not tracked and disk.format == types.DiskFormat.COW,
        status=word(disk.status) or "ok",
        storage=tuple(one.id for one in disk.storage_domains or () if one.id),
        skip=_why_skipped(attachment, disk),
        used_bytes=int(disk.actual_size or 0),
    )


def _unseen(attachment: Any) -> Disk:
    """A disk that hangs on the VM but cannot be read is told: a backup without it must not look whole."""
    return Disk(
        id=attachment.disk.id,
        alias=attachment.disk.id,
        size_bytes=0,
        interface=word(attachment.interface) or None,
        bootable=bool(attachment.bootable),
        skip="the engine does not show it: it was removed just now, or the user may not see it",
    )


def _why_skipped(attachment: Any, disk: Any) -> str:
    kind = word(disk.storage_type) or "image"
    if kind == "lun":
        return "a direct LUN: the engine cannot freeze it; back it up inside the guest or at the storage"
    if kind != "image":
        return f"its storage is {kind}, of which the engine makes no backups"
    if disk.shareable:
        return "shareable: the engine cannot freeze a disk that several VMs write to"
    if attachment.active is False:
        return "deactivated: the engine backs up active disks only"
    content = word(disk.content_type) or "data"
    return "" if content == "data" else f"it holds {content}, not a guest's data"


def _nics(session: Session, vm: Any) -> Iterator[Nic]:
    what = f"VM {vm.name!r}: listing its network cards"
    cards = session.ask(what, lambda api: api.vms_service().vm_service(vm.id).nics_service().list())
    names = profile_names(session) if any(ident(card.vnic_profile) for card in cards) else {}
    for card in cards:
        profile, network = names.get(ident(card.vnic_profile) or "", (None, None))
        yield Nic(
            id=card.id,
            name=card.name,
            mac=card.mac.address if card.mac and card.mac.address else "",
            network=network,
            profile=profile,
            interface=word(card.interface) or None,
            plugged=card.plugged is not False,
            linked=card.linked is not False,
        )


def profile_names(session: Session) -> dict[str, tuple[str | None, str | None]]:
    """Give name and network of each vNIC profile, by its id."""
    profiles = session.ask("listing vNIC profiles", lambda api: api.vnic_profiles_service().list(follow="network"))
    missing = any(one.network is not None and one.network.name is None for one in profiles)
    networks = {}
    if missing:
        listed = session.ask("listing networks", lambda api: api.networks_service().list())
        networks = {one.id: one.name for one in listed}
    return {one.id: (one.name, one.network and (one.network.name or networks.get(one.network.id))) for one in profiles}


def _cluster_name(session: Session, vm: Any) -> str | None:
    cluster_id = ident(vm.cluster)
    if cluster_id is None:
        return None
    found = session.find(
        f"VM {vm.name!r}: reading its cluster", lambda api: api.clusters_service().cluster_service(cluster_id).get()
    )
    return found.name if found is not None else None


def _ovf(vm: Any) -> str | None:
    initialization = vm.initialization
    configuration = initialization.configuration if initialization is not None else None
    return configuration.data if configuration is not None and configuration.data else None


def _hardware(vm: Any) -> dict[str, Any]:
    topology = vm.cpu.topology if vm.cpu is not None else None
    return {
        "memory_bytes": vm.memory,
        "sockets": topology.sockets if topology else None,
        "cores": topology.cores if topology else None,
        "threads": topology.threads if topology else None,
        "os": vm.os.type if vm.os is not None else None,
        "description": vm.description,
        "comment": vm.comment,
    }


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
