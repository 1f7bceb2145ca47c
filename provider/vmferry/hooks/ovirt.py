# SPDX-License-Identifier: Apache-2.0
"""Connections to oVirt and OLVM engines."""

from __future__ import annotations

from vmferry.hooks.login import SiteHook, SiteLogin
from vmferry.platforms.ovirt import OvirtSettings, OvirtSite


class OvirtHook(SiteHook):
    """Reads a connection of type ``vmferry_ovirt``."""

    conn_type = "vmferry_ovirt"
    hook_name = "oVirt / OLVM"

    def get_conn(self) -> OvirtSite:
        """Give the engine; the caller closes it."""
        return OvirtSite(self.settings())

    def settings(self) -> OvirtSettings:
        """Make the settings; raises `BadInput` when they cannot be right."""
        return make_settings(self.login())

    def test_connection(self) -> tuple[bool, str]:
        """Log in and look around."""
        with self.get_conn() as site:
            facts = site.check()
        return True, f"{facts.name} has version {facts.version}; points by {', '.join(facts.methods)}"


def make_settings(login: SiteLogin) -> OvirtSettings:
    """Make an engine's settings from what a connection says."""
    return OvirtSettings(
        site=login.site,
        url=login.host,
        user=login.user,
        password=login.password,
        ca_file=login.text("ca_file"),
        ca_fingerprint=login.text("ca_fingerprint"),
        imageio_ca_file=login.text("imageio_ca_file"),
        timeout_s=login.number("timeout_s", 60),
        workers=login.number("workers", 4),
    )
