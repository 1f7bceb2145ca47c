# SPDX-License-Identifier: Apache-2.0
"""Connections to an Oracle Cloud Infrastructure tenancy."""

from __future__ import annotations

from vmferry.hooks.login import SiteHook


class OciHook(SiteHook):
    """Reads a connection of type ``vmferry_oci``."""

    conn_type = "vmferry_oci"
    hook_name = "Oracle Cloud Infrastructure"
    needs_host = False
