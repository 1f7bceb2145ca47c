"""Images: the platform's own, and those imported from an object."""

from __future__ import annotations

from typing import Any

from lab.oci.answers import (
    basics,
    check_etag,
    create_once,
    demand_state,
    list_things,
    show,
    update_basics,
)
from lab.oci.model import Step, Thing
from lab.oci.router import CORE, Refusal, Reply, Request, invalid, not_found, route
from lab.oci.schema import check_body
from lab.oci.site import Site
from lab.oci.work import note_work


@route("GET", f"{CORE}/images", "instances.read")
def list_images(site: Site, request: Request) -> Reply:
    """List the platform's images and a compartment's own."""
    compartment = request.need("compartmentId")
    site.check_compartment(compartment)
    shown = [one for one in site.inventory.all("image") if one.wire["compartmentId"] in (None, compartment)]
    del request.query["compartmentId"]
    return list_things(site, request, shown, "operatingSystem", "operatingSystemVersion")


@route("GET", f"{CORE}/images/{{}}", "instances.read")
def get_image(site: Site, request: Request, id: str) -> Reply:
    """Show one."""
    return show(site.find("image", id))


@route("POST", f"{CORE}/images", "images.manage")
def create_image(site: Site, request: Request) -> Reply:
    """Import one from an object."""
    check_body("CreateImageDetails", request.body)
    image = create_once(site, request, lambda: _import(site, request))
    return show(image, **note_work(site, image, "CreateImage"))


@route("PUT", f"{CORE}/images/{{}}", "images.manage")
def update_image(site: Site, request: Request, id: str) -> Reply:
    """Change its name or tags."""
    check_body("UpdateImageDetails", request.body)
    image = site.find("image", id)
    check_etag(request, image.etag)
    update_basics(image, request.body, "operatingSystem", "operatingSystemVersion")
    return show(image)


@route("DELETE", f"{CORE}/images/{{}}", "images.manage")
def delete_image(site: Site, request: Request, id: str) -> Reply:
    """Delete one of the tenancy's own."""
    image = site.find("image", id)
    check_etag(request, image.etag)
    if image.gone or image.wire["compartmentId"] is None:
        raise not_found()
    demand_state(image, "AVAILABLE", "DISABLED", "IMPORTING", "PROVISIONING")
    image.follow(Step("DELETED", 0.0))
    return Reply(status=204)


def add_platform_image(site: Site) -> Thing:
    """Make the image that workers start from."""
    return site.add("image", {
        "compartmentId": None, "displayName": "Oracle-Linux-9.6-lab", "lifecycleState": "AVAILABLE",
        "operatingSystem": "Oracle Linux", "operatingSystemVersion": "9", "createImageAllowed": True,
        "launchMode": "NATIVE", "sizeInMBs": 47694, "timeCreated": "2026-01-01T00:00:00.000Z", "freeformTags": {},
        "definedTags": {},
    })  # fmt: skip


def _import(site: Site, request: Request) -> Thing:
    body = request.body
    source: dict[str, Any] = body.get("imageSourceDetails") or {}
    if source.get("sourceType") != "objectStorageTuple":
        raise Refusal(501, "MethodNotImplemented", "[simulator: images come from an objectStorageTuple only]")
    if source.get("sourceImageType") not in (None, "QCOW2", "VMDK"):
        raise invalid("sourceImageType must be QCOW2 or VMDK")
    objects = site.inventory.objects.get(source["bucketName"], {})
    found = objects.get(source["objectName"])
    if source["namespaceName"] != site.place.namespace or found is None:
        raise not_found("object")
    image = site.add("image", {
        **basics(site, request, "image"), "lifecycleState": "IMPORTING", "createImageAllowed": True,
        "operatingSystem": source.get("operatingSystem") or "Custom", "launchMode": body.get("launchMode") or "NATIVE",
        "operatingSystemVersion": source.get("operatingSystemVersion") or "Custom", "sizeInMBs": 47694,
    }, object=dict(found), bucket=source["bucketName"])  # fmt: skip
    image.follow(Step("AVAILABLE", site.delay("image.importing")))
    return image
