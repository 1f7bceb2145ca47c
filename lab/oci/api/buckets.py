"""The namespace and its buckets."""

from __future__ import annotations

import re
from typing import Any

from lab.oci.answers import check_etag, make_page
from lab.oci.model import new_etag, new_id, timestamp
from lab.oci.router import Refusal, Reply, Request, invalid, route
from lab.oci.schema import check_body
from lab.oci.site import Site

BUCKET = "/n/{}/b/{}"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,256}")


@route("GET", "/n", "objects.read")
def get_namespace(site: Site, request: Request) -> Reply:
    """Tell the tenancy's namespace."""
    return Reply(site.place.namespace)


@route("POST", "/n/{}/b", "buckets.manage")
def create_bucket(site: Site, request: Request, namespace: str) -> Reply:
    """Make one."""
    _check_namespace(site, namespace)
    check_body("CreateBucketDetails", request.body)
    return _show(add_bucket(site, request.body, request))


@route("GET", "/n/{}/b", "buckets.read")
def list_buckets(site: Site, request: Request, namespace: str) -> Reply:
    """List those of a compartment."""
    _check_namespace(site, namespace)
    compartment = request.need("compartmentId")
    site.check_compartment(compartment)
    shown = ("namespace", "name", "compartmentId", "createdBy", "timeCreated", "etag")
    found = [one for _, one in sorted(site.inventory.buckets.items()) if one["compartmentId"] == compartment]
    return make_page(site, request, [{key: one[key] for key in shown} for one in found], lambda row: str(row["name"]))


@route("GET", BUCKET, "buckets.read")
@route("HEAD", BUCKET, "buckets.read")
def get_bucket(site: Site, request: Request, namespace: str, name: str) -> Reply:
    """Show one."""
    return _show(find_bucket(site, namespace, name))


@route("POST", BUCKET, "buckets.manage")
def update_bucket(site: Site, request: Request, namespace: str, name: str) -> Reply:
    """Change its events, tags and so on."""
    check_body("UpdateBucketDetails", request.body)
    bucket = find_bucket(site, namespace, name)
    check_etag(request, bucket["etag"])
    for key in ("objectEventsEnabled", "freeformTags", "definedTags", "metadata", "publicAccessType", "versioning"):
        if request.body.get(key) is not None:
            bucket[key] = request.body[key]
    bucket["etag"] = new_etag()
    return _show(bucket)


@route("DELETE", BUCKET, "buckets.manage")
def delete_bucket(site: Site, request: Request, namespace: str, name: str) -> Reply:
    """Delete one that is empty."""
    bucket = find_bucket(site, namespace, name)
    check_etag(request, bucket["etag"])
    open_uploads = [one for one in site.inventory.uploads.values() if one["bucket"] == name]
    if site.inventory.objects[name] or open_uploads:
        raise Refusal(
            409, "BucketNotEmpty", f"Bucket named '{name}' is not empty. Delete all objects and uploads first."
        )
    del site.inventory.buckets[name], site.inventory.objects[name]
    return Reply(status=204)


def add_bucket(site: Site, body: dict[str, Any], request: Request | None = None) -> dict[str, Any]:
    """Make a bucket."""
    name = body["name"]
    site.check_compartment(body["compartmentId"])
    if not _NAME.fullmatch(name):
        raise Refusal(400, "InvalidBucketName", f"The bucket name {name!r} is not valid")
    if name in site.inventory.buckets:
        raise Refusal(409, "BucketAlreadyExists", f"Either the bucket '{name}' already exists or you may not create it")
    if body.get("versioning") == "Enabled":
        raise invalid("[simulator: no versions of objects]")
    principal = request.principal.id if request and request.principal else "lab"
    bucket = {
        "namespace": site.place.namespace, "name": name, "compartmentId": body["compartmentId"], "createdBy": principal,
        "timeCreated": timestamp(), "etag": new_etag(), "publicAccessType": "NoPublicAccess", "storageTier": "Standard",
        "objectEventsEnabled": bool(body.get("objectEventsEnabled")), "freeformTags": body.get("freeformTags") or {},
        "definedTags": body.get("definedTags") or {}, "metadata": body.get("metadata") or {}, "versioning": "Disabled",
        "id": new_id("bucket"), "isReadOnly": False, "replicationEnabled": False, "autoTiering": "Disabled",
    }  # fmt: skip
    site.inventory.buckets[name] = bucket
    site.inventory.objects[name] = {}
    return bucket


def find_bucket(site: Site, namespace: str, name: str) -> dict[str, Any]:
    """Return a bucket; refuses when there is none."""
    _check_namespace(site, namespace)
    found = site.inventory.buckets.get(name)
    if found is None:
        words = (
            f"Either the bucket named '{name}' does not exist in the namespace '{namespace}' or you may not access it"
        )
        raise Refusal(404, "BucketNotFound", words)
    return found


def _check_namespace(site: Site, namespace: str) -> None:
    if namespace != site.place.namespace:
        raise Refusal(404, "NamespaceNotFound", f"You do not have authorization to perform this request: {namespace}")


def _show(bucket: dict[str, Any]) -> Reply:
    return Reply(bucket, headers={"etag": bucket["etag"]})
