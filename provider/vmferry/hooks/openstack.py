# SPDX-License-Identifier: Apache-2.0
"""Connections to a project of an OpenStack cloud: by the form's fields, or by a clouds.yaml on the workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vmferry.engine.errors import BadInput
from vmferry.hooks.login import SiteHook, SiteLogin
from vmferry.platforms.openstack import OpenstackSettings, OpenstackSite
from vmferry.platforms.openstack.clouds import read_cloud
from vmferry.platforms.openstack.settings import Login

_LOGINS = {one.value: one for one in Login}


class OpenstackHook(SiteHook):
    """Reads a connection of type ``vmferry_openstack``."""

    conn_type = "vmferry_openstack"
    hook_name = "OpenStack"
    needs_host = False

    def get_conn(self) -> OpenstackSite:
        """Give the project; the caller closes it."""
        return OpenstackSite(self.settings())

    def settings(self) -> OpenstackSettings:
        """Make the settings; raises `BadInput` when they cannot be right."""
        return make_settings(self.login())

    def test_connection(self) -> tuple[bool, str]:
        """Log in and look around."""
        with self.get_conn() as site:
            return True, f"logged in to {site.check().name}"


def make_settings(login: SiteLogin) -> OpenstackSettings:
    """Make a project's settings from what a connection says."""
    patience: dict[str, Any] = {
        "timeout_s": float(login.number("timeout_s", 60)),
        "poll_s": float(login.number("poll_s", 3)),
    }
    file = login.text("clouds_file")
    if file:
        return read_cloud(login.site, _read(login, file), login.text("cloud") or "", **patience)
    kind = login.text("auth_type") or Login.PASSWORD.value
    if kind not in _LOGINS:
        raise BadInput(f"connection {login.conn_id}: we cannot log in by {kind!r}", fix=f"use {', '.join(_LOGINS)}")
    return OpenstackSettings(
        site=login.site,
        auth_url=login.host,
        login=_LOGINS[kind],
        user=login.user,
        password=login.password,
        project=login.scope,
        user_domain=login.text("user_domain") or "Default",
        project_domain=login.text("project_domain") or "Default",
        region=login.text("region") or "",
        ca_file=login.text("ca_file"),
        **patience,
    )


def _read(login: SiteLogin, file: str) -> str:
    try:
        return Path(file).read_text()
    except (OSError, UnicodeDecodeError) as failure:
        fix = "give clouds_file the path of a clouds.yaml on the machines where tasks run"
        raise BadInput(f"connection {login.conn_id}: {file} cannot be read", fix=fix) from failure
