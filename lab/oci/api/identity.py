"""Availability domains, fault domains, compartments, the tenancy, regions."""

from __future__ import annotations

from typing import Any

from lab.oci.answers import make_page
from lab.oci.model import REALM, REGION, REGION_KEY
from lab.oci.router import CORE, Reply, Request, not_found, route
from lab.oci.site import DOMAINS, FAULT_DOMAINS, Site


@route("GET", f"{CORE}/availabilityDomains", "identity.read")
def list_availability_domains(site: Site, request: Request) -> Reply:
    """List them, by name."""
    compartment = request.need("compartmentId")
    site.check_compartment(compartment)
    rows = [{"id": f"ocid1.availabilitydomain.{REALM}..{name[-1]}", "name": name, "compartmentId": compartment}
            for name in DOMAINS]  # fmt: skip
    return Reply(rows)


@route("GET", f"{CORE}/faultDomains", "identity.read")
def list_fault_domains(site: Site, request: Request) -> Reply:
    """List those of an availability domain."""
    compartment, domain = request.need("compartmentId"), request.need("availabilityDomain")
    site.check_compartment(compartment)
    if domain not in DOMAINS:
        raise not_found("availability domain")
    rows = [{"id": f"ocid1.faultdomain.{REALM}..{domain[-1]}{name[-1]}", "name": name, "compartmentId": compartment,
             "availabilityDomain": domain} for name in FAULT_DOMAINS]  # fmt: skip
    return Reply(rows)


@route("GET", f"{CORE}/compartments", "identity.read")
def list_compartments(site: Site, request: Request) -> Reply:
    """List those of the tenancy."""
    parent = request.need("compartmentId")
    site.check_compartment(parent)
    rows = [_compartment(site, name) for name in site.place.compartments] if parent == site.place.tenancy else []
    rows = [one for one in rows if request.query.get("name") in (None, one["name"])]
    return make_page(site, request, rows, lambda row: str(row["id"]))


@route("GET", f"{CORE}/compartments/{{}}", "identity.read")
def get_compartment(site: Site, request: Request, id: str) -> dict[str, Any]:
    """Show one."""
    for name, known in site.place.compartments.items():
        if known == id:
            return _compartment(site, name)
    if id == site.place.tenancy:
        return {
            **_compartment(site, next(iter(site.place.compartments))),
            "id": id,
            "name": "lab",
            "compartmentId": None,
        }
    raise not_found()


@route("GET", f"{CORE}/tenancies/{{}}", "identity.read")
def get_tenancy(site: Site, request: Request, id: str) -> dict[str, Any]:
    """Show the tenancy."""
    if id != site.place.tenancy:
        raise not_found()
    return {"id": id, "name": "lab", "homeRegionKey": REGION_KEY.upper(), "freeformTags": {}, "definedTags": {}}


@route("GET", f"{CORE}/tenancies/{{}}/regionSubscriptions", "identity.read")
def list_region_subscriptions(site: Site, request: Request, id: str) -> list[dict[str, Any]]:
    """List the one region."""
    row = {"regionKey": REGION_KEY.upper(), "regionName": REGION, "status": "READY", "isHomeRegion": True}
    return [row] if id == site.place.tenancy else []


def _compartment(site: Site, name: str) -> dict[str, Any]:
    return {
        "id": site.place.compartments[name], "compartmentId": site.place.tenancy, "name": name,
        "description": "of the lab, which is a simulator", "lifecycleState": "ACTIVE", "isAccessible": True,
        "timeCreated": "2026-01-01T00:00:00.000Z", "freeformTags": {}, "definedTags": {},
    }  # fmt: skip
