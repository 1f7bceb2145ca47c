# SPDX-License-Identifier: Apache-2.0
"""To the backups of a VM, as Airflow's own pages show them: the VM's asset has an event for each backup."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from airflow.sdk import BaseOperatorLink
from airflow.sdk.configuration import conf


class VaultLink(BaseOperatorLink):
    """Leads to the asset; its events say id, roots and directory of each backup."""

    name = "Backups of this VM"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Give the address; empty for a task that never learned which VM it is about."""
        return str(getattr(operator, "vault_page", ""))


def asset_name(site: str, vm: str) -> str:
    """Name the asset whose events say that a VM has a new backup."""
    return f"{_PREFIX}/{quote(site, safe='')}/{quote(vm, safe='')}"


def backups_page(vm: str, site: str | None = None) -> str:
    """Give the page of a VM's asset, of all sites' when none is said.

    A task does not know the asset's number, which its own page is found by: this one finds it by name. Without host, so
    that it works under every name that people reach the UI by.
    """
    name = asset_name(site, vm) if site else f"{_PREFIX}/%/{quote(vm, safe='')}"
    below = urlsplit(conf.get("api", "base_url", fallback="/")).path.rstrip("/")
    return f"{below}/assets?{urlencode({'name_pattern': name})}"


_PREFIX = "vmferry"
