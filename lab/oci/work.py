"""Work requests, which say how far a call has come that takes a while: read off the thing's own state."""

from __future__ import annotations

from typing import Any

from lab.oci.model import Thing, new_id, timestamp
from lab.oci.site import Site

ENDS = {
    "LaunchInstance": ("RUNNING", "STOPPED"), "TerminateInstance": ("TERMINATED",), "CreateImage": ("AVAILABLE",),
    "CreateVolume": ("AVAILABLE",), "AttachVolume": ("ATTACHED",), "DetachVolume": ("DETACHED",),
}  # fmt: skip
BAD = ("TERMINATED", "FAULTY", "DETACHED", "DELETED")


def note_work(site: Site, thing: Thing, operation: str) -> dict[str, str]:
    """Remember that something was begun; returns the header that names it. The same work has the same name."""
    key = f"work:{operation}"
    if key not in thing.hidden:
        thing.hidden[key] = {"id": new_id("coreservicesworkrequest"), "time": timestamp()}
    return {"opc-work-request-id": thing.hidden[key]["id"]}


def find_work(site: Site, id: str) -> dict[str, Any] | None:
    """Show one."""
    for thing in site.inventory.things.values():
        for key, note in thing.hidden.items():
            if key.startswith("work:") and note["id"] == id:
                return _show(thing, key.partition(":")[2], note)
    return None


def _show(thing: Thing, operation: str, note: dict[str, str]) -> dict[str, Any]:
    done = thing.state in ENDS[operation]
    failed = not done and thing.state in BAD
    status = "SUCCEEDED" if done else "FAILED" if failed else "IN_PROGRESS"
    return {
        "id": note["id"], "operationType": operation, "status": status,
        "compartmentId": thing.wire.get("compartmentId"),
        "percentComplete": 100.0 if done or failed else 50.0, "timeAccepted": note["time"], "timeStarted": note["time"],
        "timeFinished": timestamp() if done or failed else None,
        "resources": [{"entityType": thing.kind, "identifier": thing.id, "actionType": "RELATED", "entityUri": None}],
    }  # fmt: skip
