"""Network cards of VMs."""

from __future__ import annotations

from lab.ovirt.api.vms import new_mac
from lab.ovirt.engine import Engine
from lab.ovirt.model import Nic, Vm, new_id
from lab.ovirt.router import Refusal, Reply, Request, not_found, route
from lab.ovirt.views import show_done, show_nic
from lab.ovirt.xml import Element, flag_of, many, text_of


@route("GET", "/vms/{}/nics")
def list_nics(engine: Engine, request: Request, id: str) -> Element:
    """List a VM's."""
    vm = engine.vm(id)
    return many("nics", [show_nic(engine, vm, one) for one in vm.nics])


@route("GET", "/vms/{}/nics/{}")
def get_nic(engine: Engine, request: Request, id: str, nic: str) -> Element:
    """Show one."""
    vm = engine.vm(id)
    return show_nic(engine, vm, _nic(vm, nic))


@route("POST", "/vms/{}/nics", permit="vm")
def add_nic(engine: Engine, request: Request, id: str) -> Reply:
    """Add one."""
    vm, name = engine.vm(id), text_of(request.body, "name")
    if name is None:
        raise Refusal(400, "Nic [name] required for add", "Incomplete parameters")
    if any(one.name == name for one in vm.nics):
        raise Refusal(409, f"[Cannot add Interface. The interface name {name} is already in use.]")
    nic = Nic(new_id(), name, "", None)
    _apply(engine, nic, request.body)
    nic.mac = nic.mac or new_mac(engine)
    vm.nics.append(nic)
    return Reply(show_nic(engine, vm, nic), 201)


@route("PUT", "/vms/{}/nics/{}", permit="vm")
def update_nic(engine: Engine, request: Request, id: str, nic: str) -> Element:
    """Change one."""
    vm = engine.vm(id)
    _apply(engine, _nic(vm, nic), request.body)
    return show_nic(engine, vm, _nic(vm, nic))


@route("DELETE", "/vms/{}/nics/{}", permit="vm")
def remove_nic(engine: Engine, request: Request, id: str, nic: str) -> Element:
    """Remove one."""
    vm = engine.vm(id)
    vm.nics.remove(_nic(vm, nic))
    return show_done()


def _apply(engine: Engine, nic: Nic, body: Element) -> None:
    given = body.find("vnic_profile")
    if given is not None:
        found = engine.find_named("profiles", given, "VnicProfile") if given.get("id") or len(given) else None
        nic.profile = found.id if found else None
    mac = text_of(body, "mac/address")
    if mac and mac.lower() != nic.mac.lower():
        if any(mac.lower() == one.mac.lower() for vm in engine.inventory.vms.values() for one in vm.nics):
            raise Refusal(409, f"[Cannot add Interface. MAC Address {mac} is already in use.]")
        nic.mac = mac
    nic.name = text_of(body, "name") or nic.name
    nic.interface = text_of(body, "interface") or nic.interface
    nic.linked = flag_of(body, "linked", nic.linked)
    nic.plugged = flag_of(body, "plugged", nic.plugged)


def _nic(vm: Vm, id: str) -> Nic:
    found = next((one for one in vm.nics if one.id == id), None)
    if found is None:
        raise not_found("Nic", id)
    return found
