# SPDX-License-Identifier: Apache-2.0
"""``vmferry vault``: write, list, verify, restore and prune backups, with no Airflow running."""

from __future__ import annotations

import importlib

from vmferry.cli.vault.group import vault

for _name in ("add", "ls", "show", "verify", "restore", "prune", "hold", "doctor"):
    importlib.import_module(f"vmferry.cli.vault.{_name}")

__all__ = ["vault"]
