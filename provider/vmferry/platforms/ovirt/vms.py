# SPDX-License-Identifier: Apache-2.0
"""VMs that a restore makes from the saved OVF, and what it does with them.

The engine throws the OVF's disks away and then attaches disks by the ids in it; when those are not there it still says
yes (its ImportVmFromConfigurationCommand writes an audit event only). So the attachments are always compared.
"""

from __future__ import annotations

import contextlib
import logging
import re
from typing import Any
from xml.sax.saxutils import escape

from vmferry.platforms.errors import Conflict, NameTaken, NotAsOrdered, NotThere, Refused, WaitedTooLong
from vmferry.platforms.orders import DiskPlace, VmRef, VmSpec
from vmferry.platforms.ovirt.inventory import find_by_id, find_by_name, list_attachments
from vmferry.platforms.ovirt.nics import set_nics
from vmferry.platforms.ovirt.sdk import types
from vmferry.platforms.ovirt.session import Session
from vmferry.platforms.ovirt.texts import correlation, word
from vmferry.platforms.ovirt.waits import VM_DOWN, VM_GONE, VM_UP, VM_USABLE
from vmferry.platforms.runs import RunId, parse_tag
from vmferry.platforms.waiting import table

COMPLETE = "complete"
_START_GRACE_S = 10.0
_START_REFUSED_S = 5.0
"""For so long a host may still be finishing something before it takes the VM."""
_MAC = re.compile(r"MACAddress>\s*((?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2})")
_COMMENT = re.compile(r"<Comment\s*/>|<Comment>[^<]*</Comment>")
_log = logging.getLogger(__name__)
_AGENT = table("guest's agent", ok="answers", wait="silent", fail="gone")


def find_vm(session: Session, name: str) -> VmRef | None:
    """Look a VM up by its name."""
    found = find_by_name(session, name)
    return make_reference(found) if found is not None else None


def make_reference(vm: Any) -> VmRef:
    """Say what a restore needs to know about a VM of the engine."""
    tag = parse_tag(vm.comment)
    return VmRef(vm.id, vm.name, word(vm.status), tag.run if tag else None, tag.words if tag else ())


def create_vm(session: Session, spec: VmSpec, owner: RunId) -> VmRef:
    """Make a VM from its OVF, or go on with the one this owner began, until it is as ordered."""
    made = _make(session, spec, owner)
    session.wait(VM_USABLE, lambda api: word(_service(api, made.id).get().status), name=f"VM {spec.name!r}")
    vm = _own(session, made, spec, owner)
    for place in spec.disks:
        _attach(session, vm, place)
    _compare(session, vm, spec)
    set_nics(session, vm, spec)
    return vm


def mark_complete(session: Session, vm: VmRef, owner: RunId, backup: str) -> VmRef:
    """Write on the VM that it is proven, and which backup it is."""
    _set_comment(session, vm, owner.tag(f"backup={backup}", COMPLETE))
    return _reread(session, vm)


def rename_vm(session: Session, vm: VmRef, name: str) -> VmRef:
    """Give a VM another name."""
    found = find_by_id(session, vm.id)
    if found is None:
        raise NotThere(f"VM {vm.name!r} is gone", fix="look at the engine's events")
    if found.name != name:
        session.insist(
            f"VM {found.name!r}: renaming it to {name!r}", lambda api: _service(api, vm.id).update(types.Vm(name=name))
        )
    return _reread(session, vm)


def start_vm(session: Session, vm: VmRef, *, timeout_s: float, wait_for_agent: bool) -> VmRef:
    """Start a VM and wait until it is up, and its guest's agent answers where that is asked for."""

    def start(api: Any) -> None:
        if word(_service(api, vm.id).get().status) == "down":
            _service(api, vm.id).start()

    what = f"VM {vm.name!r}"
    session.insist(f"{what}: starting it", start, limit_s=_START_REFUSED_S)
    session.wait(
        VM_UP, lambda api: word(_service(api, vm.id).get().status), name=what, timeout_s=timeout_s,
        grace_s=_START_GRACE_S, fix="the engine's events say why it does not start; its disks are proven and stay",
    )  # fmt: skip
    if wait_for_agent:
        session.wait(_AGENT, lambda api: _agent_state(api, vm.id), name=what, timeout_s=timeout_s)
    return _reread(session, vm)


def stop_vm(session: Session, vm: VmRef, *, timeout_s: float) -> VmRef:
    """Ask the guest to shut down, wait, then pull the plug."""
    what = f"VM {vm.name!r}"

    def order(name: str) -> None:
        def run(api: Any) -> None:
            if word(_service(api, vm.id).get().status) != "down":
                getattr(_service(api, vm.id), name)()

        session.insist(f"{what}: {name}", run)

    def wait(limit_s: float) -> None:
        session.wait(VM_DOWN, lambda api: word(_service(api, vm.id).get().status), name=what, timeout_s=limit_s)

    # Refused: a guest without agent and ACPI cannot be asked.
    with contextlib.suppress(WaitedTooLong, Conflict, Refused):
        order("shutdown")
        wait(timeout_s)
        return _reread(session, vm)
    order("stop")
    wait(max(60.0, timeout_s))
    return _reread(session, vm)


def remove_vm(session: Session, vm: VmRef, *, keep_disks: bool) -> None:
    """Remove a VM that is down, and wait until it is gone."""
    what = f"VM {vm.name!r}"
    with contextlib.suppress(NotThere):
        session.insist(f"{what}: removing it", lambda api: _service(api, vm.id).remove(detach_only=keep_disks or None))
    session.wait(VM_GONE, lambda api: word(_service(api, vm.id).get().status), name=what)


def _make(session: Session, spec: VmSpec, owner: RunId) -> Any:
    """Make the VM; where a card's address is taken at this site, with new ids and addresses instead."""

    def make(clone: bool) -> Any:
        return session.make(
            f"VM {spec.name!r}: creating it from its OVF",
            lambda: _find_mine(session, spec, owner),
            lambda api: api.vms_service().add_from_configuration(
                _build(spec, owner), clone=clone or None, query=correlation(owner, "vm")
            ),
        )

    try:
        return make(spec.clone)
    except Conflict:
        holder = None if spec.clone else _find_mac_holder(session, spec.document)
        if holder is None:
            raise
        _log.warning("VM %r: %s has one of its MAC addresses; it gets new ones", spec.name, holder)
        return make(clone=True)


def _find_mac_holder(session: Session, document: str) -> str | None:
    """Name a VM that has an address of this OVF. Only a refused import asks: it is a heavy question."""
    wanted = {mac.lower() for mac in _MAC.findall(document)}
    for vm in session.ask("listing VMs with their cards", lambda api: api.vms_service().list(follow="nics")):
        if any(nic.mac is not None and (nic.mac.address or "").lower() in wanted for nic in vm.nics or ()):
            return str(vm.name)
    return None


def _build(spec: VmSpec, owner: RunId) -> Any:
    document = _with_comment(spec.document, owner.tag())
    configuration = types.Configuration(type=types.ConfigurationType.OVF, data=document)
    return types.Vm(
        name=spec.name,
        comment=owner.tag(),
        cluster=types.Cluster(name=spec.cluster),
        initialization=types.Initialization(configuration=configuration),
    )


def _with_comment(document: str, comment: str) -> str:
    """Put our tag into the OVF, so that the VM carries it from its first moment on."""
    element = f"<Comment>{escape(comment)}</Comment>"
    if _COMMENT.search(document):
        return _COMMENT.sub(lambda match: element, document, count=1)
    return document.replace("</Name>", f"</Name>{element}", 1)


def _find_mine(session: Session, spec: VmSpec, owner: RunId) -> Any | None:
    found = find_by_name(session, spec.name)
    if found is None:
        return None
    tag = parse_tag(found.comment)
    if tag is None or not tag.is_of(owner):
        raise NameTaken(
            f"site {session.site} has a VM {spec.name!r} that is not of this run",
            fix="choose a suffix, or allow to replace it (replace_existing_vm)",
        )
    return found


def _own(session: Session, made: Any, spec: VmSpec, owner: RunId) -> VmRef:
    """Be sure that the tag is on the VM, whatever the engine took over from the OVF."""
    vm = make_reference(made)
    found = find_by_id(session, vm.id)
    if found is None:
        raise NotThere(f"VM {spec.name!r} vanished after it was made", fix="restore again")
    tag = parse_tag(found.comment)
    if tag is None or not tag.is_of(owner):
        _set_comment(session, vm, owner.tag())
    return _reread(session, vm)


def _set_comment(session: Session, vm: VmRef, comment: str) -> None:
    session.insist(
        f"VM {vm.name!r}: noting what it is", lambda api: _service(api, vm.id).update(types.Vm(comment=comment))
    )


def _attach(session: Session, vm: VmRef, place: DiskPlace) -> None:
    """Hang a disk on the VM as ordered, or correct how it hangs already."""
    wanted = types.DiskAttachment(
        disk=types.Disk(id=place.id),
        active=True,
        bootable=place.bootable,
        interface=types.DiskInterface(place.interface),
    )
    what = f"VM {vm.name!r}: attaching disk {place.id}"
    hung = session.make(
        what,
        lambda: _find_attachment(session, vm, place.id),
        lambda api: _attachments(api, vm.id).add(wanted),
    )
    if (word(hung.interface), bool(hung.bootable)) != (place.interface, place.bootable):
        wanted.disk = None
        session.insist(what, lambda api: _attachments(api, vm.id).attachment_service(place.id).update(wanted))


def _find_attachment(session: Session, vm: VmRef, disk_id: str) -> Any | None:
    return next((one for one in list_attachments(session, vm.id, vm.name) if one.disk.id == disk_id), None)


def _compare(session: Session, vm: VmRef, spec: VmSpec) -> None:
    """Raise `NotAsOrdered` unless the VM has exactly the disks of the backup."""
    ordered = {place.id: (place.interface, place.bootable) for place in spec.disks}
    hung = list_attachments(session, vm.id, vm.name)
    found = {one.disk.id: (word(one.interface), bool(one.bootable)) for one in hung}
    names = {place.id: place.name for place in spec.disks}
    for disk_id, how in ordered.items():
        if found.get(disk_id) != how:
            now = found.get(disk_id, "not there")
            raise NotAsOrdered(
                f"VM {vm.name!r}, disk {names.get(disk_id) or disk_id}: should hang as {how}, is {now}",
                fix="attach it at the engine; its bytes are proven",
            )
    strange = sorted(set(found) - set(ordered))
    if strange:
        raise NotAsOrdered(
            f"VM {vm.name!r} has disk {', '.join(strange)}, which the backup does not know",
            fix="detach it at the engine, then restore again",
        )


def _agent_state(api: Any, vm_id: str) -> str:
    vm = _service(api, vm_id).get()
    return "answers" if vm.fqdn or vm.guest_operating_system else "silent"


def _reread(session: Session, vm: VmRef) -> VmRef:
    found = find_by_id(session, vm.id)
    if found is None:
        raise NotThere(f"VM {vm.name!r} is gone", fix="look at the engine's events")
    return make_reference(found)


def _attachments(api: Any, vm_id: str) -> Any:
    return _service(api, vm_id).disk_attachments_service()


def _service(api: Any, vm_id: str) -> Any:
    return api.vms_service().vm_service(vm_id)
