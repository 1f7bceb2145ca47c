# SPDX-License-Identifier: Apache-2.0
"""The sites of a policy, those of the ancestor's ``source_…`` and ``target_…`` keys included."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vmferry.policy.models.policy import Policy
    from vmferry.policy.models.sites import Site as Entry

SOURCE = "source"
TARGET = "target"
"""Names of the sites that the ancestor's keys describe."""

_LEGACY_KEYS = ("url", "user", "password", "cert_path", "ca_fingerprint")


@dataclass(frozen=True, slots=True)
class Site:
    """A platform installation, as the rest of the program sees it."""

    name: str
    type: str
    connection: str
    """Id of the Airflow connection that has address and credentials."""
    url: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    """Only while it is still in the file; `secure` moves it out."""
    cert_path: str | None = None
    ca_fingerprint: str | None = None
    pool: str = ""
    max_vms_at_once: int = 4
    queue: str | None = None
    executor: str | None = None
    max_bytes_per_s: int | None = None

    @property
    def in_file(self) -> bool:
        """Tell whether the file alone is enough to log in."""
        return bool(self.url and self.user and self.password)


def list_sites(policy: Policy) -> dict[str, Site]:
    """Give all sites by name."""
    return {name: _make_site(name, one, policy) for name, one in raw_sites(policy).items()}


def raw_sites(policy: Policy) -> dict[str, Entry]:
    """Give the entries of all sites. The ancestor's keys make two, or complete the ones of that name in ``sites``."""
    from vmferry.policy.models.sites import Site as Entry

    made = dict(policy.sites)
    for name in (SOURCE, TARGET):
        keys = legacy_keys(policy, name)
        if keys:
            made[name] = made.get(name, Entry(type="ovirt")).model_copy(update=keys)
    return made


def legacy_keys(policy: Policy, name: str) -> dict[str, Any]:
    """Give what the ancestor's keys say about its source or target."""
    values = {key: getattr(policy, f"{name}_ovirt_{key}") for key in _LEGACY_KEYS}
    return {key: value for key, value in values.items() if value is not None}


def default_site(policy: Policy) -> str | None:
    """Give the site of VMs that name none: that of ``defaults``, the source, or the only one there is."""
    if policy.defaults.site is not None:
        return policy.defaults.site
    names = [name for name in raw_sites(policy) if name != TARGET]
    return SOURCE if SOURCE in names else names[0] if len(names) == 1 else None


def target_site(policy: Policy) -> str | None:
    """Give the site where restores go when nothing else is said."""
    if policy.restore_settings.site:
        return policy.restore_settings.site
    return TARGET if TARGET in raw_sites(policy) else None


def _make_site(name: str, entry: Entry, policy: Policy) -> Site:
    return Site(
        name=name,
        type=entry.type,
        connection=entry.connection or connection_id(name),
        url=entry.url,
        user=entry.user,
        password=entry.password.get_secret_value() if entry.password else None,
        cert_path=entry.cert_path,
        ca_fingerprint=entry.ca_fingerprint,
        pool=entry.pool or pool_name(name),
        max_vms_at_once=entry.max_vms_at_once or policy.limits.max_vms_at_once or 4,
        queue=entry.queue,
        executor=entry.executor,
        max_bytes_per_s=entry.max_rate or None,
    )


def connection_id(site: str) -> str:
    """Give the id of a site's Airflow connection when the policy names none."""
    return f"vmferry_{site}"


def pool_name(site: str) -> str:
    """Give the name of a site's Airflow pool when the policy names none."""
    return f"vmferry_{site}"
