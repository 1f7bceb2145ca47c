"""Multipart uploads: parts in any order, again and again, and one commit that makes an object of them."""

from __future__ import annotations

import base64
import hashlib
import uuid
from typing import Any

from lab.oci.answers import make_page
from lab.oci.api.buckets import BUCKET, find_bucket
from lab.oci.api.objects import check_conditions
from lab.oci.contents import Content, check_name, discard, new_file, path_of, receive, store
from lab.oci.model import new_etag, timestamp
from lab.oci.router import Refusal, Reply, Request, invalid, route
from lab.oci.schema import check_body
from lab.oci.site import Site

UPLOAD = BUCKET + "/u/{*}"
MAX_PARTS = 10000
_HEADERS = {"contentType": "content-type", "contentEncoding": "content-encoding", "cacheControl": "cache-control",
            "contentLanguage": "content-language", "contentDisposition": "content-disposition"}  # fmt: skip


@route("POST", BUCKET + "/u", "objects.write")
def create_upload(site: Site, request: Request, namespace: str, bucket: str) -> Reply:
    """Begin one."""
    check_body("CreateMultipartUploadDetails", request.body)
    find_bucket(site, namespace, bucket)
    body = request.body
    check_name(body["object"])
    check_conditions(request, site.inventory.objects[bucket].get(body["object"]))
    headers = {wire: body[name] for name, wire in _HEADERS.items() if body.get(name)}
    meta = {f"opc-meta-{key.removeprefix('opc-meta-')}": value for key, value in (body.get("metadata") or {}).items()}
    id = str(uuid.uuid4())
    site.inventory.uploads[id] = {
        "id": id, "bucket": bucket, "object": body["object"], "time": timestamp(), "parts": {},
        "headers": {"content-type": "application/octet-stream", **headers, **meta},
    }  # fmt: skip
    return Reply(_show(site, site.inventory.uploads[id]))


@route("GET", BUCKET + "/u", "objects.read")
def list_uploads(site: Site, request: Request, namespace: str, bucket: str) -> Reply:
    """List those that are open."""
    find_bucket(site, namespace, bucket)
    found = [_show(site, one) for one in site.inventory.uploads.values() if one["bucket"] == bucket]
    return make_page(site, request, found, lambda row: str(row["uploadId"]))


@route("GET", UPLOAD, "objects.read")
def list_parts(site: Site, request: Request, namespace: str, bucket: str, name: str) -> Reply:
    """List the parts that are there."""
    parts = sorted(_find(site, request, bucket, name)["parts"].items(), key=lambda one: int(one[0]))
    keys = ("etag", "md5", "size")
    rows = [{"partNumber": int(number), **{key: part[key] for key in keys}} for number, part in parts]
    return make_page(site, request, rows, lambda row: str(row["partNumber"]))


@route("PUT", UPLOAD, "objects.write", streams=True, locked=False)
def put_part(site: Site, request: Request, namespace: str, bucket: str, name: str) -> Reply:
    """Store a part; the same number again replaces it."""
    number = request.need("uploadPartNum")
    with site.lock:
        find_bucket(site, namespace, bucket)
        _find(site, request, bucket, name)
    if not number.isdigit() or not 1 <= int(number) <= MAX_PARTS:
        raise invalid(f"uploadPartNum must be between 1 and {MAX_PARTS}")
    content = receive(site, request)
    with site.lock:
        parts = _find(site, request, bucket, name)["parts"]
        discard(site, parts.get(number))
        parts[number] = {"file": content.file, "size": content.size, "md5": content.md5, "etag": new_etag()}
        site.save()
        return Reply(headers={"etag": parts[number]["etag"], "opc-content-md5": content.md5})


@route("POST", UPLOAD, "objects.write", locked=False)
def commit_upload(site: Site, request: Request, namespace: str, bucket: str, name: str) -> Reply:
    """Make an object of the parts that the caller names, in their order."""
    check_body("CommitMultipartUploadDetails", request.body)
    with site.lock:
        upload = _find(site, request, bucket, name)
        check_conditions(request, site.inventory.objects[bucket].get(name))
        parts = _chosen(upload, request.body["partsToCommit"])
        content = _join(site, parts)
        made = store(site, bucket, name, content, upload["headers"])
        _forget(site, upload)
        site.save()
    return Reply(headers={"etag": made["etag"], "opc-multipart-md5": made["md5"]})


@route("DELETE", UPLOAD, "objects.write")
def abort_upload(site: Site, request: Request, namespace: str, bucket: str, name: str) -> Reply:
    """Give one up, with its parts."""
    _forget(site, _find(site, request, bucket, name))
    return Reply(status=204)


def _find(site: Site, request: Request, bucket: str, name: str) -> dict[str, Any]:
    found = site.inventory.uploads.get(request.need("uploadId"))
    if found is None or (found["bucket"], found["object"]) != (bucket, name):
        raise Refusal(404, "NoSuchUpload", f"No such upload: {request.query['uploadId']}")
    return found


def _chosen(upload: dict[str, Any], wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not wanted:
        raise invalid("partsToCommit must not be empty")
    chosen = []
    for one in sorted(wanted, key=lambda part: int(part["partNum"])):
        part = upload["parts"].get(str(one["partNum"]))
        if part is None or part["etag"] != one["etag"].strip('"'):
            raise Refusal(400, "InvalidUploadPart", f"Part {one['partNum']} is not there, or has another etag")
        chosen.append(part)
    return chosen


def _join(site: Site, parts: list[dict[str, Any]]) -> Content:
    path, digests = new_file(site), b""
    with path.open("wb") as out:
        for part in parts:
            with path_of(site, part).open("rb") as file:
                while chunk := file.read(1 << 20):
                    out.write(chunk)
            digests += base64.b64decode(part["md5"])
    md5 = f"{base64.b64encode(hashlib.md5(digests).digest()).decode()}-{len(parts)}"
    return Content(path.name, path.stat().st_size, md5)


def _forget(site: Site, upload: dict[str, Any]) -> None:
    for part in upload["parts"].values():
        discard(site, part)
    del site.inventory.uploads[upload["id"]]


def _show(site: Site, upload: dict[str, Any]) -> dict[str, Any]:
    return {
        "namespace": site.place.namespace, "bucket": upload["bucket"], "object": upload["object"],
        "uploadId": upload["id"], "timeCreated": upload["time"], "storageTier": "Standard",
    }  # fmt: skip
