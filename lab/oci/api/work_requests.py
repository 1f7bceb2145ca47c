"""Work requests."""

from __future__ import annotations

from typing import Any

from lab.oci.router import CORE, Reply, Request, not_found, route
from lab.oci.site import Site
from lab.oci.work import find_work


@route("GET", f"{CORE}/workRequests/{{}}", "instances.read")
def get_work_request(site: Site, request: Request, id: str) -> dict[str, Any]:
    """Show how far a call has come."""
    found = find_work(site, id)
    if found is None:
        raise not_found()
    return found


@route("GET", f"{CORE}/workRequests/{{}}/errors", "instances.read")
@route("GET", f"{CORE}/workRequests/{{}}/logs", "instances.read")
def list_work_request_rows(site: Site, request: Request, id: str) -> Reply:
    """List nothing: the lab's work has no log."""
    get_work_request(site, request, id)
    return Reply([])
