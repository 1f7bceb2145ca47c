# SPDX-License-Identifier: Apache-2.0
"""What a rendered DAG file has to know besides its VMs: the vault, and how each site is reached. Nothing secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vmferry.policy.sites import Site, list_sites

if TYPE_CHECKING:
    from vmferry.policy.models.policy import Policy


def template_values(policy: Policy) -> dict[str, Any]:
    """Give the values of a DAG template."""
    return {"vault": policy.backup_directory, "sites": site_references(policy)}


def site_references(policy: Policy) -> dict[str, dict[str, str]]:
    """Say of each site what tasks need to open it: its type, its Airflow connection, and whom to trust."""
    return {site.name: _refer(site) for site in list_sites(policy).values()}


def _refer(site: Site) -> dict[str, str]:
    said = {"name": site.name, "type": site.type, "connection": site.connection, "pool": site.pool}
    trust = {"ca_file": site.cert_path, "ca_fingerprint": site.ca_fingerprint}
    return {**said, **{name: value for name, value in trust.items() if value}}
