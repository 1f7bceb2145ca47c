# SPDX-License-Identifier: Apache-2.0
"""``vmferry vault``: write, list, verify, restore and prune backups, with no Airflow running."""

from __future__ import annotations

from vmferry.cli.vault.group import vault

__all__ = ["vault"]
