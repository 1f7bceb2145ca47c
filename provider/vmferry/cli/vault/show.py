# SPDX-License-Identifier: Apache-2.0
"""``vmferry vault show``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from vmferry.cli.output import Output, command
from vmferry.cli.vault.group import directory_argument, vault, vm_argument
from vmferry.engine.units import format_bytes
from vmferry.vault.errors import TornPoint

if TYPE_CHECKING:
    from vmferry.vault.records import Verified
    from vmferry.vault.summary import DiskSummary


@command(
    vault, "show", example="vmferry vault show /backup web01\nvmferry vault show /backup web01 --backup 20261130T0200"
)
@directory_argument
@vm_argument
@click.option("--backup", metavar="ID", default="latest", show_default=True, help="Id, the beginning of it, or latest.")
def show_command(out: Output, directory: Path, vm: str, backup: str) -> None:
    """Show one backup: its disks, their roots, what each stands on, when it was verified."""
    from vmferry.vault import open_vault, show_backup

    found = show_backup(open_vault(directory), vm, backup)
    if found.error is not None:
        raise TornPoint(found.error, fix="vmferry vault verify says more; bring it back from a copy")
    record = found.verified
    lines = [
        found.id,
        f"  directory    {found.path}",
        f"  mode         {found.mode}" + (f", stands on {found.parent}" if found.parent else ""),
        f"  consistency  {found.consistency}",
        f"  size         {format_bytes(found.size_bytes or 0)}",
        f"  verified     {_when(record)}",
        *(["  held         prune leaves it alone"] if found.held else []),
        *(line for disk in found.disks for line in _disk_lines(disk)),
    ]
    out.result(found.to_json(), lines)


def _when(record: Verified | None) -> str:
    return f"{record.verdict}, {record.when} ({', '.join(record.modes)})" if record else "never"


def _disk_lines(disk: DiskSummary) -> list[str]:
    layers = "broken chain" if disk.chain_length is None else f"read from {disk.chain_length} file(s)"
    return [
        f"  disk {disk.name}: {format_bytes(disk.size_bytes)}, {disk.method}, {layers}",
        f"    root       {disk.root}",
        f"    stored     {format_bytes(disk.stored_bytes)}" + (f" ({disk.reason})" if disk.reason else ""),
    ]
