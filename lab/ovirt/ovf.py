"""Writes a VM as the OVF that oVirt gives out, and reads one back. Only what a restore needs is in it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass, field

from lab.ovirt.model import Attachment, Disk, Inventory, Nic, Vm
from lab.ovirt.router import Refusal

OVF = "http://schemas.dmtf.org/ovf/envelope/1/"
RASD = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
VSSD = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
for _prefix, _uri in (("ovf", OVF), ("rasd", RASD), ("vssd", VSSD), ("xsi", XSI)):
    ET.register_namespace(_prefix, _uri)

_INTERFACES = {"virtio": "VirtIO", "virtio_scsi": "VirtIO_SCSI", "sata": "SATA", "ide": "IDE"}
_NIC_TYPES = {"virtio": "3", "e1000": "2", "rtl8139": "1"}
_BIOS = ("cluster_default", "i440fx_sea_bios", "q35_sea_bios", "q35_ovmf", "q35_secure_boot")


@dataclass
class OvfVm:
    """What an OVF says."""

    id: str
    name: str
    vm: Vm
    attachments: list[Attachment] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)
    profiles: dict[str, tuple[str, str]] = field(default_factory=dict)
    """NIC id -> (network, vnic profile) by name."""


def write_ovf(inventory: Inventory, vm: Vm) -> str:
    """Write a VM."""
    root = ET.Element(_q(OVF, "Envelope"), {_q(OVF, "version"): "4.4.0.0"})
    _write_references(root, inventory, vm)
    section = ET.SubElement(root, "NetworkSection")
    _add(section, "Info", "List of networks")
    _write_disk_section(root, inventory, vm)
    content = ET.SubElement(root, "Content", {_q(OVF, "id"): "out", _q(XSI, "type"): "ovf:VirtualSystem_Type"})
    cluster = inventory.clusters.get(vm.cluster)
    for name, text in (
        ("Name", vm.name), ("Description", vm.description), ("Comment", vm.comment), ("Origin", "3"),
        ("VmType", "1"), ("ClusterName", cluster.name if cluster else ""), ("BiosType", str(_bios(vm.bios))),
        ("DeleteProtected", str(vm.delete_protected).lower()),
    ):  # fmt: skip
        _add(content, name, text)
    kind = {_q(OVF, "required"): "false", _q(XSI, "type"): "ovf:OperatingSystemSection_Type"}
    system = ET.SubElement(content, "Section", {_q(OVF, "id"): vm.id, **kind})
    _add(system, "Info", "Guest Operating System")
    _add(system, "Description", vm.os)
    _write_hardware(content, inventory, vm)
    return '<?xml version="1.0" encoding="UTF-8"?>' + ET.tostring(root, encoding="unicode")


def read_ovf(text: str) -> OvfVm:
    """Read one, or refuse it."""
    try:
        content = ET.fromstring(text).find("Content")
    except ET.ParseError as error:
        raise Refusal(400, f"[The OVF cannot be read: {error}]") from None
    if content is None:
        raise Refusal(400, "[The OVF cannot be read: it has no Content]")
    system = next(
        (one for one in content.findall("Section") if "OperatingSystem" in one.get(_q(XSI, "type"), "")), None
    )
    id = system.get(_q(OVF, "id"), "") if system is not None else ""
    name = content.findtext("Name") or ""
    vm = Vm(id, name, "", description=content.findtext("Description") or "", comment=content.findtext("Comment") or "")
    vm.os = (system.findtext("Description") if system is not None else None) or "other"
    bios = content.findtext("BiosType") or ""
    vm.bios = _BIOS[int(bios)] if bios.isdigit() and int(bios) < len(_BIOS) else "q35_sea_bios"
    made = OvfVm(id, name, vm)
    for item in content.iter("Item"):
        _read_item(item, made)
    for one in ET.fromstring(text).iter("Disk"):
        _read_disk(one, made)
    return made


def _write_references(root: ET.Element, inventory: Inventory, vm: Vm) -> None:
    references = ET.SubElement(root, "References")
    for disk in _disks(inventory, vm):
        facts = {"href": f"{disk.id}/{disk.image_id}", "id": disk.image_id, "size": str(disk.size)}
        ET.SubElement(references, "File", {_q(OVF, key): value for key, value in facts.items()})


def _write_disk_section(root: ET.Element, inventory: Inventory, vm: Vm) -> None:
    section = ET.SubElement(root, "Section", {_q(XSI, "type"): "ovf:DiskSection_Type"})
    _add(section, "Info", "List of Virtual Disks")
    for disk in _disks(inventory, vm):
        attachment = vm.attachment(disk.id)
        assert attachment
        facts = {
            "diskId": disk.image_id, "size": str(-(-disk.size >> 30)), "capacity": str(disk.size),
            "fileRef": f"{disk.id}/{disk.image_id}", "volume-format": "COW" if disk.format == "cow" else "RAW",
            "volume-type": "Sparse" if disk.sparse else "Preallocated", "disk-alias": disk.name,
            "disk-interface": _INTERFACES.get(attachment.interface, "VirtIO_SCSI"),
            "read-only": str(attachment.read_only).lower(), "shareable": str(disk.shareable).lower(),
            "boot": str(attachment.bootable).lower(), "incremental-backup": str(disk.backup == "incremental").lower(),
            "disk-description": disk.description,
        }  # fmt: skip
        ET.SubElement(section, "Disk", {_q(OVF, key): value for key, value in facts.items()})


def _write_hardware(content: ET.Element, inventory: Inventory, vm: Vm) -> None:
    section = ET.SubElement(content, "Section", {_q(XSI, "type"): "ovf:VirtualHardwareSection_Type"})
    _add(section, "Info", f"{vm.cores * vm.sockets * vm.threads} CPU, {vm.memory >> 20} Memory")
    cpu = ET.SubElement(section, "Item")
    for name, text in (
        ("Caption", f"{vm.cores * vm.sockets} virtual cpu"), ("InstanceId", "1"), ("ResourceType", "3"),
        ("num_of_sockets", str(vm.sockets)), ("cpu_per_socket", str(vm.cores)), ("threads_per_cpu", str(vm.threads)),
    ):  # fmt: skip
        _add(cpu, _q(RASD, name), text)
    memory = ET.SubElement(section, "Item")
    for name, text in (
        ("Caption", "memory"),
        ("InstanceId", "2"),
        ("ResourceType", "4"),
        ("VirtualQuantity", str(vm.memory >> 20)),
    ):
        _add(memory, _q(RASD, name), text)
    for disk in _disks(inventory, vm):
        _write_disk_item(section, vm, disk)
    for nic in vm.nics:
        _write_nic_item(section, inventory, nic)


def _write_disk_item(section: ET.Element, vm: Vm, disk: Disk) -> None:
    attachment = vm.attachment(disk.id)
    assert attachment
    item = ET.SubElement(section, "Item")
    for name, text in (
        ("Caption", disk.name), ("InstanceId", disk.image_id), ("ResourceType", "17"),
        ("HostResource", f"{disk.id}/{disk.image_id}"),
    ):  # fmt: skip
        _add(item, _q(RASD, name), text)
    _add(item, "Type", "disk")
    _add(item, "Device", "disk")
    _add(item, "IsPlugged", str(attachment.active).lower())
    _add(item, "IsReadOnly", str(attachment.read_only).lower())
    _add(item, "BootOrder", "1" if attachment.bootable else "0")


def _write_nic_item(section: ET.Element, inventory: Inventory, nic: Nic) -> None:
    profile = inventory.profiles.get(nic.profile or "")
    network = inventory.networks.get(profile.parent or "") if profile else None
    item = ET.SubElement(section, "Item")
    for name, text in (
        ("Caption", "Ethernet adapter"), ("InstanceId", nic.id), ("ResourceType", "10"),
        ("ResourceSubType", _NIC_TYPES.get(nic.interface, "3")), ("Connection", network.name if network else ""),
        ("Linked", str(nic.linked).lower()), ("Name", nic.name), ("ElementName", nic.name), ("MACAddress", nic.mac),
    ):  # fmt: skip
        _add(item, _q(RASD, name), text)
    _add(item, "VnicProfileName", profile.name if profile else "")
    _add(item, "Type", "interface")
    _add(item, "IsPlugged", str(nic.plugged).lower())


def _read_item(item: ET.Element, made: OvfVm) -> None:
    kind = item.findtext(_q(RASD, "ResourceType"))
    if kind == "3":
        made.vm.sockets = int(item.findtext(_q(RASD, "num_of_sockets")) or 1)
        made.vm.cores = int(item.findtext(_q(RASD, "cpu_per_socket")) or 1)
        made.vm.threads = int(item.findtext(_q(RASD, "threads_per_cpu")) or 1)
    elif kind == "4":
        made.vm.memory = int(item.findtext(_q(RASD, "VirtualQuantity")) or 1024) << 20
    elif kind == "17":
        disk = (item.findtext(_q(RASD, "HostResource")) or "").split("/")[0]
        made.attachments.append(
            Attachment(
                disk, "virtio_scsi", item.findtext("BootOrder") == "1",
                item.findtext("IsPlugged") != "false", item.findtext("IsReadOnly") == "true",
            )
        )  # fmt: skip
    elif kind == "10":
        id = item.findtext(_q(RASD, "InstanceId")) or ""
        nic = Nic(id, item.findtext(_q(RASD, "Name")) or "nic1", item.findtext(_q(RASD, "MACAddress")) or "", None)
        types = {number: name for name, number in _NIC_TYPES.items()}
        nic.interface = types.get(item.findtext(_q(RASD, "ResourceSubType")) or "3", "virtio")
        nic.linked = item.findtext(_q(RASD, "Linked")) != "false"
        nic.plugged = item.findtext("IsPlugged") != "false"
        made.vm.nics.append(nic)
        made.profiles[id] = (item.findtext(_q(RASD, "Connection")) or "", item.findtext("VnicProfileName") or "")


def _read_disk(one: ET.Element, made: OvfVm) -> None:
    """What the disk section says of a disk that the hardware section named before."""
    disk = one.get(_q(OVF, "fileRef"), "").split("/")[0]
    made.aliases[disk] = one.get(_q(OVF, "disk-alias"), "")
    interfaces = {text: name for name, text in _INTERFACES.items()}
    for attachment in made.attachments:
        if attachment.disk == disk:
            attachment.interface = interfaces.get(one.get(_q(OVF, "disk-interface"), ""), "virtio_scsi")


def _disks(inventory: Inventory, vm: Vm) -> list[Disk]:
    disks = [inventory.disks[one.disk] for one in vm.attachments]
    return [disk for disk in disks if disk.storage_type == "image" and not disk.shareable]


def _bios(name: str) -> int:
    return _BIOS.index(name) if name in _BIOS else 2


def _q(namespace: str, name: str) -> str:
    return f"{{{namespace}}}{name}"


def _add(parent: ET.Element, name: str, text: str) -> None:
    ET.SubElement(parent, name).text = text
