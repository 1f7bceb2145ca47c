# SPDX-License-Identifier: Apache-2.0
"""Where in a region a worker and its volume go: availability domain, then fault domain; pinned, or where room is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vmferry.engine.errors import BadInput
from vmferry.platforms.oci.session import Session
from vmferry.platforms.runs import RunId


@dataclass(frozen=True, slots=True)
class Place:
    """One fault domain of one availability domain."""

    domain: str
    fault_domain: str | None


def list_domains(session: Session, compartment: str) -> list[str]:
    """List the availability domains, in the order that people number them."""
    identity = session.identity
    found = session.list("listing availability domains", identity.list_availability_domains, compartment)
    return sorted(str(one.name) for one in found)


def pick_domain(domains: list[str], number: int, *, where: str) -> str | None:
    """Translate a number from 1; None for 0, which is any. Raises `BadInput` when the region has no such number."""
    if number == 0:
        return None
    if not 1 <= number <= len(domains):
        have = f"this region has {len(domains)}: 1 to {len(domains)}" if len(domains) > 1 else "this region has only 1"
        raise BadInput(f"{where}: there is no availability domain {number}", fix=f"{have}; 0 is any")
    return domains[number - 1]


def places(session: Session, compartment: str, owner: RunId, pinned: str | None, fault_domain: str) -> Iterator[Place]:
    """Give the places to try, in an order that spreads runs and is always the same for one run."""
    domains = [pinned] if pinned else _rotate(list_domains(session, compartment), owner)
    for domain in domains:
        if fault_domain:
            yield Place(domain, fault_domain)
            continue
        found = session.list("listing fault domains", session.identity.list_fault_domains, compartment, domain)
        names: list[str | None] = [*_rotate(sorted(str(one.name) for one in found), owner)]
        for name in names or [None]:
            yield Place(domain, name)


def _rotate(names: list[str], owner: RunId) -> list[str]:
    first = int(owner.digest, 16) % len(names) if names else 0
    return names[first:] + names[:first]
