"""How records look in the API."""

from __future__ import annotations

from lab.ovirt.engine import Engine
from lab.ovirt.model import (
    Attachment,
    Backup,
    Checkpoint,
    Disk,
    Domain,
    Event,
    Job,
    Layer,
    Named,
    Nic,
    Snapshot,
    Transfer,
    Vm,
)
from lab.ovirt.ovf import write_ovf
from lab.ovirt.xml import Element, date, link, many, ref, tag

VM_LINKS = ("diskattachments", "nics", "snapshots", "tags", "backups", "checkpoints", "reporteddevices", "permissions")


def show_done() -> Element:
    """Say that an action was accepted."""
    return tag("action", status="complete")


def show_vm(engine: Engine, vm: Vm, *, all_content: bool = False, follow: frozenset[str] = frozenset()) -> Element:
    """A VM; with all its content the OVF too, and what `follow` names inline."""
    made = tag(
        "vm", *(link(rel, f"/vms/{vm.id}/{rel}") for rel in VM_LINKS),
        id=vm.id, href=f"/vms/{vm.id}", name=vm.name, description=vm.description, comment=vm.comment,
        status=vm.status, memory=vm.memory, origin="ovirt", type=vm.type, creation_time=date(vm.created),
        delete_protected=vm.delete_protected, stateless=False, bios=tag("bios", type=vm.bios),
        cpu=tag("cpu", topology=tag("topology", cores=vm.cores, sockets=vm.sockets, threads=vm.threads)),
        os=tag("os", type=vm.os, boot=tag("boot", devices=[tag("device")])),
        memory_policy=tag("memory_policy", guaranteed=vm.memory, max=vm.memory * 4),
        cluster=ref("cluster", "/clusters", vm.cluster), host=ref("host", "/hosts", vm.host),
        template=ref("template", "/templates", "00000000-0000-0000-0000-000000000000"),
        fqdn=vm.fqdn if vm.agent and vm.fqdn else None,
    )  # fmt: skip
    if vm.agent:
        system = tag("guest_operating_system", distribution="Oracle Linux Server", family="Linux")
        made.append(system)
    if all_content:
        made.append(
            tag("initialization", configuration=tag("configuration", type="ovf", data=write_ovf(engine.inventory, vm)))
        )
    _follow_vm(engine, vm, made, follow)
    return made


def _follow_vm(engine: Engine, vm: Vm, made: Element, follow: frozenset[str]) -> None:
    heads = {one.split(".")[0].replace("_", "") for one in follow}
    if "diskattachments" in heads:
        deep = any(one.replace("_", "").startswith("diskattachments.disk") for one in follow)
        items = [show_attachment(engine, vm, one, deep=deep) for one in vm.attachments]
        made.append(many("disk_attachments", items))
    if "nics" in heads:
        made.append(many("nics", [show_nic(engine, vm, one) for one in vm.nics]))
    if "snapshots" in heads:
        made.append(many("snapshots", show_snapshots(vm)))
    if "tags" in heads:
        made.append(many("tags", [show_named("tag", "/tags", engine.inventory.tags[id]) for id in vm.tags]))
    if "reporteddevices" in heads:
        made.append(many("reported_devices", show_reported(vm)))


def show_attachment(engine: Engine, vm: Vm, one: Attachment, *, deep: bool = False) -> Element:
    """A disk on a VM."""
    disk = show_disk(engine, engine.inventory.disks[one.disk]) if deep else ref("disk", "/disks", one.disk)
    return tag(
        "disk_attachment", id=one.disk, href=f"/vms/{vm.id}/diskattachments/{one.disk}", active=one.active,
        bootable=one.bootable, interface=one.interface, read_only=one.read_only, pass_discard=False,
        uses_scsi_reservation=False, disk=disk, vm=ref("vm", "/vms", vm.id),
    )  # fmt: skip


def show_disk(engine: Engine, disk: Disk, *, mode: str | None = None) -> Element:
    """A disk; while it is backed up its mode too."""
    backup = next((one for one in engine.inventory.backups.values() if disk.id in one.exports), None)
    if disk.storage_type == "lun":
        unit = tag("logical_unit", id=f"lun-{disk.id}", size=disk.size, status="used")
        storage = tag("lun_storage", type="iscsi", logical_units=[unit])
        return tag("disk", id=disk.id, href=f"/disks/{disk.id}", name=disk.name, alias=disk.name, status="ok",
                   storage_type="lun", shareable=disk.shareable, content_type="data", lun_storage=storage)  # fmt: skip
    allocated = engine.storage.allocated(disk)
    backups = disk.backup if engine.version >= (4, 4) else None
    return tag(
        "disk", link("disksnapshots", f"/disks/{disk.id}/disksnapshots"), id=disk.id, href=f"/disks/{disk.id}",
        name=disk.name, alias=disk.name, description=disk.description, backup=backups,
        backup_mode=mode or (backup.modes.get(disk.id) if backup else None), content_type=disk.content_type,
        format=disk.format, image_id=disk.image_id, actual_size=allocated, total_size=allocated,
        provisioned_size=disk.reported_size or disk.size, sparse=disk.sparse, status=disk.status,
        storage_type="image", shareable=disk.shareable, wipe_after_delete=disk.wipe_after_delete,
        propagate_errors=False, qcow_version="qcow2_v3" if disk.format == "cow" else None,
        storage_domains=[one for one in [ref("storage_domain", "/storagedomains", disk.domain)] if one is not None],
    )  # fmt: skip


def show_disk_snapshot(engine: Engine, disk: Disk, layer: Layer) -> Element:
    """One volume of a disk."""
    snapshot, path = None, engine.storage.path(disk, layer)
    vm = engine.inventory.vm_of(disk.id)
    for one in vm.snapshots if vm else []:
        if one.layers.get(disk.id) == layer.id:
            snapshot = one.id
    index = disk.layers.index(layer)
    parent = disk.layers[index - 1].id if index else None
    size = path.stat().st_blocks * 512 if path.exists() else 0
    href = f"/storagedomains/{disk.domain}/disksnapshots"
    return tag(
        "disk_snapshot", id=layer.id, href=f"{href}/{layer.id}", name=disk.name, alias=disk.name,
        format="cow" if layer.format == "qcow2" else "raw", image_id=layer.id, actual_size=size, total_size=size,
        provisioned_size=disk.size, status=disk.status, sparse=disk.sparse, storage_type="image",
        active=index == len(disk.layers) - 1, disk=ref("disk", "/disks", disk.id),
        parent=ref("parent", href, parent), snapshot=tag("snapshot", id=snapshot) if snapshot else None,
        storage_domain=ref("storage_domain", "/storagedomains", disk.domain),
    )  # fmt: skip


def show_nic(engine: Engine, vm: Vm, nic: Nic) -> Element:
    """A network card."""
    return tag(
        "nic", id=nic.id, href=f"/vms/{vm.id}/nics/{nic.id}", name=nic.name, interface=nic.interface,
        linked=nic.linked, plugged=nic.plugged, mac=tag("mac", address=nic.mac), vm=ref("vm", "/vms", vm.id),
        vnic_profile=ref("vnic_profile", "/vnicprofiles", nic.profile),
        reported_devices=show_reported(vm) if vm.agent and vm.nics and nic is vm.nics[0] else None,
    )  # fmt: skip


def show_reported(vm: Vm) -> list[Element]:
    """What the guest agent says about addresses."""
    if not vm.agent or not vm.ips:
        return []
    addresses = [tag("ip", address=one, version="v6" if ":" in one else "v4") for one in vm.ips]
    mac = tag("mac", address=vm.nics[0].mac) if vm.nics else None
    return [tag("reported_device", name="eth0", type="network", ips=addresses, mac=mac, id=vm.id)]


def show_snapshots(vm: Vm) -> list[Element]:
    """All snapshots, the active one first as the engine's own."""
    active = Snapshot(f"{vm.id[:-1]}f", "Active VM", vm.created, type="active")
    return [show_snapshot(vm, one) for one in (active, *vm.snapshots)]


def show_snapshot(vm: Vm, one: Snapshot) -> Element:
    """A snapshot."""
    return tag(
        "snapshot", id=one.id, href=f"/vms/{vm.id}/snapshots/{one.id}", description=one.description,
        date=date(one.created), persist_memorystate=False, snapshot_status=one.status,
        snapshot_type="regular" if one.type == "removing" else one.type, vm=ref("vm", "/vms", vm.id),
    )  # fmt: skip


def show_backup(engine: Engine, one: Backup) -> Element:
    """A backup."""
    href = f"/vms/{one.vm}/backups/{one.id}"
    has_checkpoint = one.phase not in ("initializing", "starting")
    return tag(
        "backup", link("disks", f"{href}/disks"), id=one.id, href=href, description=one.description or None,
        creation_date=date(one.created), modification_date=date(one.modified), phase=one.phase,
        from_checkpoint_id=one.from_checkpoint, to_checkpoint_id=one.to_checkpoint if has_checkpoint else None,
        host=ref("host", "/hosts", next(iter(engine.inventory.hosts), None)), vm=ref("vm", "/vms", one.vm),
        snapshot=tag("snapshot", id=one.snapshot) if one.snapshot else None,
    )  # fmt: skip


def show_checkpoint(vm: Vm, one: Checkpoint) -> Element:
    """A checkpoint."""
    href = f"/vms/{vm.id}/checkpoints/{one.id}"
    return tag(
        "checkpoint", link("disks", f"{href}/disks"), id=one.id, href=href, description=one.description or None,
        creation_date=date(one.created), parent_id=one.parent, state=one.state, vm=ref("vm", "/vms", vm.id),
    )  # fmt: skip


def show_transfer(engine: Engine, one: Transfer) -> Element:
    """An image transfer. Its URLs exist once the ticket does."""
    ready = one.phase not in ("initializing",)
    url = f"https://localhost:{engine.imageio_port}/images/{one.ticket}" if ready else None
    return tag(
        "image_transfer", id=one.id, href=f"/imagetransfers/{one.id}", active=one.active, direction=one.direction,
        format=one.format, inactivity_timeout=one.inactivity_s, phase=one.phase, shallow=one.shallow,
        timeout_policy=one.policy, transferred=one.transferred, transfer_url=url, proxy_url=url,
        backup=tag("backup", id=one.backup) if one.backup else None, disk=ref("disk", "/disks", one.disk),
        image=tag("image", id=one.disk), snapshot=tag("snapshot", id=one.snapshot) if one.snapshot else None,
        host=ref("host", "/hosts", next(iter(engine.inventory.hosts), None)),
    )  # fmt: skip


def show_domain(engine: Engine, one: Domain, used: int) -> Element:
    """A storage domain."""
    center = next(iter(engine.inventory.datacenters), None)
    centers = ref("data_center", "/datacenters", center)
    return tag(
        "storage_domain", link("disksnapshots", f"/storagedomains/{one.id}/disksnapshots"),
        link("disks", f"/storagedomains/{one.id}/disks"), id=one.id, href=f"/storagedomains/{one.id}", name=one.name,
        type=one.type, status=one.status, external_status="ok", available=max(0, one.size - used), used=used,
        committed=0, block_size=512, critical_space_action_blocker=int(engine.setting("critical_space")) >> 30,
        warning_low_space_indicator=10, wipe_after_delete=False, master=True, storage_format="v5",
        storage=tag("storage", type=one.storage), data_centers=[centers] if centers is not None else None,
    )  # fmt: skip


def show_named(kind: str, path: str, one: Named, **more: str) -> Element:
    """Something with only an id, a name and a parent; `more`: field of the parent and its collection."""
    parents = [ref(field, where, one.parent) for field, where in more.items() if one.parent]
    return tag(kind, *parents, id=one.id, href=f"{path}/{one.id}", name=one.name, status=one.status or None)


def show_event(one: Event) -> Element:
    """A line of the audit log."""
    return tag(
        "event", id=str(one.id), href=f"/events/{one.id}", index=one.id, code=one.code, severity=one.severity,
        description=one.description, time=date(one.time), correlation_id=one.correlation or None, origin="oVirt",
        vm=ref("vm", "/vms", one.vm),
    )  # fmt: skip


def show_job(one: Job) -> Element:
    """A job."""
    return tag(
        "job", id=one.id, href=f"/jobs/{one.id}", description=one.description, status=one.status,
        start_time=date(one.started), end_time=date(one.ended) if one.ended else None, auto_cleared=True,
        external=False,
    )  # fmt: skip
