# SPDX-License-Identifier: Apache-2.0
"""``vmferry disk fsck``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from vmferry.cli.disk.group import disk
from vmferry.cli.exits import Exit
from vmferry.cli.output import Output, command, table


@command(disk, "fsck", example="vmferry disk fsck /dev/vdb\nvmferry disk fsck restored.raw --policy repair --json")
@click.argument("disk_path", metavar="DEV_OR_IMAGE", type=click.Path(path_type=Path))
@click.option("--policy", type=click.Choice(["check", "repair", "skip"]), default="check", show_default=True)
@click.option("--format", "format_name", metavar="FORMAT", help="Format of an image: forced, never guessed.")
def fsck_command(out: Output, disk_path: Path, policy: str, format_name: str | None) -> None:
    """Check every file system on a disk: per partition and logical volume, never across them.

    Exit 0 when all are clean or repaired, 1 when one is damaged or nobody could tell.
    """
    from vmferry.engine.errors import BadInput
    from vmferry.engine.filesystems.fsck import check_disk
    from vmferry.engine.filesystems.verdict import Verdict

    if ":/" in str(disk_path) and not disk_path.exists():
        raise BadInput(
            f"{disk_path}: a checker needs a device or a file", fix="copy it first: vmferry disk copy URL disk.raw"
        )
    found = check_disk(disk_path, policy=policy, format=format_name)
    rows = [(one.where, one.type, one.verdict.value, one.meaning) for one in found.items]
    lines = [f"{disk_path}: {found.verdict.value} (partition table: {found.table.kind})"]
    lines += [f"  {line}" for line in table(("WHERE", "TYPE", "VERDICT", "WHY"), rows)] if rows else []
    lines += [f"  {problem}" for problem in found.table.problems]
    lines += [f"  note: {note}" for note in found.notes]
    out.result(found.to_json(), lines)
    if found.verdict in (Verdict.DAMAGED, Verdict.UNKNOWN):
        sys.exit(Exit.VERDICT)
