# SPDX-License-Identifier: Apache-2.0
"""``vmferry disk``: inspect, prove, compare, copy and check single disks."""

from __future__ import annotations

from vmferry.cli.disk.group import disk

__all__ = ["disk"]
