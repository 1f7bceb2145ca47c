"""One network with one subnet, and the network cards of instances."""

from __future__ import annotations

from typing import Any

from lab.oci.answers import list_things, show
from lab.oci.model import Thing
from lab.oci.router import CORE, Reply, Request, not_found, route
from lab.oci.site import Site

FIRST_HOST = 2


@route("GET", f"{CORE}/subnets", "network.read")
def list_subnets(site: Site, request: Request) -> Reply:
    """List the one subnet."""
    site.check_compartment(request.need("compartmentId"))
    rows = [_subnet(site)]
    return Reply([one for one in rows if one["compartmentId"] == request.query["compartmentId"]])


@route("GET", f"{CORE}/subnets/{{}}", "network.read")
def get_subnet(site: Site, request: Request, id: str) -> dict[str, Any]:
    """Show it."""
    if id != site.place.subnet:
        raise not_found()
    return _subnet(site)


@route("GET", f"{CORE}/vcns/{{}}", "network.read")
def get_vcn(site: Site, request: Request, id: str) -> dict[str, Any]:
    """Show the network."""
    if id != site.place.vcn:
        raise not_found()
    subnet = _subnet(site)
    keys = ("compartmentId", "cidrBlock", "lifecycleState", "timeCreated", "freeformTags", "definedTags")
    return {**{key: subnet[key] for key in keys}, "id": id, "displayName": "lab", "cidrBlocks": [subnet["cidrBlock"]]}


@route("GET", f"{CORE}/vnicAttachments", "instances.read")
def list_vnic_attachments(site: Site, request: Request) -> Reply:
    """List the network cards of instances."""
    request.need("compartmentId")
    return list_things(site, request, site.inventory.all("vnicattachment"))


@route("GET", f"{CORE}/vnicAttachments/{{}}", "instances.read")
def get_vnic_attachment(site: Site, request: Request, id: str) -> Reply:
    """Show one."""
    return show(site.find("vnicattachment", id))


@route("GET", f"{CORE}/vnics/{{}}", "network.read")
def get_vnic(site: Site, request: Request, id: str) -> Reply:
    """Show a network card with its addresses."""
    return show(site.find("vnic", id))


def add_vnic(site: Site, instance: Thing, subnet: str) -> None:
    """Give an instance its network card, and an address that no other instance has."""
    common = {
        "availabilityDomain": instance.wire["availabilityDomain"], "compartmentId": instance.wire["compartmentId"],
        "subnetId": subnet, "timeCreated": instance.wire["timeCreated"],
    }  # fmt: skip
    vnic = site.add("vnic", {
        **common, "displayName": instance.wire["displayName"], "lifecycleState": "AVAILABLE", "isPrimary": True,
        "privateIp": _free_address(site), "publicIp": None, "macAddress": "00:00:17:00:00:01", "nsgIds": [],
        "hostnameLabel": None, "skipSourceDestCheck": False, "freeformTags": {}, "definedTags": {},
    }, instance=instance.id)  # fmt: skip
    attached = {
        **common, "displayName": None, "lifecycleState": "ATTACHING", "instanceId": instance.id, "vnicId": vnic.id,
        "nicIndex": 0, "vlanTag": 1,
    }  # fmt: skip
    site.add("vnicattachment", attached)


def vnic_of(site: Site, instance: str) -> Thing | None:
    """Find an instance's network card."""
    return next((one for one in site.inventory.all("vnic") if one.hidden["instance"] == instance), None)


def set_vnic_state(site: Site, instance: str, attachment: str, vnic: str) -> None:
    """Let an instance's card follow its life."""
    for kind, state in (("vnicattachment", attachment), ("vnic", vnic)):
        for one in site.inventory.all(kind):
            if instance in (one.wire.get("instanceId"), one.hidden.get("instance")):
                one.enter(state)


def _free_address(site: Site) -> str:
    taken = {one.wire["privateIp"] for one in site.inventory.all("vnic") if one.state != "TERMINATED"}
    used = sum(1 for _ in site.inventory.all("vnic"))
    numbers = [FIRST_HOST + (used + at) % 250 for at in range(250)]
    return next(found for number in numbers if (found := f"{site.place.network}.{number}") not in taken)


def _subnet(site: Site) -> dict[str, Any]:
    return {
        "id": site.place.subnet, "vcnId": site.place.vcn, "displayName": "lab", "lifecycleState": "AVAILABLE",
        "compartmentId": next(iter(site.place.compartments.values())), "availabilityDomain": None,
        "cidrBlock": f"{site.place.network}.0/24", "virtualRouterIp": f"{site.place.network}.1",
        "virtualRouterMac": "00:00:17:00:00:00", "routeTableId": "ocid1.routetable.oc1.iad.aaaalab",
        "prohibitPublicIpOnVnic": True, "timeCreated": "2026-01-01T00:00:00.000Z",
        "freeformTags": {}, "definedTags": {},
    }  # fmt: skip
