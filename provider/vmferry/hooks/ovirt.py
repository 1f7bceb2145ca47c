# SPDX-License-Identifier: Apache-2.0
"""Connections to oVirt and OLVM engines."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from vmferry.engine.errors import BadInput
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
            facts, address = site.check(), site.settings.root_url
        return True, f"{address} has version {facts.version}; points by {', '.join(facts.methods)}"


def make_settings(login: SiteLogin) -> OvirtSettings:
    """Make an engine's settings from what a connection says."""
    return OvirtSettings(
        site=login.site,
        url=_url(login),
        user=login.user,
        password=login.password,
        ca_file=login.text("ca_file"),
        ca_fingerprint=login.text("ca_fingerprint"),
        imageio_ca_file=login.text("imageio_ca_file"),
        timeout_s=login.number("timeout_s", 60),
        workers=login.number("workers", 4),
    )


def _url(login: SiteLogin) -> str:
    """Give the address with the port, which may stand in either field of the form."""
    parts = urlsplit(login.host if "://" in login.host else f"https://{login.host}")
    if not login.port or not parts.hostname:
        return login.host
    said = _said_port(login, parts.netloc)
    if said not in (None, login.port):
        fix = "say it once, or the same in both"
        raise BadInput(f"connection {login.conn_id}: its URL has port {said}, its port is {login.port}", fix=fix)
    return login.host if said else urlunsplit(parts._replace(netloc=f"{parts.netloc}:{login.port}"))


def _said_port(login: SiteLogin, netloc: str) -> int | None:
    try:
        return urlsplit(f"//{netloc}").port
    except ValueError as error:
        fix = "write it as https://engine.example/ovirt-engine/api"
        raise BadInput(f"connection {login.conn_id}: {login.host!r}: {error}", fix=fix) from None
