# SPDX-License-Identifier: Apache-2.0
"""Connections to a machine with VMware Workstation."""

from __future__ import annotations

from vmferry.hooks.login import SiteHook


class WorkstationHook(SiteHook):
    """Reads a connection of type ``vmferry_workstation``."""

    conn_type = "vmferry_workstation"
    hook_name = "VMware Workstation"
