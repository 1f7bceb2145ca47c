"""Pre-authenticated requests, as things to make, list and delete. links.py lets them in."""

from __future__ import annotations

import datetime
import secrets
import urllib.parse
from typing import Any

from lab.oci.answers import make_page
from lab.oci.api.buckets import BUCKET, find_bucket
from lab.oci.model import timestamp
from lab.oci.router import Reply, Request, invalid, not_found, route
from lab.oci.schema import check_body
from lab.oci.site import Site

ACCESS = ("ObjectRead", "ObjectWrite", "ObjectReadWrite", "AnyObjectWrite", "AnyObjectRead", "AnyObjectReadWrite")


@route("POST", BUCKET + "/p", "objects.link")
def create_link(site: Site, request: Request, namespace: str, bucket: str) -> Reply:
    """Make one. Its path is told now and never again."""
    check_body("CreatePreauthenticatedRequestDetails", request.body)
    find_bucket(site, namespace, bucket)
    body = request.body
    expires = _moment(body["timeExpires"])
    if body["accessType"] not in ACCESS:
        raise invalid(f"accessType must be one of {', '.join(ACCESS)}")
    if body["accessType"].startswith("Object") and not body.get("objectName"):
        raise invalid(f"objectName must not be null for {body['accessType']}")
    if expires < datetime.datetime.now(datetime.UTC).timestamp():
        raise invalid("timeExpires must be in the future")
    secret, id = secrets.token_urlsafe(48), secrets.token_urlsafe(24)
    site.inventory.links[secret] = {
        "id": id, "bucket": bucket, "name": body["name"], "access": body["accessType"],
        "object": body.get("objectName"), "listing": body.get("bucketListingAction") or "Deny", "expires": expires,
        "time": timestamp(),
    }  # fmt: skip
    path = f"/p/{secret}/n/{namespace}/b/{bucket}/o/{_quote(body.get('objectName') or '')}"
    link = site.inventory.links[secret]
    return Reply({**_show(link), "accessUri": path, "fullPath": f"https://127.0.0.1:{site.port}{path}"})


@route("GET", BUCKET + "/p", "objects.link")
def list_links(site: Site, request: Request, namespace: str, bucket: str) -> Reply:
    """List those of a bucket."""
    find_bucket(site, namespace, bucket)
    rows = [_show(one) for one in site.inventory.links.values() if one["bucket"] == bucket]
    prefix = request.query.get("objectNamePrefix", "")
    rows = [one for one in rows if (one["objectName"] or "").startswith(prefix)]
    return make_page(site, request, rows, lambda row: str(row["id"]))


@route("GET", BUCKET + "/p/{*}", "objects.link")
def get_link(site: Site, request: Request, namespace: str, bucket: str, id: str) -> dict[str, Any]:
    """Show one."""
    return _show(_find(site, bucket, id)[1])


@route("DELETE", BUCKET + "/p/{*}", "objects.link")
def delete_link(site: Site, request: Request, namespace: str, bucket: str, id: str) -> Reply:
    """Let it be of no use any more."""
    del site.inventory.links[_find(site, bucket, id)[0]]
    return Reply(status=204)


def _find(site: Site, bucket: str, id: str) -> tuple[str, dict[str, Any]]:
    for secret, link in site.inventory.links.items():
        if link["bucket"] == bucket and link["id"] == id:
            return secret, link
    raise not_found()


def _show(link: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": link["id"], "name": link["name"], "accessType": link["access"], "objectName": link["object"],
        "timeCreated": link["time"], "timeExpires": timestamp(link["expires"]), "bucketListingAction": link["listing"],
    }  # fmt: skip


def _moment(text: str) -> float:
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise invalid(f"timeExpires {text} is no moment") from None
    return moment.replace(tzinfo=moment.tzinfo or datetime.UTC).timestamp()


def _quote(name: str) -> str:
    return urllib.parse.quote(name, safe="")
