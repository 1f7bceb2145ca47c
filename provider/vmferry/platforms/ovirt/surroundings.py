# SPDX-License-Identifier: Apache-2.0
"""What a person wants to know about an engine before he relies on it: whom it is, its room, what the user may do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vmferry.platforms.errors import NotPermitted, NotThere
from vmferry.platforms.ovirt import space
from vmferry.platforms.ovirt.sdk import types
from vmferry.platforms.ovirt.session import Session
from vmferry.platforms.ovirt.texts import ident, word

BACKUP_PERMITS = frozenset({"login", "backup_disk", "access_image_storage", "edit_disk_properties"})
"""What a backup needs, in the engine's words. Snapshots of engines before 4.4 need manipulate_vm_snapshots as well."""
RESTORE_PERMITS = frozenset({
    "login", "create_disk", "edit_disk_properties", "access_image_storage", "attach_disk", "delete_disk",
    "import_export_vm", "create_vm", "edit_vm_properties", "configure_vm_storage", "configure_vm_network", "run_vm",
    "stop_vm", "shut_down_vm", "delete_vm",
})  # fmt: skip
"""What a restore needs, with the old VM's shut-down and the tidying of one that failed."""


@dataclass(frozen=True, slots=True)
class StorageFacts:
    """A data domain."""

    name: str
    status: str
    free_bytes: int
    used_bytes: int
    reserve_bytes: int
    """Less than that must not be free, or no backup is begun on it."""

    @property
    def is_tight(self) -> bool:
        """Tell whether a backup of a VM on it would be refused."""
        return self.free_bytes < self.reserve_bytes


def list_storage(session: Session) -> tuple[StorageFacts, ...]:
    """List the data domains, by name."""
    listed = session.ask("listing storage domains", lambda api: api.storage_domains_service().list())
    found = [
        StorageFacts(
            one.name, word(one.status) or "active", int(one.available or 0), int(one.used or 0),
            space.reserve_of(session, one),
        )
        for one in listed
        if word(one.type) in ("", "data")
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda one: one.name))


def list_clusters(session: Session) -> tuple[str, ...]:
    """List the clusters, by name."""
    listed = session.ask("listing clusters", lambda api: api.clusters_service().list())
    return tuple(sorted(one.name for one in listed))


def list_permits(session: Session) -> frozenset[str] | None:
    """List what the user may do, wherever he may do it; None when the engine does not tell."""
    try:
        return frozenset(_permits(session))
    except (NotPermitted, NotThere):
        return None


def _permits(session: Session) -> Iterator[str]:
    api = session.ask("asking who we are", lambda system: system.get())
    user = ident(api.authenticated_user)
    if user is None:
        raise NotThere("the engine does not say who we are")
    held = session.ask(
        "listing our permissions", lambda system: system.users_service().user_service(user).permissions_service().list()
    )
    for role in sorted({role for one in held if (role := ident(one.role)) is not None}):
        yield from (permit.name for permit in _role_permits(session, role))


def _role_permits(session: Session, role: str) -> list[Any]:
    found: list[types.Permit] = session.ask(
        "reading a role", lambda system: system.roles_service().role_service(role).permits_service().list()
    )
    return found
