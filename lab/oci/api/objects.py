"""Objects: put, get with ranges and conditions, head, list, rename, delete."""

from __future__ import annotations

import email.utils
import re
from typing import Any

from lab.oci.answers import limit_of
from lab.oci.api.buckets import BUCKET, find_bucket
from lab.oci.contents import check_name, discard, path_of, read_headers, receive, store
from lab.oci.router import Refusal, Reply, Request, invalid, route
from lab.oci.schema import check_body
from lab.oci.site import Site

OBJECT = BUCKET + "/o/{*}"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_FIELDS = ("name", "size", "etag", "md5", "timeCreated", "timeModified", "storageTier", "archivalState")


@route("PUT", OBJECT, "objects.write", streams=True, locked=False)
def put_object(site: Site, request: Request, namespace: str, bucket: str, name: str) -> Reply:
    """Store one."""
    with site.lock:
        find_bucket(site, namespace, bucket)
        check_name(name)
        headers = read_headers(request)
        check_conditions(request, site.inventory.objects[bucket].get(name))
    content = receive(site, request)
    with site.lock:
        find_bucket(site, namespace, bucket)
        check_conditions(request, site.inventory.objects[bucket].get(name))
        made = store(site, bucket, name, content, headers)
        site.save()
    return Reply(headers={"etag": made["etag"], "opc-content-md5": made["md5"], **_dates(made)})


@route("GET", OBJECT, "objects.read")
def get_object(site: Site, request: Request, namespace: str, bucket: str, name: str) -> Reply:
    """Send one or a range of it."""
    found = find_object(site, namespace, bucket, name)
    check_conditions(request, found)
    headers = _show(found)
    span = _range(request, found["size"])
    if span:
        headers["content-range"] = f"bytes {span[0]}-{span[1] - 1}/{found['size']}"
    start, end = span or (0, found["size"])
    return Reply(status=206 if span else 200, headers=headers, file=(path_of(site, found).open("rb"), start, end))


@route("HEAD", OBJECT, "objects.read")
def head_object(site: Site, request: Request, namespace: str, bucket: str, name: str) -> Reply:
    """Say what a GET would send."""
    found = find_object(site, namespace, bucket, name)
    check_conditions(request, found)
    return Reply(headers={**_show(found), "content-length": str(found["size"])})


@route("DELETE", OBJECT, "objects.write")
def delete_object(site: Site, request: Request, namespace: str, bucket: str, name: str) -> Reply:
    """Delete one."""
    found = find_object(site, namespace, bucket, name)
    check_conditions(request, found)
    del site.inventory.objects[bucket][name]
    discard(site, found)
    site.events.announce("deleteobject", bucket, name, found)
    return Reply(status=204)


@route("GET", BUCKET + "/o", "objects.read")
def list_objects(site: Site, request: Request, namespace: str, bucket: str) -> Reply:
    """List names in their order, a page at a time."""
    find_bucket(site, namespace, bucket)
    query = request.query
    fields = ["name", *(one for one in query.get("fields", "").split(",") if one and one != "name")]
    if unknown := [one for one in fields if one not in _FIELDS]:
        raise invalid(f"fields: {unknown[0]} is not one of {', '.join(_FIELDS)}")
    limit = min(limit_of(request), int(site.settings["page_size"]))
    names, prefixes, following = _select(site.inventory.objects[bucket], query, limit)
    rows = [{field: _field(name, site.inventory.objects[bucket][name], field) for field in fields} for name in names]
    answer: dict[str, Any] = {"objects": rows, "prefixes": prefixes}
    if following is not None:
        answer["nextStartWith"] = following
    return Reply(answer)


@route("POST", BUCKET + "/actions/renameObject", "objects.write")
def rename_object(site: Site, request: Request, namespace: str, bucket: str) -> Reply:
    """Give one another name."""
    check_body("RenameObjectDetails", request.body)
    body = request.body
    found = find_object(site, namespace, bucket, body["sourceName"])
    check_name(body["newName"])
    if body.get("srcObjIfMatchETag") not in (None, found["etag"]):
        raise Refusal(412, "IfMatchFailed", "The source's etag is another")
    objects = site.inventory.objects[bucket]
    discard(site, objects.get(body["newName"]))
    objects[body["newName"]] = objects.pop(body["sourceName"])
    return Reply(headers={"etag": found["etag"], **_dates(found)})


def find_object(site: Site, namespace: str, bucket: str, name: str) -> dict[str, Any]:
    """Return an object; refuses when there is none."""
    find_bucket(site, namespace, bucket)
    found = site.inventory.objects[bucket].get(name)
    if found is None:
        raise Refusal(404, "ObjectNotFound", f"The object '{name}' was not found in the bucket '{bucket}'")
    return found


def check_conditions(request: Request, found: dict[str, Any] | None) -> None:
    """Refuse when If-Match or If-None-Match do not hold."""
    wanted, unwanted = (request.headers.get(one, "").strip('"') for one in ("if-match", "if-none-match"))
    if wanted and (found is None or wanted not in ("*", found["etag"])):
        raise Refusal(412, "IfMatchFailed", f"The If-Match header '{wanted}' does not match the object's etag")
    if unwanted and found is not None and unwanted in ("*", found["etag"]):
        if request.method in ("GET", "HEAD"):
            raise Refusal(304, "NotModified", "")
        raise Refusal(412, "IfNoneMatchFailed", "The If-None-Match header names the object that is there")


def _show(found: dict[str, Any]) -> dict[str, str]:
    digest = "opc-multipart-md5" if "-" in found["md5"] else "content-md5"
    return {
        **found["headers"], "etag": found["etag"], digest: found["md5"], "accept-ranges": "bytes",
        "storage-tier": "Standard", **_dates(found),
    }  # fmt: skip


def _dates(found: dict[str, Any]) -> dict[str, str]:
    return {"last-modified": email.utils.formatdate(found["modified"], usegmt=True)}


def _range(request: Request, size: int) -> tuple[int, int] | None:
    text = request.headers.get("range")
    if not text:
        return None
    match = _RANGE.fullmatch(text.replace(" ", ""))
    if not match or match.group(0) == "bytes=-":
        raise Refusal(400, "InvalidRange", f"The range {text} is not valid")
    first, last = match.groups()
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last) + 1, size) if first and last else size
    if start >= end:
        raise Refusal(416, "InvalidRange", f"The range {text} is not satisfiable: the object has {size} bytes")
    return start, end


def _select(
    objects: dict[str, dict[str, Any]], query: dict[str, str], limit: int
) -> tuple[list[str], list[str], str | None]:
    """Choose the names of a page, the prefixes that stand for more, and where the next page starts."""
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    names: list[str] = []
    prefixes: list[str] = []
    for name in sorted(objects, key=str.encode):
        if not _is_asked_for(name, query):
            continue
        if len(names) + len(prefixes) == limit:
            return names, prefixes, name
        cut = name.find(delimiter, len(prefix)) if delimiter else -1
        if cut < 0:
            names.append(name)
        elif name[: cut + 1] not in prefixes:
            prefixes.append(name[: cut + 1])
    return names, prefixes, None


def _is_asked_for(name: str, query: dict[str, str]) -> bool:
    return (
        name.startswith(query.get("prefix", ""))
        and name >= query.get("start", "")
        and name > query.get("startAfter", "")
        and ("end" not in query or name < query["end"])
    )


def _field(name: str, found: dict[str, Any], field: str) -> Any:
    if field == "name":
        return name
    return "Standard" if field == "storageTier" else found.get(field)
