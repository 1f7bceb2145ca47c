# SPDX-License-Identifier: Apache-2.0
"""Connections to an OpenStack cloud."""

from __future__ import annotations

from vmferry.hooks.login import SiteHook


class OpenstackHook(SiteHook):
    """Reads a connection of type ``vmferry_openstack``."""

    conn_type = "vmferry_openstack"
    hook_name = "OpenStack"
