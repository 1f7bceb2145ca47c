"""VMs: list, show, make (from an OVF too), change, start, stop, remove."""

from __future__ import annotations

from lab.ovirt.api.attachments import attach
from lab.ovirt.engine import Engine
from lab.ovirt.flows.disks import delete_disk
from lab.ovirt.flows.vms import start_vm, stop_vm
from lab.ovirt.model import Attachment, Vm, new_id
from lab.ovirt.ovf import OvfVm, read_ovf
from lab.ovirt.router import Refusal, Reply, Request, route
from lab.ovirt.search import search
from lab.ovirt.views import show_done, show_named, show_reported, show_vm
from lab.ovirt.xml import Element, flag_of, id_of, int_of, many, tag, text_of

IMPORTED, ATTACH_FAILED, REMOVED = 174, 175, 113


@route("GET", "/vms")
def list_vms(engine: Engine, request: Request) -> Element:
    """List VMs."""
    inventory = engine.inventory

    def fields(vm: Vm) -> dict[str, object]:
        cluster = inventory.clusters.get(vm.cluster)
        return {
            "name": vm.name, "id": vm.id, "status": vm.status, "description": vm.description, "comment": vm.comment,
            "tag": [inventory.tags[id].name for id in vm.tags], "cluster": cluster.name if cluster else "",
            "fqdn": vm.fqdn if vm.agent else "", "ip": vm.ips if vm.agent else [], "memory": vm.memory >> 20,
            "host": vm.host or "", "disks": len(vm.attachments), "creationdate": vm.created,
        }  # fmt: skip

    found = search([vm for vm in inventory.vms.values() if engine.sees(vm)], fields, request.query)
    follow, is_all = _follow(request), _wants_all(request)
    return many("vms", [show_vm(engine, vm, all_content=is_all, follow=follow) for vm in found])


@route("GET", "/vms/{}")
def get_vm(engine: Engine, request: Request, id: str) -> Element:
    """Show one."""
    return show_vm(engine, engine.vm(id), all_content=_wants_all(request), follow=_follow(request))


@route("POST", "/vms", permit="vm")
def add_vm(engine: Engine, request: Request) -> Reply:
    """Make one, empty or from an OVF."""
    body = request.body
    configuration = body.find("initialization/configuration")
    if configuration is not None:
        ovf = read_ovf(text_of(configuration, "data", "") or "")
        return Reply(show_vm(engine, _import(engine, request, ovf)), 201)
    name = text_of(body, "name")
    if name is None:
        raise Refusal(400, "Vm [name] required for add", "Incomplete parameters")
    cluster = _cluster(engine, body)
    _require_free_name(engine, name)
    vm = Vm(body.get("id") or new_id(), name, cluster)
    if vm.id in engine.inventory.vms:
        raise Refusal(409, "[Cannot add VM. A VM with this ID already exists.]")
    engine.inventory.vms[vm.id] = vm
    _apply(engine, vm, body)
    engine.begin_job(f"Creating VM {name}", ended=True)
    return Reply(show_vm(engine, vm), 201)


@route("PUT", "/vms/{}", permit="vm")
def update_vm(engine: Engine, request: Request, id: str) -> Element:
    """Change one."""
    vm, name = engine.vm(id), text_of(request.body, "name")
    if name and name != vm.name:
        _require_free_name(engine, name)
    _apply(engine, vm, request.body)
    return show_vm(engine, vm)


@route("DELETE", "/vms/{}", permit="vm")
def remove_vm(engine: Engine, request: Request, id: str) -> Element:
    """Remove one, with its disks unless they are only to be detached."""
    vm = engine.vm(id)
    if vm.delete_protected:
        raise Refusal(409, f"[Cannot remove VM. Delete protection is enabled on VM {vm.name}.]")
    if vm.status != "down":
        raise Refusal(409, f"[Cannot remove VM. VM {vm.name} is running.]")
    engine.require_unlocked(vm, "remove VM")
    engine.require_no_backup(vm, "remove VM")
    disks = [engine.disk(one.disk) for one in vm.attachments]
    for disk in disks:
        if disk.status == "locked":
            engine.require_disk_ok(disk, "remove VM")
    engine.machine(vm).stop()
    if request.is_set("detach_only"):
        if vm.snapshots:
            raise Refusal(409, "[Cannot remove VM. Cannot detach disks of a VM that has snapshots.]")
        vm.attachments = []
    for disk in disks if not request.is_set("detach_only") else []:
        if not disk.shareable:
            delete_disk(engine, disk)
    del engine.inventory.vms[vm.id]
    engine.begin_job(f"Removing VM {vm.name}", ended=True)
    engine.tell(REMOVED, f"VM {vm.name} was successfully removed.", vm=vm.id)
    return show_done()


@route("POST", "/vms/{}/start", permit="run")
def start(engine: Engine, request: Request, id: str) -> Element:
    """Start one."""
    start_vm(engine, engine.vm(id))
    return show_done()


@route("POST", "/vms/{}/(?:stop|shutdown)", permit="run")
def stop(engine: Engine, request: Request, id: str) -> Element:
    """Stop one."""
    stop_vm(engine, engine.vm(id))
    return show_done()


@route("POST", "/vms/{}/(?:freezefilesystems|thawfilesystems)", permit="run")
def freeze(engine: Engine, request: Request, id: str) -> Element:
    """Ask the guest agent to freeze or thaw."""
    vm = engine.vm(id)
    if not vm.agent:
        raise Refusal(409, f"[Cannot freeze or thaw. The guest agent of VM {vm.name} does not answer.]")
    return show_done()


@route("GET", "/vms/{}/tags")
def list_tags(engine: Engine, request: Request, id: str) -> Element:
    """Show the tags of one."""
    return many("tags", [show_named("tag", "/tags", engine.inventory.tags[one]) for one in engine.vm(id).tags])


@route("POST", "/vms/{}/tags", permit="vm")
def add_tag(engine: Engine, request: Request, id: str) -> Reply:
    """Tag one."""
    wish = tag("tag", id=request.body.get("id"), name=text_of(request.body, "name"))
    found = engine.find_named("tags", wish, "Tag")
    if found.id not in engine.vm(id).tags:
        engine.vm(id).tags.append(found.id)
    return Reply(show_named("tag", "/tags", found), 201)


@route("DELETE", "/vms/{}/tags/{}", permit="vm")
def remove_tag(engine: Engine, request: Request, id: str, tag_id: str) -> Element:
    """Take a tag away."""
    engine.vm(id).tags = [one for one in engine.vm(id).tags if one != tag_id]
    return show_done()


@route("GET", "/vms/{}/reporteddevices")
def list_reported(engine: Engine, request: Request, id: str) -> Element:
    """Show what the guest agent says about addresses."""
    return many("reported_devices", show_reported(engine.vm(id)))


def _import(engine: Engine, request: Request, ovf: OvfVm) -> Vm:
    """Make a VM from an OVF. Its disks are thrown away; those that exist by id are attached, the rest is an event."""
    vm, is_clone = ovf.vm, request.is_set("clone")
    vm.name = text_of(request.body, "name") or vm.name
    vm.cluster = _cluster(engine, request.body)
    _require_free_name(engine, vm.name)
    if is_clone or not vm.id:
        vm.id = new_id()
    if vm.id in engine.inventory.vms:
        raise Refusal(409, "[Cannot import VM. A VM with the same identifier already exists.]")
    _import_nics(engine, ovf, is_clone=is_clone)
    engine.inventory.vms[vm.id] = vm
    failed = [] if is_clone else [one for one in ovf.attachments if not _try_attach(engine, vm, one)]
    names = ",".join(ovf.aliases.get(one.disk) or one.disk for one in failed)
    if failed:
        text = f"VM {vm.name} has been successfully imported from the given configuration but the following disk(s) "
        engine.tell(ATTACH_FAILED, f"{text}failed to attach: {names}.", severity="warning", vm=vm.id)
    else:
        text = f"VM {vm.name} has been successfully imported from the given configuration."
        engine.tell(IMPORTED, text, vm=vm.id)
    engine.begin_job(f"Importing VM {vm.name} from configuration", ended=True)
    return vm


def _try_attach(engine: Engine, vm: Vm, attachment: Attachment) -> bool:
    try:
        attach(engine, vm, attachment)
    except Refusal:
        return False
    return True


def _import_nics(engine: Engine, ovf: OvfVm, *, is_clone: bool) -> None:
    taken = {nic.mac.lower() for vm in engine.inventory.vms.values() for nic in vm.nics}
    for nic in ovf.vm.nics:
        network, name = ovf.profiles.get(nic.id, ("", ""))
        for profile in engine.inventory.profiles.values():
            parent = engine.inventory.networks.get(profile.parent or "")
            if profile.name == name and parent is not None and parent.name == network:
                nic.profile = profile.id
        if is_clone:
            nic.id, nic.mac = new_id(), new_mac(engine)
        elif nic.mac.lower() in taken:
            raise Refusal(409, f"[Cannot import VM. MAC Address {nic.mac} is already in use.]")


def new_mac(engine: Engine) -> str:
    """Take an address from the pool."""
    taken = {nic.mac for vm in engine.inventory.vms.values() for nic in vm.nics}
    while True:
        engine.inventory.macs += 1
        number = engine.inventory.macs
        mac = f"56:6f:{number >> 24 & 255:02x}:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
        if mac not in taken:
            return mac


def _cluster(engine: Engine, body: Element) -> str:
    found = engine.find_named("clusters", body.find("cluster"), "Cluster")
    if found is None:
        raise Refusal(400, "Vm [cluster.id|name] required for add", "Incomplete parameters")
    return str(found.id)


def _require_free_name(engine: Engine, name: str) -> None:
    if any(vm.name == name for vm in engine.inventory.vms.values()):
        raise Refusal(409, "[Cannot add VM. The VM name is already in use, please choose a unique name and try again.]")


def _apply(engine: Engine, vm: Vm, body: Element) -> None:
    vm.name = text_of(body, "name") or vm.name
    for name in ("description", "comment"):
        if body.find(name) is not None:
            setattr(vm, name, text_of(body, name) or "")
    vm.memory = int_of(body, "memory", vm.memory)
    for part in ("cores", "sockets", "threads"):
        setattr(vm, part, int_of(body, f"cpu/topology/{part}", getattr(vm, part)))
    vm.bios = text_of(body, "bios/type") or vm.bios
    vm.os = text_of(body, "os/type") or vm.os
    vm.delete_protected = flag_of(body, "delete_protected", vm.delete_protected)
    if id_of(body, "cluster") or text_of(body, "cluster/name"):
        vm.cluster = _cluster(engine, body)


def _wants_all(request: Request) -> bool:
    return request.is_set("all_content") or request.headers.get("all-content", "").lower() == "true"


def _follow(request: Request) -> frozenset[str]:
    return frozenset(one for one in request.query.get("follow", "").split(",") if one)
