"""Backup policies, and which volume has which."""

from __future__ import annotations

from typing import Any

from lab.oci.answers import show
from lab.oci.model import Thing, timestamp
from lab.oci.router import CORE, Refusal, Reply, Request, not_found, route
from lab.oci.schema import check_body
from lab.oci.site import Site

POLICIES = {name: f"ocid1.volumebackuppolicy.oc1..aaaa{name}" for name in ("gold", "silver", "bronze")}
"""Those that Oracle defines; `site.settings["backup_policies"]` may name more (name → OCID)."""


@route("GET", f"{CORE}/volumeBackupPolicies", "volumes.read")
def list_backup_policies(site: Site, request: Request) -> Reply:
    """List those that Oracle defines, or those of a compartment."""
    own = site.settings.get("backup_policies", {}) if request.query.get("compartmentId") else POLICIES
    return Reply([_policy(site, name, id) for name, id in own.items()])


@route("GET", f"{CORE}/volumeBackupPolicies/{{}}", "volumes.read")
def get_backup_policy(site: Site, request: Request, id: str) -> dict[str, Any]:
    """Show one."""
    return _policy(site, _name(site, id), id)


@route("POST", f"{CORE}/volumeBackupPolicyAssignments", "volumes.manage")
def create_assignment(site: Site, request: Request) -> Reply:
    """Give a volume its policy; it can have but one."""
    check_body("CreateVolumeBackupPolicyAssignmentDetails", request.body)
    asset = request.body["assetId"]
    volume = site.find("bootvolume" if ".bootvolume." in asset else "volume", asset)
    if volume.gone:
        raise not_found()
    if _assignment(site, volume.id) is not None:
        raise Refusal(409, "Conflict", f"{asset} has a backup policy already")
    return show(assign_policy(site, volume, request.body["policyId"]))


@route("GET", f"{CORE}/volumeBackupPolicyAssignments", "volumes.read")
def find_assignment(site: Site, request: Request) -> Reply:
    """Tell which policy a volume has."""
    found = _assignment(site, request.need("assetId"))
    return Reply([found.wire] if found else [])


@route("GET", f"{CORE}/volumeBackupPolicyAssignments/{{}}", "volumes.read")
def get_assignment(site: Site, request: Request, id: str) -> Reply:
    """Show one."""
    return show(site.find("volumebackuppolicyassignment", id))


@route("DELETE", f"{CORE}/volumeBackupPolicyAssignments/{{}}", "volumes.manage")
def delete_assignment(site: Site, request: Request, id: str) -> Reply:
    """Take a policy from a volume."""
    del site.inventory.things[site.find("volumebackuppolicyassignment", id).id]
    return Reply(status=204)


def assign_policy(site: Site, volume: Thing, policy: str) -> Thing:
    """Give a volume a policy."""
    _name(site, policy)
    wire = {"assetId": volume.id, "policyId": policy, "timeCreated": timestamp()}
    return site.add("volumebackuppolicyassignment", wire)


def forget_assignments(site: Site, volume: Thing) -> None:
    """A volume that is gone has no policy."""
    found = _assignment(site, volume.id)
    if found is not None:
        del site.inventory.things[found.id]


def _assignment(site: Site, asset: str) -> Thing | None:
    found = site.inventory.all("volumebackuppolicyassignment")
    return next((one for one in found if one.wire["assetId"] == asset), None)


def _name(site: Site, id: str) -> str:
    known = {**POLICIES, **site.settings.get("backup_policies", {})}
    for name, one in known.items():
        if one == id:
            return str(name)
    raise not_found("backup policy")


def _policy(site: Site, name: str, id: str) -> dict[str, Any]:
    return {
        "id": id, "displayName": name, "compartmentId": None, "schedules": [], "destinationRegion": None,
        "timeCreated": "2026-01-01T00:00:00.000Z", "freeformTags": {}, "definedTags": {},
    }  # fmt: skip
