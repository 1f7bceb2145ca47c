"""Volume attachments: a volume really appears in its instance at the path that was asked for, and really vanishes."""

from __future__ import annotations

import secrets
from typing import Any

from lab.oci.answers import check_etag, create_once, demand_state, list_things, show
from lab.oci.api.blocks import attachment_of
from lab.oci.api.compute import DEVICES, is_free
from lab.oci.model import Step, Thing, timestamp
from lab.oci.router import CORE, Refusal, Reply, Request, conflict, incorrect_state, invalid, route
from lab.oci.schema import check_body
from lab.oci.site import Site
from lab.oci.work import note_work

KINDS = ("paravirtualized", "iscsi")
MAX_VOLUMES = 32


@route("POST", f"{CORE}/volumeAttachments", "volumes.attach")
def attach_volume(site: Site, request: Request) -> Reply:
    """Attach a volume."""
    check_body("AttachVolumeDetails", request.body)
    attachment = create_once(site, request, lambda: _attach(site, request))
    return show(attachment, **note_work(site, attachment, "AttachVolume"))


@route("GET", f"{CORE}/volumeAttachments", "volumes.read")
def list_volume_attachments(site: Site, request: Request) -> Reply:
    """List those of a compartment, an instance or a volume."""
    request.need("compartmentId")
    return list_things(site, request, site.inventory.all("volumeattachment"))


@route("GET", f"{CORE}/volumeAttachments/{{}}", "volumes.read")
def get_volume_attachment(site: Site, request: Request, id: str) -> Reply:
    """Show one."""
    return show(site.find("volumeattachment", id))


@route("DELETE", f"{CORE}/volumeAttachments/{{}}", "volumes.attach")
def detach_volume(site: Site, request: Request, id: str) -> Reply:
    """Detach a volume; what still has it open gets errors."""
    attachment = site.find("volumeattachment", id)
    check_etag(request, attachment.etag)
    if attachment.gone or attachment.state == "DETACHING":
        raise incorrect_state(f"volumeattachment {id} is {attachment.state}")
    detach(site, attachment)
    return Reply(status=204, headers=note_work(site, attachment, "DetachVolume"))


def detach(site: Site, attachment: Thing) -> None:
    """Begin an attachment's end."""
    attachment.enter("DETACHING")
    attachment.follow(Step("DETACHED", site.delay("attachment.detaching")))


def _attach(site: Site, request: Request) -> Thing:
    body = request.body
    if body["type"] not in KINDS:
        raise Refusal(501, "MethodNotImplemented", f"[simulator: no {body['type']} attachments]")
    instance, volume = site.find("instance", body["instanceId"]), _find_volume(site, body["volumeId"])
    if instance.wire["availabilityDomain"] != volume.wire["availabilityDomain"]:
        raise invalid(f"Volume {volume.id} and instance {instance.id} must be in the same availability domain")
    demand_state(instance, "RUNNING", "STOPPED")
    demand_state(volume, "AVAILABLE")
    other = attachment_of(site, volume)
    if other is not None:
        raise conflict(f"Volume {volume.id} currently attached")
    _check_device(site, instance, body.get("device"))
    attachment = site.add("volumeattachment", {
        "attachmentType": body["type"], "availabilityDomain": instance.wire["availabilityDomain"],
        "compartmentId": instance.wire["compartmentId"], "device": body.get("device"), "instanceId": instance.id,
        "displayName": body.get("displayName") or f"volumeattachment{timestamp()[:19]}", "volumeId": volume.id,
        "isReadOnly": bool(body.get("isReadOnly")), "isShareable": bool(body.get("isShareable")),
        "lifecycleState": "ATTACHING", "timeCreated": timestamp(), **_kind_details(site, body),
    })  # fmt: skip
    attachment.follow(Step("ATTACHED", site.delay("attachment.attaching")))
    return attachment


def _find_volume(site: Site, id: str) -> Thing:
    """Find a volume; a boot volume that no instance boots from can be attached like one, too."""
    return site.find("bootvolume" if ".bootvolume." in id else "volume", id)


def _check_device(site: Site, instance: Thing, device: str | None) -> None:
    if device is not None and device not in DEVICES:
        words = f"The volume cannot be attached to the instance {instance.id} because the specified device attribute"
        raise invalid(f"{words} {device} is invalid.")
    if device is not None and not is_free(site, instance, device):
        raise conflict(f"Device {device} of instance {instance.id} is already in use")
    attached = sum(one.wire["instanceId"] == instance.id and not one.gone
                   for one in site.inventory.all("volumeattachment"))  # fmt: skip
    if attached >= MAX_VOLUMES:
        raise Refusal(400, "LimitExceeded", f"Instance {instance.id} has {attached} volumes attached")


def _kind_details(site: Site, body: dict[str, Any]) -> dict[str, Any]:
    if body["type"] == "paravirtualized":
        return {"isPvEncryptionInTransitEnabled": bool(body.get("isPvEncryptionInTransitEnabled"))}
    automatic = bool(body.get("isAgentAutoIscsiLoginEnabled"))
    chap = {"chapUsername": body["volumeId"], "chapSecret": secrets.token_hex(8)} if body.get("useChap") else {}
    return {
        "ipv4": "169.254.2.2", "port": 3260, "iqn": f"iqn.2015-12.com.oracleiaas:{secrets.token_hex(18)}", **chap,
        "isAgentAutoIscsiLoginEnabled": automatic, "iscsiLoginState": "LOGGING_IN" if automatic else None,
    }  # fmt: skip
