# SPDX-License-Identifier: Apache-2.0
"""Connections to a vCenter or an ESXi host."""

from __future__ import annotations

from vmferry.hooks.login import SiteHook


class VsphereHook(SiteHook):
    """Reads a connection of type ``vmferry_vsphere``."""

    conn_type = "vmferry_vsphere"
    hook_name = "VMware vSphere"
