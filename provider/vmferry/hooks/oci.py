# SPDX-License-Identifier: Apache-2.0
"""Connections to an Oracle Cloud Infrastructure tenancy."""

from __future__ import annotations

import re

from vmferry.engine.errors import BadInput
from vmferry.hooks.login import SiteHook, SiteLogin
from vmferry.platforms.oci import OciSettings, OciSite
from vmferry.platforms.oci.settings import SERVICES, Principal

_PRINCIPALS = {"user": Principal.API_KEY, "instance": Principal.INSTANCE, "resource": Principal.RESOURCE}


class OciHook(SiteHook):
    """Reads a connection of type ``vmferry_oci``. Keys are files of the workers: nothing secret is in it."""

    conn_type = "vmferry_oci"
    hook_name = "Oracle Cloud Infrastructure"
    needs_host = False

    def get_conn(self) -> OciSite:
        """Give the region; the caller closes it."""
        return OciSite(self.settings())

    def settings(self) -> OciSettings:
        """Make the settings; raises `BadInput` when they cannot be right."""
        return make_settings(self.login())

    def test_connection(self) -> tuple[bool, str]:
        """Log in and look around."""
        with self.get_conn() as site:
            return True, f"logged in to {site.check().name}"


def make_settings(login: SiteLogin) -> OciSettings:
    """Make a region's settings from what a connection says."""
    principal = login.text("principal") or "user"
    if principal not in _PRINCIPALS:
        fix = f"use {', '.join(_PRINCIPALS)}"
        raise BadInput(f"connection {login.conn_id}: {principal!r} is nobody that we can be", fix=fix)
    return OciSettings(
        site=login.site,
        region=login.text("region") or "",
        principal=_PRINCIPALS[principal],
        tenancy=login.text("tenancy") or "",
        user=login.user,
        fingerprint=login.text("fingerprint") or "",
        key_file=login.text("key_file") or "",
        passphrase=login.password,
        compartments=tuple(re.split(r"[\s,]+", text) if (text := (login.text("compartments") or "").strip()) else ()),
        ssh_user=login.text("ssh_user") or "opc",
        ssh_port=login.number("ssh_port", 22),
        ssh_key_file=login.text("ssh_key_file") or "",
        ca_file=login.text("ca_file"),
        endpoints=dict.fromkeys(SERVICES, login.host) if login.host else {},
        poll_s=float(login.number("poll_s", 3)),
    )
