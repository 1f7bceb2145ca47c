"""Block volumes and boot volumes. Behind each lies a sparse file of its size."""

from __future__ import annotations

from typing import Any

from lab.oci.answers import (
    basics,
    check_etag,
    check_limit,
    create_once,
    demand_state,
    list_things,
    show,
    update_basics,
)
from lab.oci.model import Step, Thing
from lab.oci.router import CORE, Refusal, Reply, Request, conflict, invalid, not_found, route
from lab.oci.schema import check_body
from lab.oci.site import DOMAINS, GB, Site
from lab.oci.work import note_work

MIN_GB, MAX_GB, DEFAULT_GB = 50, 32768, 1024
DEFAULT_VPUS = 10


@route("POST", f"{CORE}/volumes", "volumes.manage")
def create_volume(site: Site, request: Request) -> Reply:
    """Create an empty one, or a copy of another."""
    check_body("CreateVolumeDetails", request.body)
    volume = create_once(site, request, lambda: _create(site, request, "volume"))
    return show(volume, **note_work(site, volume, "CreateVolume"))


@route("GET", f"{CORE}/volumes", "volumes.read")
def list_volumes(site: Site, request: Request) -> Reply:
    """List those of a compartment."""
    return list_things(site, request, site.inventory.all("volume"))


@route("GET", f"{CORE}/volumes/{{}}", "volumes.read")
def get_volume(site: Site, request: Request, id: str) -> Reply:
    """Show one."""
    return show(site.find("volume", id))


@route("PUT", f"{CORE}/volumes/{{}}", "volumes.manage")
def update_volume(site: Site, request: Request, id: str) -> Reply:
    """Change its name, tags, size or speed."""
    check_body("UpdateVolumeDetails", request.body)
    return _update(site, request, site.find("volume", id))


@route("DELETE", f"{CORE}/volumes/{{}}", "volumes.manage")
def delete_volume(site: Site, request: Request, id: str) -> Reply:
    """Delete one that is attached nowhere."""
    return _delete(site, request, site.find("volume", id))


@route("POST", f"{CORE}/bootVolumes", "volumes.manage")
def create_boot_volume(site: Site, request: Request) -> Reply:
    """Create a boot volume as a copy of another, or of its backup's place here: an image's."""
    check_body("CreateBootVolumeDetails", request.body)
    return show(create_once(site, request, lambda: _create(site, request, "bootvolume")))


@route("GET", f"{CORE}/bootVolumes", "volumes.read")
def list_boot_volumes(site: Site, request: Request) -> Reply:
    """List those of a compartment."""
    return list_things(site, request, site.inventory.all("bootvolume"))


@route("GET", f"{CORE}/bootVolumes/{{}}", "volumes.read")
def get_boot_volume(site: Site, request: Request, id: str) -> Reply:
    """Show one."""
    return show(site.find("bootvolume", id))


@route("PUT", f"{CORE}/bootVolumes/{{}}", "volumes.manage")
def update_boot_volume(site: Site, request: Request, id: str) -> Reply:
    """Change its name, tags, size or speed."""
    check_body("UpdateBootVolumeDetails", request.body)
    return _update(site, request, site.find("bootvolume", id))


@route("DELETE", f"{CORE}/bootVolumes/{{}}", "volumes.manage")
def delete_boot_volume(site: Site, request: Request, id: str) -> Reply:
    """Delete one that no instance boots from."""
    return _delete(site, request, site.find("bootvolume", id))


@route("GET", f"{CORE}/bootVolumeAttachments", "instances.read")
def list_boot_volume_attachments(site: Site, request: Request) -> Reply:
    """List which instance boots from what."""
    request.need("availabilityDomain")
    request.need("compartmentId")
    return list_things(site, request, site.inventory.all("bootvolumeattachment"))


@route("GET", f"{CORE}/bootVolumeAttachments/{{}}", "instances.read")
def get_boot_volume_attachment(site: Site, request: Request, id: str) -> Reply:
    """Show one."""
    return show(site.find("bootvolumeattachment", id))


@route("DELETE", f"{CORE}/bootVolumeAttachments/{{}}", "volumes.attach")
def detach_boot_volume(site: Site, request: Request, id: str) -> Reply:
    """Take its boot volume from an instance that is stopped; there is no way back here but a new instance."""
    attachment = site.find("bootvolumeattachment", id)
    demand_state(attachment, "ATTACHED")
    demand_state(site.find("instance", attachment.wire["instanceId"]), "STOPPED")
    attachment.enter("DETACHING")
    attachment.follow(Step("DETACHED", site.delay("attachment.detaching")))
    return Reply(status=204)


def attachment_of(site: Site, volume: Thing) -> Thing | None:
    """Find where a volume is attached, or is about to be or to leave."""
    for kind, name in (("volumeattachment", "volumeId"), ("bootvolumeattachment", "bootVolumeId")):
        for one in site.inventory.all(kind):
            if one.wire[name] == volume.id and not one.gone:
                return one
    return None


def _create(site: Site, request: Request, kind: str) -> Thing:
    body = request.body
    source = _source(site, body)
    domain = body.get("availabilityDomain") or (source.wire["availabilityDomain"] if source else None)
    if domain not in DOMAINS:
        raise invalid("Invalid availabilityDomain.")
    size = _size(body, int(source.wire["sizeInGBs"]) if source else DEFAULT_GB)
    if source and (size < source.wire["sizeInGBs"] or source.wire["availabilityDomain"] != domain):
        raise invalid("a copy must be as large as its source, and in its availability domain")
    check_limit(site, kind)
    volume = site.add(kind, {
        **basics(site, request, kind), "availabilityDomain": domain, "lifecycleState": "PROVISIONING",
        "sizeInGBs": size, "sizeInMBs": size * 1024, "vpusPerGB": _speed(body, DEFAULT_VPUS), "isHydrated": True,
        "isAutoTuneEnabled": bool(body.get("isAutoTuneEnabled")), "sourceDetails": body.get("sourceDetails"),
        "kmsKeyId": body.get("kmsKeyId"), "volumeGroupId": None,
    }, bytes=size * GB, source=source.id if source else None)  # fmt: skip
    if body.get("backupPolicyId"):
        from lab.oci.api.policies import assign_policy

        assign_policy(site, volume, body["backupPolicyId"])
    volume.follow(Step("AVAILABLE", site.delay("volume.provisioning")))
    return volume


def _source(site: Site, body: dict[str, Any]) -> Thing | None:
    source = body.get("sourceDetails")
    if not source:
        return None
    if source["type"] not in ("volume", "bootVolume"):
        raise Refusal(501, "MethodNotImplemented", f"[simulator: volumes from a {source['type']} are not there]")
    return site.find("volume" if source["type"] == "volume" else "bootvolume", source["id"])


def _size(body: dict[str, Any], usual: int) -> int:
    megabytes = body.get("sizeInMBs")
    if megabytes is not None and megabytes % 1024:
        raise invalid("sizeInMBs must be a multiple of 1024")
    size = body.get("sizeInGBs") or (megabytes // 1024 if megabytes is not None else usual)
    if not MIN_GB <= size <= MAX_GB:
        raise invalid(f"sizeInGBs must be between {MIN_GB} and {MAX_GB}, {size} given")
    return int(size)


def _speed(body: dict[str, Any], usual: int) -> int:
    speed = body.get("vpusPerGB")
    if speed is None:
        return usual
    if not 0 <= speed <= 120 or speed % 10:
        raise invalid("vpusPerGB must be a multiple of 10 between 0 and 120")
    return int(speed)


def _update(site: Site, request: Request, volume: Thing) -> Reply:
    body = request.body
    check_etag(request, volume.etag)
    demand_state(volume, "AVAILABLE")
    size = _size(body, volume.wire["sizeInGBs"])
    if size < volume.wire["sizeInGBs"]:
        raise invalid("a volume's size can only grow")
    if size > volume.wire["sizeInGBs"] and attachment_of(site, volume):
        raise Refusal(501, "MethodNotImplemented", "[simulator: an attached volume does not grow]")
    speed = _speed(body, volume.wire["vpusPerGB"])
    volume.wire.update(sizeInGBs=size, sizeInMBs=size * 1024, vpusPerGB=speed)
    if size * GB > volume.hidden["bytes"] and (path := site.volume_path(volume)).exists():
        with path.open("r+b") as file:
            file.truncate(size * GB)
    volume.hidden["bytes"] = size * GB
    update_basics(volume, body)
    return show(volume)


def _delete(site: Site, request: Request, volume: Thing) -> Reply:
    check_etag(request, volume.etag)
    if volume.gone or volume.state == "TERMINATING":
        raise not_found()
    attachment = attachment_of(site, volume)
    if attachment is not None:
        raise conflict(f"Volume {volume.id} may not be deleted while attached to an Instance.")
    demand_state(volume, "AVAILABLE", "FAULTY", "PROVISIONING")
    volume.enter("TERMINATING")
    volume.follow(Step("TERMINATED", site.delay("volume.terminating")))
    return Reply(status=204)
