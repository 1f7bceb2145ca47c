"""Pre-authenticated requests: paths that open an object without a signature."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from lab.oci.router import Request, not_found
from lab.oci.signature import Principal

if TYPE_CHECKING:
    from lab.oci.site import Site

_LINK = re.compile(r"/p/([^/]+)(/n/[^/]+/b/([^/]+)/[ou](?:/(.*))?)$", re.DOTALL)
_OBJECT = re.compile(r"/n/[^/]+/b/([^/]+)/o/(.+)", re.DOTALL)
READS = ("ObjectRead", "ObjectReadWrite", "AnyObjectRead", "AnyObjectReadWrite")
WRITES = ("ObjectWrite", "ObjectReadWrite", "AnyObjectWrite", "AnyObjectReadWrite")


def follow_link(path: str) -> str:
    """Return the path that a link leads to, or the path itself."""
    match = _LINK.match(path)
    return match.group(2) if match else path


def object_of(path: str) -> tuple[str, str]:
    """Return the bucket and the object that a path is about."""
    match = _OBJECT.fullmatch(path)
    if match is None:
        raise ValueError(f"{path} is no object's path")
    return match.group(1), match.group(2)


def open_link(site: Site, request: Request) -> Principal:
    """Tell whom a link lets in, and lead the request to what it is about."""
    match = _LINK.match(request.path)
    with site.lock:
        link = site.inventory.links.get(match.group(1)) if match else None
    if match is None or link is None or link["expires"] < time.time() or not _covers(link, request.method, match):
        raise not_found("[simulator: no such link, or it expired, or it is not for this]")
    request.path = match.group(2)
    return Principal("link", str(link["id"]))


def _covers(link: dict[str, Any], method: str, match: re.Match[str]) -> bool:
    if link["bucket"] != match.group(3):
        return False
    name = match.group(4)
    if not name:
        return method == "GET" and link["listing"] == "ListObjects"
    if link["access"] not in (READS if method in ("GET", "HEAD") else WRITES):
        return False
    return bool(name.startswith(link["object"] or "")) if link["access"].startswith("Any") else name == link["object"]
