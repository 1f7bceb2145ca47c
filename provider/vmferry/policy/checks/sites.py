# SPDX-License-Identifier: Apache-2.0
"""Checks of sites, limits and what holds for all restores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmferry.policy.findings import Finding, Place, error, warning
from vmferry.policy.sites import SOURCE, TARGET, legacy_keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmferry.policy.models.sites import Site as SiteEntry
    from vmferry.policy.settle import Ground


def check_sites(ground: Ground) -> Iterator[Finding]:
    """Each site can be reached, over TLS, and its password is not in the file."""
    for name, entry in ground.entries.items():
        places = _places(ground, name)
        yield from _check_login(entry, places)
        yield from _check_url(entry, places["url"])
        if entry.password is not None:
            fix = "`vmferry policy secure` moves it into an Airflow connection"
            yield warning(places["password"], f"the password of the site {name!r} is in the file", fix)
    for name in (SOURCE, TARGET):
        entry_keys = ground.policy.sites[name].model_fields_set if name in ground.policy.sites else set()
        for key in sorted(entry_keys & set(legacy_keys(ground.policy, name))):
            fix = f"keep {name}_ovirt_{key} or this one"
            yield error(("sites", name, key), f"{key} of the site {name!r} is given twice", fix)


def _places(ground: Ground, name: str) -> dict[str, Place]:
    """Give where each value of a site stands: the ancestor's keys are at the top."""
    old = legacy_keys(ground.policy, name) if name in {SOURCE, TARGET} else {}
    keys = ("url", "user", "password")
    whole: Place = ("sites", name) if name in ground.policy.sites else (f"{name}_ovirt_{next(iter(old))}",)
    return {"": whole} | {key: (f"{name}_ovirt_{key}",) if key in old else ("sites", name, key) for key in keys}


def _check_login(entry: SiteEntry, places: dict[str, Place]) -> Iterator[Finding]:
    if entry.connection is None and not (entry.url and entry.user):
        missing = "neither a connection nor " + ("url and user" if not entry.url else "a user")
        yield error(places[""], f"the site has {missing}", 'add "connection": the id of an Airflow connection')
    if entry.connection is not None and entry.password is not None:
        fix = "take the password away; the connection has one"
        yield error(places["password"], "both a connection and a password are given", fix)


def _check_url(entry: SiteEntry, place: Place) -> Iterator[Finding]:
    if entry.url is None:
        return
    if entry.url.startswith("http://"):
        yield warning(place, "the address has no TLS: passwords and disks cross the network in the clear", "use https")
    if entry.type == "ovirt" and not entry.url.rstrip("/").endswith("/api"):
        yield warning(place, "this does not look like an engine's API", "it ends in /ovirt-engine/api")


def check_limits(ground: Ground) -> Iterator[Finding]:
    """Bandwidth windows name sites that exist."""
    for number, window in enumerate(ground.policy.limits.bandwidth):
        if window.site is not None:
            yield from check_site(ground, window.site, ("limits", "bandwidth", number, "site"))


def check_restore_settings(ground: Ground) -> Iterator[Finding]:
    """Restores have somewhere to go and do not destroy what they replace."""
    settings = ground.policy.restore_settings
    if settings.site is not None:
        yield from check_site(ground, settings.site, ("restore_settings", "site"))
    if settings.replace_existing_vm and settings.backup_old_vm is False:
        fix = 'set "backup_old_vm": true, or be sure: the old VM is gone once the new one is proven'
        yield warning(("restore_settings", "backup_old_vm"), "the VM that a restore replaces is not kept", fix)


def check_site(ground: Ground, name: str, place: Place, *, types: frozenset[str] = frozenset()) -> Iterator[Finding]:
    """The site exists, and is of one of these types."""
    if name not in ground.entries:
        known = ", ".join(sorted(ground.entries)) or "none"
        yield error(place, f"there is no site {name!r}", f"known sites: {known}; add it to sites")
    elif types and ground.entries[name].type not in types:
        fix = f"name a site of type {' or '.join(sorted(types))}"
        yield error(place, f"the site {name!r} is of type {ground.entries[name].type}", fix)
