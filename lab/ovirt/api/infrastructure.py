"""What VMs run on: the api root, clusters, hosts, storage domains, networks, tags, users."""

from __future__ import annotations

import time
from typing import Any

from lab.ovirt.engine import Engine
from lab.ovirt.flows.disks import used_bytes
from lab.ovirt.model import Domain, Named, new_id
from lab.ovirt.router import Refusal, Reply, Request, route
from lab.ovirt.search import search
from lab.ovirt.views import show_domain, show_named
from lab.ovirt.xml import Element, date, link, many, ref, tag, text_of

_KINDS: dict[str, tuple[str, str, dict[str, str]]] = {
    "clusters": ("cluster", "clusters", {"data_center": "/datacenters"}),
    "datacenters": ("data_center", "data_centers", {}),
    "hosts": ("host", "hosts", {"cluster": "/clusters"}),
    "networks": ("network", "networks", {"data_center": "/datacenters"}),
    "vnicprofiles": ("vnic_profile", "vnic_profiles", {"network": "/networks"}),
    "tags": ("tag", "tags", {}),
}
_INVENTORY = {"vnicprofiles": "profiles"}
PERMITS = {
    "read": ("login",),
    "backup": ("backup_disk",),
    "image": ("access_image_storage",),
    "disk": ("create_disk", "attach_disk", "edit_disk_properties", "delete_disk"),
    "vm": ("create_vm", "delete_vm", "edit_vm_properties", "import_export_vm", "configure_vm_storage",
           "configure_vm_network"),
    "run": ("run_vm", "stop_vm", "shut_down_vm"),
    "snapshot": ("manipulate_vm_snapshots",),
}  # fmt: skip
"""A user's permits as roles, and what each allows in the engine's own words."""


@route("GET", "")
def get_root(engine: Engine, request: Request) -> Element:
    """Say which engine this is."""
    parts = [*engine.version, 0, 0, 0]
    version = tag(
        "version", build=0, full_version=f"{engine.setting('version')}-1.el9 (simulated)", major=parts[0],
        minor=parts[1], revision=parts[2],
    )  # fmt: skip
    name = str(engine.setting("product"))
    product = tag("product_info", name=name, vendor="lab simulator", version=version)
    vms = engine.inventory.vms.values()
    count = tag("vms", active=sum(vm.status == "up" for vm in vms), total=len(vms))
    links = [link(rel, f"/{rel}") for rel in ("vms", "disks", "storagedomains", "clusters", "imagetransfers", "jobs")]
    user = tag("authenticated_user", id=request.user, href=f"/users/{request.user}")
    return tag("api", *links, product_info=product, summary=tag("summary", vms=count), time=date(time.time()),
               authenticated_user=user, effective_user=tag("effective_user", id=request.user))  # fmt: skip


@route("GET", "/(clusters|datacenters|hosts|networks|vnicprofiles|tags)")
def list_named(engine: Engine, request: Request, kind: str) -> Element:
    """List one kind."""
    single, plural, parents = _KINDS[kind]
    where: dict[str, Named] = getattr(engine.inventory, _INVENTORY.get(kind, kind))

    def fields(one: Named) -> dict[str, Any]:
        more = (
            {"storage.name": [one.name for one in engine.inventory.domains.values()]} if kind == "datacenters" else {}
        )
        return {"name": one.name, "id": one.id, "status": one.status, **more}

    found = search(where.values(), fields, request.query)
    return many(plural, [_show(kind, single, one, parents) for one in found])


@route("GET", "/(clusters|datacenters|hosts|networks|vnicprofiles|tags)/{}")
def get_named(engine: Engine, request: Request, kind: str, id: str) -> Element:
    """Show one."""
    single, _, parents = _KINDS[kind]
    return _show(kind, single, engine.find(_INVENTORY.get(kind, kind), id), parents)


@route("GET", "/networks/{}/vnicprofiles")
def list_profiles(engine: Engine, request: Request, id: str) -> Element:
    """List the vnic profiles of a network."""
    found = [one for one in engine.inventory.profiles.values() if one.parent == id]
    return many(
        "vnic_profiles", [show_named("vnic_profile", "/vnicprofiles", one, network="/networks") for one in found]
    )


@route("GET", "/clusters/{}/networks")
def list_cluster_networks(engine: Engine, request: Request, id: str) -> Element:
    """List the networks of a cluster."""
    return many("networks", [show_named("network", "/networks", one) for one in engine.inventory.networks.values()])


@route("POST", "/tags", permit="vm")
def add_tag(engine: Engine, request: Request) -> Reply:
    """Make a tag."""
    name = text_of(request.body, "name")
    if not name:
        raise Refusal(400, "Tag [name] required for add", "Incomplete parameters")
    if any(one.name == name for one in engine.inventory.tags.values()):
        raise Refusal(409, "[Cannot add Tag. The Tag name is already in use.]")
    made = Named(new_id(), name)
    engine.inventory.tags[made.id] = made
    return Reply(show_named("tag", "/tags", made), 201)


@route("GET", "/storagedomains")
def list_domains(engine: Engine, request: Request) -> Element:
    """List storage domains."""

    def fields(one: Domain) -> dict[str, Any]:
        return {"name": one.name, "id": one.id, "type": one.type, "status": one.status}

    found = search(engine.inventory.domains.values(), fields, request.query)
    return many("storage_domains", [show_domain(engine, one, used_bytes(engine, one.id)) for one in found])


@route("GET", "/storagedomains/{}")
def get_domain(engine: Engine, request: Request, id: str) -> Element:
    """Show one."""
    return show_domain(engine, engine.find("domains", id), used_bytes(engine, id))


@route("GET", "/datacenters/{}/storagedomains")
def list_attached_domains(engine: Engine, request: Request, id: str) -> Element:
    """List the storage domains of a data center."""
    found = engine.inventory.domains.values()
    return many("storage_domains", [show_domain(engine, one, used_bytes(engine, one.id)) for one in found])


@route("GET", "/datacenters/{}/quotas")
def list_quotas(engine: Engine, request: Request, id: str) -> Element:
    """List quotas."""
    limited = [one for one in engine.inventory.domains.values() if one.quota is not None]
    return many("quotas", [tag("quota", id=one.id, name=f"quota of {one.name}") for one in limited])


@route("GET", "/vms/{}/permissions")
def list_permissions(engine: Engine, request: Request, id: str) -> Element:
    """List who may do what with a VM."""
    vm = engine.vm(id)
    shown = []
    for user in engine.inventory.users.values():
        for permit in user.permits:
            role = tag("role", id=permit, name="SuperUser" if permit == "*" else permit)
            shown.append(tag("permission", id=f"{user.name}-{permit}", role=role, user=tag("user", id=user.name),
                             vm=ref("vm", "/vms", vm.id)))  # fmt: skip
    return many("permissions", shown)


@route("GET", "/users/{}/permissions")
def list_own_permissions(engine: Engine, request: Request, id: str) -> Element:
    """List a user's roles."""
    user = engine.inventory.users.get(id)
    shown = [
        tag("permission", id=f"{id}-{permit}", role=ref("role", "/roles", permit), user=tag("user", id=id))
        for permit in (user.permits if user else ())
    ]
    return many("permissions", shown)


@route("GET", "/roles/{}/permits")
def list_permits(engine: Engine, request: Request, id: str) -> Element:
    """List what a role lets one do; ours are `PERMITS`."""
    names = [name for names in PERMITS.values() for name in names] if id == "*" else PERMITS.get(id)
    if names is None:
        raise Refusal(404, f"Role {id} is not there", "Not Found")
    return many("permits", [tag("permit", id=name, name=name) for name in names])


def _show(kind: str, single: str, one: Named, parents: dict[str, str]) -> Element:
    made = show_named(single, f"/{kind}", one, **parents)
    if kind == "hosts":
        made.append(_text("address", "localhost"))
    if kind == "clusters":
        made.append(tag("version", major=4, minor=7))
    return made


def _text(name: str, text: str) -> Element:
    made = tag(name)
    made.text = text
    return made
