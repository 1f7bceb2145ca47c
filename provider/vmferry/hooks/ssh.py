# SPDX-License-Identifier: Apache-2.0
"""Connections to machines where jobs run: conversion hosts and worker instances."""

from __future__ import annotations

from pathlib import Path

from vmferry.engine.errors import BadInput
from vmferry.hooks.login import SiteHook, SiteLogin
from vmferry.hosts.settings import DEFAULT_PORT, SshSettings
from vmferry.hosts.ssh import SshHost


class SshHostHook(SiteHook):
    """Reads a connection of type ``vmferry_ssh``. Keys are files of the worker: nothing secret is in it."""

    conn_name_attr = "host_conn_id"
    default_conn_name = "vmferry_host"
    conn_type = "vmferry_ssh"
    hook_name = "Conversion host"

    def get_conn(self) -> SshHost:
        """Give the host; the caller closes it."""
        return SshHost(self.settings())

    def settings(self) -> SshSettings:
        """Make the settings."""
        login = self.login()
        if not login.user:
            raise BadInput(f"connection {login.conn_id} has no user", fix="say whom to log in as on the machine")
        return SshSettings(
            address=login.host,
            user=login.user,
            port=login.port or DEFAULT_PORT,
            identity=_path(login, "identity"),
            known_hosts=_path(login, "known_hosts"),
            verify_host_key=login.options.get("verify_host_key", True) is not False,
            options=tuple((login.text("options") or "").split()),
            python=tuple((login.text("python") or "python3").split()),
        )

    def test_connection(self) -> tuple[bool, str]:
        """Log in and ask for its jobs."""
        host = self.get_conn()
        try:
            return True, f"{host.name} runs jobs; there are {len(host.jobs())}"
        finally:
            host.close()


def _path(login: SiteLogin, name: str) -> Path | None:
    text = login.text(name)
    return Path(text) if text else None
