"""What most calls have in common: pages of lists, retry tokens, etags, tags."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Iterable
from typing import Any

from lab.oci.model import Thing, timestamp
from lab.oci.router import Refusal, Reply, Request, incorrect_state, invalid
from lab.oci.site import Site

MAX_PAGE = 1000
_FILTERS = ("displayName", "availabilityDomain", "lifecycleState", "instanceId", "volumeId", "vnicId", "bootVolumeId")


def show(thing: Thing, **headers: str) -> Reply:
    """Answer with one thing."""
    return Reply(thing.wire, headers={"etag": thing.etag, **headers})


def list_things(site: Site, request: Request, things: Iterable[Thing], *filters: str) -> Reply:
    """Answer with a page of those that the query's filters let through, the newest first."""
    wanted = {name: request.query[name] for name in (*_FILTERS, *filters) if request.query.get(name)}
    found = [
        one
        for one in reversed(list(things))
        if not site.is_forgotten(one) and all(str(one.wire.get(name)) == value for name, value in wanted.items())
    ]
    if compartment := request.query.get("compartmentId"):
        site.check_compartment(compartment)
        found = [one for one in found if one.wire.get("compartmentId") == compartment]
    if request.query.get("sortOrder") == "ASC":
        found.reverse()
    return make_page(site, request, [one.wire for one in found], lambda wire: str(wire["id"]))


def make_page(site: Site, request: Request, rows: list[Any], name: Callable[[Any], str]) -> Reply:
    """Cut a page out of rows; the next one begins after the last row's name."""
    after = _read_page(request.query.get("page"))
    if after is not None:
        names = [name(row) for row in rows]
        rows = rows[names.index(after) + 1 :] if after in names else []
    limit = min(limit_of(request), int(site.settings["page_size"]))
    page = rows[:limit]
    headers = {}
    if len(rows) > limit:
        headers["opc-next-page"] = base64.urlsafe_b64encode(name(page[-1]).encode()).decode()
    return Reply(page, headers=headers)


def limit_of(request: Request) -> int:
    """Read how many rows the caller wants at most."""
    text = request.query.get("limit") or str(MAX_PAGE)
    if not text.isdigit() or not 1 <= int(text) <= MAX_PAGE:
        raise invalid(f"limit must be between 1 and {MAX_PAGE}")
    return int(text)


def check_etag(request: Request, etag: str) -> None:
    """Refuse when the caller has seen another version."""
    wanted = request.headers.get("if-match")
    if wanted and wanted.strip('"') not in ("*", etag):
        raise Refusal(412, "NoEtagMatch", f"The provided etag {wanted} does not match the resource's current etag")


def create_once(site: Site, request: Request, create: Callable[[], Thing]) -> Thing:
    """Create a thing, or find the one that an earlier call with the same retry token created."""
    token = request.headers.get("opc-retry-token")
    if not token:
        return create()
    if len(token) > 64:
        raise invalid("opc-retry-token must be at most 64 characters")
    assert request.principal
    key = f"{request.principal.id}/{token}"
    digest = hashlib.sha256(f"{request.path}\0".encode() + request.raw).hexdigest()
    known = site.inventory.tokens.get(key)
    if known is None or known["time"] + float(site.settings["retry_token_seconds"]) < time.time():
        thing = create()
        site.inventory.tokens[key] = {"digest": digest, "id": thing.id, "time": time.time()}
        return thing
    earlier = site.inventory.things.get(known["id"])
    if known["digest"] != digest or earlier is None or earlier.gone:
        words = "The retry token was used in an earlier request that resulted in a system update, "
        why = "with other parameters" if known["digest"] != digest else "but a later operation invalidated it"
        raise Refusal(409, "InvalidatedRetryToken", words + why)
    return earlier


def basics(site: Site, request: Request, kind: str) -> dict[str, Any]:
    """Make what every thing has: compartment, name, tags, time."""
    body, now = request.body, timestamp()
    site.check_compartment(body["compartmentId"])
    assert request.principal
    created = {"CreatedBy": request.principal.id, "CreatedOn": now}
    return {
        "compartmentId": body["compartmentId"],
        "displayName": body.get("displayName") or f"{kind}{now.replace('-', '').replace(':', '')[:15]}",
        "freeformTags": body.get("freeformTags") or {},
        "definedTags": {**(body.get("definedTags") or {}), "Oracle-Tags": created},
        "timeCreated": now,
    }


def update_basics(thing: Thing, body: dict[str, Any], *names: str) -> None:
    """Change what may be changed."""
    for name in ("displayName", "freeformTags", *names):
        if body.get(name) is not None:
            thing.wire[name] = body[name]
    if body.get("definedTags") is not None:
        thing.wire["definedTags"] = {"Oracle-Tags": thing.wire["definedTags"]["Oracle-Tags"], **body["definedTags"]}
    thing.touch()


def check_limit(site: Site, kind: str) -> None:
    """Refuse one more than the site's limit."""
    limit = site.settings["limits"].get(kind)
    if limit is not None and sum(not one.gone for one in site.inventory.all(kind)) >= int(limit):
        raise Refusal(400, "LimitExceeded", f"The following service limits were exceeded: {kind}-count. Limit: {limit}")


def demand_state(thing: Thing, *states: str) -> None:
    """Refuse when a thing is in no state for it."""
    if thing.state not in states:
        raise incorrect_state(f"{thing.kind} {thing.id} is {thing.state}; it must be {' or '.join(states)}")


def _read_page(text: str | None) -> str | None:
    if not text:
        return None
    try:
        return base64.urlsafe_b64decode(text).decode()
    except ValueError:
        raise invalid(f"page {text} is none of ours") from None
