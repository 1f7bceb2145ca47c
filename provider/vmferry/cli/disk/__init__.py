# SPDX-License-Identifier: Apache-2.0
"""``vmferry disk``: inspect, prove, compare, copy and check single disks."""

from __future__ import annotations

import importlib

from vmferry.cli.disk.group import disk

for _name in ("inspect", "proof", "compare", "copy", "fsck"):
    importlib.import_module(f"vmferry.cli.disk.{_name}")

__all__ = ["disk"]
