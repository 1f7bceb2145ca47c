# SPDX-License-Identifier: Apache-2.0
"""``vmferry vault hold`` and ``release``."""

from __future__ import annotations

from pathlib import Path

import click

from vmferry.cli.output import Output, command
from vmferry.cli.vault.group import directory_argument, vault, vm_argument

_backup = click.argument("backup", metavar="ID")


@command(vault, "hold", example="vmferry vault hold /backup web01 20261130T0200 --why 'before the upgrade'")
@directory_argument
@vm_argument
@_backup
@click.option("--why", required=True, help="For whoever finds it in a year.")
def hold_command(out: Output, directory: Path, vm: str, backup: str, why: str) -> None:
    """Keep prune away from a backup and from what it stands on."""
    from vmferry.vault import hold_backup, open_vault

    held = hold_backup(open_vault(directory), vm, backup, why)
    out.result({"id": held, "held": True}, f"{held}: held")


@command(vault, "release", example="vmferry vault release /backup web01 20261130T0200")
@directory_argument
@vm_argument
@_backup
def release_command(out: Output, directory: Path, vm: str, backup: str) -> None:
    """Let prune decide about a held backup again."""
    from vmferry.vault import open_vault, release_backup

    freed = release_backup(open_vault(directory), vm, backup)
    out.result({"id": freed, "held": False}, f"{freed}: no longer held")
