"""Fills a new engine: defaults, and VMs on demand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lab.ovirt.api.vms import new_mac
from lab.ovirt.engine import Engine
from lab.ovirt.model import Attachment, Disk, Domain, Layer, Named, Nic, User, Vm, new_id

DEFAULTS: dict[str, Any] = {
    "version": "4.5.5",
    "product": "oVirt Engine",
    "delay": 0.1,
    "delays": {},
    "token_seconds": 86400,
    "critical_space": 0,
    "tolerate_silent_imageio": False,
    "witness": "",
}


def set_up(engine: Engine, password: str, settings: dict[str, Any]) -> None:
    """Give an engine that begins what every site has."""
    inventory = engine.inventory
    for key, value in DEFAULTS.items():
        inventory.settings.setdefault(key, value)
    inventory.settings.update(settings)
    inventory.users["admin@internal"] = User("admin@internal", password, ["*"])
    if inventory.clusters:
        return
    name = engine.settings.name
    center = Named(new_id(), "Default")
    cluster = Named(new_id(), "Default", center.id)
    host = Named(new_id(), f"{name}-host1", cluster.id, "up")
    network = Named(new_id(), "ovirtmgmt", center.id, "operational")
    profile = Named(new_id(), "ovirtmgmt", network.id)
    domain = Domain(new_id(), f"{name}-data", 1 << 40)
    inventory.datacenters[center.id] = center
    inventory.clusters[cluster.id] = cluster
    inventory.hosts[host.id] = host
    inventory.networks[network.id] = network
    inventory.profiles[profile.id] = profile
    inventory.domains[domain.id] = domain


def add_vm(engine: Engine, wish: dict[str, Any]) -> Vm:
    """Make a VM. Keys: name, id, status (up), cluster, memory, cores, description, comment, tags, fqdn, ips, agent,
    disks (list of dicts, see `_add_disk`), nics (list of {name, profile, mac}); `lazy` starts no qemu yet.
    """
    inventory = engine.inventory
    with engine.lock:
        cluster = _named(inventory.clusters, wish.get("cluster"))
        vm = Vm(wish.get("id") or new_id(), str(wish["name"]), cluster.id)
        if any(one.name == vm.name for one in inventory.vms.values()):
            raise ValueError(f"there is a VM {vm.name}")
        for key in ("memory", "cores", "sockets", "description", "comment", "fqdn", "ips", "os", "bios"):
            setattr(vm, key, wish.get(key, getattr(vm, key)))
        vm.tags = [_tag(engine, name) for name in wish.get("tags", [])]
        for index, nic in enumerate(wish.get("nics", [{}])):
            profile = _named(inventory.profiles, nic.get("profile"))
            name, mac = nic.get("name", f"nic{index + 1}"), nic.get("mac") or new_mac(engine)
            vm.nics.append(Nic(new_id(), name, mac, profile.id))
        vm.host = next(iter(inventory.hosts))
    pairs = [_add_disk(engine, vm, one, index) for index, one in enumerate(wish.get("disks", []))]
    with engine.lock:
        for disk, attachment in pairs:
            inventory.disks[disk.id] = disk
            vm.attachments.append(attachment)
        vm.status = str(wish.get("status", "up"))
        vm.agent = vm.status == "up" and bool(wish.get("agent", bool(vm.fqdn or vm.ips)))
        if vm.status == "down":
            vm.host = None
        inventory.vms[vm.id] = vm
    return vm


def add_many_vms(engine: Engine, count: int, prefix: str, size: int) -> list[str]:
    """Make many small ones, one disk each, without a file so far."""
    cluster, domain = next(iter(engine.inventory.clusters)), next(iter(engine.inventory.domains))
    made = []
    for number in range(count):
        disk = Disk(
            new_id(), f"{prefix}{number:04}_Disk1", size, domain, [Layer(new_id(), "qcow2")], backup="incremental"
        )
        vm = Vm(new_id(), f"{prefix}{number:04}", cluster, "up", attachments=[Attachment(disk.id, bootable=True)])
        engine.inventory.disks[disk.id], engine.inventory.vms[vm.id] = disk, vm
        made.append(vm.id)
    return made


def _add_disk(engine: Engine, vm: Vm, one: dict[str, Any], index: int) -> tuple[Disk, Attachment]:
    """Make a disk. Keys: size, format (cow), name, id, backup (incremental for cow), domain, interface, bootable,
    active, read_only, shareable, lun; content: an image whose bytes it gets, content_format (raw).
    """
    image_format = one.get("format", "cow")
    content = Path(one["content"]) if one.get("content") else None
    size = int(one.get("size") or (content.stat().st_size if content else 1 << 30))
    domain = _named(engine.inventory.domains, one.get("domain"))
    name = one.get("name", f"{vm.name}_Disk{index + 1}")
    layer = Layer(new_id(), "qcow2" if image_format == "cow" else "raw")
    disk = Disk(one.get("id") or new_id(), name, size, domain.id, [layer])
    disk.shareable = bool(one.get("shareable"))
    disk.storage_type = "lun" if one.get("lun") else "image"
    plain = image_format == "cow" and not disk.shareable and disk.storage_type == "image"
    disk.backup = one.get("backup", "incremental" if plain else "none")
    if content is not None:
        engine.storage.fill(disk, content, one.get("content_format", "raw"))
    attachment = Attachment(
        disk.id, one.get("interface", "virtio_scsi"), bool(one.get("bootable", index == 0)),
        bool(one.get("active", True)), bool(one.get("read_only")),
    )  # fmt: skip
    return disk, attachment


def _named(where: dict[str, Any], name: str | None) -> Any:
    if name is None:
        return next(iter(where.values()))
    found = next((one for one in where.values() if name in (one.name, one.id)), None)
    if found is None:
        raise ValueError(f"there is no {name}")
    return found


def _tag(engine: Engine, name: str) -> str:
    for one in engine.inventory.tags.values():
        if one.name == name:
            return one.id
    made = Named(new_id(), name)
    engine.inventory.tags[made.id] = made
    return made.id
