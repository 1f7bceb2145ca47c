# SPDX-License-Identifier: Apache-2.0
"""``vmferry vault``: backups."""

from __future__ import annotations

import click


@click.group()
def vault() -> None:
    """Write, list, verify, restore and prune backups."""
