"""Events and jobs."""

from __future__ import annotations

from lab.ovirt.engine import Engine
from lab.ovirt.model import Event, Job
from lab.ovirt.router import Request, not_found, route
from lab.ovirt.search import search
from lab.ovirt.views import show_event, show_job
from lab.ovirt.xml import Element, many


@route("GET", "/events")
def list_events(engine: Engine, request: Request) -> Element:
    """List events, the newest first; a search without a field finds ids and words."""

    def fields(one: Event) -> dict[str, object]:
        return {
            "id": one.id, "message": one.description, "correlation_id": one.correlation, "about": one.about,
            "severity": one.severity, "type": one.code, "event_vm": one.vm or "", "time": one.time,
        }  # fmt: skip

    first = int(request.query.get("from", "0") or "0")
    events = [one for one in reversed(engine.inventory.events) if one.id > first]
    return many("events", [show_event(one) for one in search(events, fields, request.query)])


@route("GET", "/events/{}")
def get_event(engine: Engine, request: Request, id: str) -> Element:
    """Show one."""
    found = next((one for one in engine.inventory.events if str(one.id) == id), None)
    if found is None:
        raise not_found("Event", id)
    return show_event(found)


@route("GET", "/jobs")
def list_jobs(engine: Engine, request: Request) -> Element:
    """List jobs."""

    def fields(one: Job) -> dict[str, object]:
        return {"id": one.id, "correlation_id": one.correlation, "status": one.status, "description": one.description}

    return many("jobs", [show_job(one) for one in search(engine.inventory.jobs.values(), fields, request.query)])


@route("GET", "/jobs/{}")
def get_job(engine: Engine, request: Request, id: str) -> Element:
    """Show one."""
    return show_job(engine.find("jobs", id))
