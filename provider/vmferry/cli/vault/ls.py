# SPDX-License-Identifier: Apache-2.0
"""``vmferry vault ls``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vmferry.cli.output import Output, command, table
from vmferry.cli.vault.group import any_vm_argument, directory_argument, vault
from vmferry.engine.units import format_bytes

if TYPE_CHECKING:
    from vmferry.vault import Summary


@command(vault, "ls", example="vmferry vault ls /backup\nvmferry vault ls /backup web01 --json")
@directory_argument
@any_vm_argument
def ls_command(out: Output, directory: Path, vm: str | None) -> None:
    """List the backups of all VMs, or of VM. Reads only each backup's point.json."""
    from vmferry.vault import list_backups, open_vault

    found = list_backups(open_vault(directory), vm)
    header = ("VM", "BACKUP", "MODE", "CHAIN", "SIZE", "VERIFIED")
    out.result([one.to_json() for one in found], table(header, map(_row, found)) if found else f"{directory} is empty")


def _row(one: Summary) -> tuple[str, ...]:
    if one.error is not None:
        return one.vm, one.id, "unreadable", "-", "-", one.error
    chain = "broken" if one.chain_length is None else str(one.chain_length)
    verified = f"{one.verified.verdict} {one.verified.when}" if one.verified else "never"
    return (
        one.vm,
        one.id,
        f"{one.mode}{' (held)' if one.held else ''}",
        chain,
        format_bytes(one.size_bytes or 0),
        verified,
    )
