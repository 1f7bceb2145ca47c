# SPDX-License-Identifier: Apache-2.0
"""Looks whether storage domains have room: while a point is open they grow, and a full one pauses ALL of its VMs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from vmferry.engine.units import GiB, format_bytes
from vmferry.platforms.errors import NoRoom, NotThere
from vmferry.platforms.inventory import Vm
from vmferry.platforms.ovirt.session import Session
from vmferry.platforms.ovirt.texts import word

_FACTOR = 2
_DEFAULT_BLOCKER_GIB = 5
"""What a new domain keeps free when nobody changed it."""


def check_point_room(session: Session, vm: Vm, disks: Iterable[str]) -> None:
    """Raise `NoRoom` when a domain under these disks could fill up while the point is open."""
    wanted = set(disks)
    for domain_id in sorted({one for disk in vm.disks if disk.id in wanted for one in disk.storage}):
        domain = _read_domain(session, vm, domain_id)
        if domain is not None:
            _check(session, domain, f"VM {vm.name!r}: no point is opened")


def _read_domain(session: Session, vm: Vm, domain_id: str) -> Any | None:
    return session.find(
        f"VM {vm.name!r}: reading storage domain {domain_id}",
        lambda api: api.storage_domains_service().storage_domain_service(domain_id).get(),
    )


def check_disk_room(session: Session, storage: str, size_bytes: int) -> None:
    """Raise `NotThere` or `NoRoom` when new disks of this size in sum would not fit on a domain."""
    domain = find_domain(session, storage)
    reserve = reserve_of(session, domain)
    free = int(domain.available or 0)
    if free - reserve < size_bytes:
        raise NoRoom(
            f"site {session.site}: storage domain {storage!r} has {format_bytes(free)} free, the disks may need"
            f" {format_bytes(size_bytes)} and {format_bytes(reserve)} have to stay free",
            fix="free some space, or name another storage domain in the policy",
        )


def find_domain(session: Session, storage: str) -> Any:
    """Look a data domain up by its name."""
    escaped = storage.replace('"', "")
    found = session.ask(
        f"looking for storage domain {storage!r}",
        lambda api: api.storage_domains_service().list(search=f'name="{escaped}"'),
    )
    domain = next((one for one in found if one.name == storage), None)
    if domain is None:
        raise NotThere(f"site {session.site} has no storage domain {storage!r}", fix="correct its name in the policy")
    if word(domain.type) not in ("", "data"):
        raise NotThere(f"site {session.site}: {storage!r} is no data domain", fix="name a data domain in the policy")
    return domain


def _check(session: Session, domain: Any, what: str) -> None:
    reserve, free = reserve_of(session, domain), int(domain.available or 0)
    if free < reserve:
        raise NoRoom(
            f"{what}: its storage domain {domain.name!r} has only {format_bytes(free)} free, {format_bytes(reserve)}"
            " have to be (a full domain pauses all VMs on it)",
            fix="free some space on it, or lower the site's reserve if you know better",
        )


def reserve_of(session: Session, domain: Any) -> int:
    """Say how much of a domain has to stay free."""
    if session.settings.reserve_bytes is not None:
        return session.settings.reserve_bytes
    blocker_gib = domain.critical_space_action_blocker
    return _FACTOR * GiB * int(_DEFAULT_BLOCKER_GIB if blocker_gib is None else blocker_gib)
