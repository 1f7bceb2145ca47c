# SPDX-License-Identifier: Apache-2.0
"""``vmferry site check``."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from vmferry.cli.access import Access, access_options
from vmferry.cli.exits import Exit
from vmferry.cli.output import Output, command
from vmferry.cli.site.group import site
from vmferry.engine.units import format_bytes

if TYPE_CHECKING:
    from vmferry.platforms.ovirt import OvirtSettings, OvirtSite

_SOON = timedelta(days=14)


@command(
    site,
    "check",
    more="What is missing is a warning: it matters or not, by what the site is for. See docs/ovirt-permissions.md.",
    example="vmferry site check\nvmferry site check --site target --json",
)
@access_options
def check_command(out: Output, access: Access) -> None:
    """Log in to a site and look around: authority, version, what the user may do, room. Changes nothing.

    Exit 1 when it can be worked with, but something is wrong.
    """
    from vmferry.policy.sites import default_site

    policy = access.policy()
    chosen = access.choose(policy, default_site(policy))
    with access.open(chosen) as opened:
        found = _look(opened)
    found["warnings"] = list(_warnings(found))
    out.result(found, [*_text(found), *(f"  WARNING      {one}" for one in found["warnings"])])
    if found["warnings"]:
        sys.exit(Exit.VERDICT)


def _look(opened: OvirtSite) -> dict[str, Any]:
    from vmferry.platforms.ovirt.surroundings import BACKUP_PERMITS, RESTORE_PERMITS
    from vmferry.platforms.ovirt.trust import check_engine, fetch_authority, find_ca_file

    settings = opened.settings
    until = check_engine(settings, find_ca_file(settings))
    facts, permits = opened.check(), opened.permits()
    return {
        "site": facts.name,
        "url": settings.api_url,
        "user": settings.user,
        "version": facts.version,
        "methods": list(facts.methods),
        "authority": fetch_authority(settings).fingerprint,
        "trusted_by": _trusted_by(settings),
        "certificate_until": until.isoformat() if until else None,
        "vms": sum(1 for _ in opened.list_vms()),
        "clusters": list(opened.clusters()),
        "storage": [{**dataclasses.asdict(one), "is_tight": one.is_tight} for one in opened.storage()],
        "missing_for_backup": None if permits is None else sorted(BACKUP_PERMITS - permits),
        "missing_for_restore": None if permits is None else sorted(RESTORE_PERMITS - permits),
    }


def _trusted_by(settings: OvirtSettings) -> str:
    if settings.ca_file:
        return f"{settings.ca_file}{', pinned' if settings.pin else ''}"
    return "its pinned fingerprint" if settings.pin else "the authorities of this machine"


def _warnings(found: dict[str, Any]) -> Iterator[str]:
    for what in ("backup", "restore"):
        missing = found[f"missing_for_{what}"]
        if missing:
            yield f"{found['user']} lacks, for a {what}: {', '.join(missing)}"
    if found["missing_for_backup"] is None:
        yield f"the engine does not tell what {found['user']} may do"
    for domain in found["storage"]:
        if domain["is_tight"]:
            free, reserve = format_bytes(domain["free_bytes"]), format_bytes(domain["reserve_bytes"])
            yield f"storage domain {domain['name']} has {free} free of {reserve} that must be: no backup begins on it"
        if domain["status"] not in ("active", "ok"):
            yield f"storage domain {domain['name']} is {domain['status']}"
    until = datetime.fromisoformat(found["certificate_until"]) if found["certificate_until"] else None
    if until is not None and until < datetime.now(UTC) + _SOON:
        yield f"the engine's certificate ends on {until:%Y-%m-%d}"


def _text(found: dict[str, Any]) -> list[str]:
    until = found["certificate_until"]
    lines = [
        f"{found['site']}: {found['url']} lets {found['user']} in",
        f"  version      {found['version']}; points by {', '.join(found['methods'])}",
        f"  authority    {found['authority']}, trusted by {found['trusted_by']}",
        f"  certificate  good until {until[:10] if until else 'an unknown day'}",
        f"  VMs          {found['vms']}",
        f"  clusters     {', '.join(found['clusters'])}",
    ]
    for one in found["storage"]:
        sizes = f"{format_bytes(one['free_bytes'])} free, {format_bytes(one['reserve_bytes'])} must stay free"
        lines.append(f"  storage      {one['name']}: {one['status']}, {sizes}")
    for what in ("backup", "restore"):
        if found[f"missing_for_{what}"] == []:
            lines.append(f"  permissions  all that a {what} needs")
    return lines
