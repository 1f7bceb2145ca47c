"""Image transfers."""

from __future__ import annotations

from collections.abc import Callable

from lab.ovirt.engine import Engine
from lab.ovirt.flows.transfers import (
    cancel_transfer,
    extend_transfer,
    finalize_transfer,
    pause_transfer,
    resume_transfer,
    start_transfer,
)
from lab.ovirt.model import Transfer, new_id
from lab.ovirt.router import Refusal, Reply, Request, not_found, route
from lab.ovirt.views import show_done, show_transfer
from lab.ovirt.xml import Element, flag_of, id_of, int_of, many, text_of

_ACTIONS: dict[str, Callable[[Engine, Transfer], None]] = {
    "finalize": finalize_transfer,
    "cancel": cancel_transfer,
    "pause": pause_transfer,
    "resume": resume_transfer,
    "extend": extend_transfer,
}


@route("GET", "/imagetransfers")
def list_transfers(engine: Engine, request: Request) -> Element:
    """List all."""
    return many("image_transfers", [show_transfer(engine, one) for one in engine.inventory.transfers.values()])


@route("GET", "/imagetransfers/{}")
def get_transfer(engine: Engine, request: Request, id: str) -> Element:
    """Show one."""
    return show_transfer(engine, engine.find("transfers", id))


@route("POST", "/imagetransfers", permit="image")
def add_transfer(engine: Engine, request: Request) -> Reply:
    """Start one."""
    body = request.body
    disk, volume, backup = (id_of(body, name) for name in ("disk", "snapshot", "backup"))
    disk = disk or id_of(body, "image")
    if volume:
        found = engine.inventory.snapshot_of(volume)
        if found is None:
            raise not_found("DiskSnapshot", volume)
        disk = found[0].id
    if not disk:
        raise Refusal(400, "ImageTransfer [disk|image|snapshot] required for add", "Incomplete parameters")
    wish = Transfer(new_id(), disk, text_of(body, "direction") or "upload", "", "initializing", backup, volume)
    wish.format = text_of(body, "format") or engine.disk(disk).format
    wish.shallow = flag_of(body, "shallow")
    wish.policy = text_of(body, "timeout_policy") or "legacy"
    wish.inactivity_s = int_of(body, "inactivity_timeout", 60)
    wish.owner = request.user
    if wish.snapshot and wish.direction == "upload":
        raise Refusal(409, "[Cannot transfer Virtual Disk. A disk snapshot can only be downloaded.]")
    return Reply(show_transfer(engine, start_transfer(engine, wish)), 201)


@route("POST", "/imagetransfers/{}/(finalize|cancel|pause|resume|extend)", permit="image")
def act(engine: Engine, request: Request, id: str, name: str) -> Element:
    """Steer one."""
    _ACTIONS[name](engine, engine.find("transfers", id))
    return show_done()
