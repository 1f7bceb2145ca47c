# SPDX-License-Identifier: Apache-2.0
"""``vmferry vault verify``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from vmferry.cli.bar import ProgressBar
from vmferry.cli.exits import Exit
from vmferry.cli.output import Output, command
from vmferry.cli.vault.group import StopSignal, any_vm_argument, backup_option, directory_argument, vault
from vmferry.engine.progress import Progress

_MODES = """\b
Modes, what each proves, and what it costs:
  quick      everything is there, has its size, and stands on the right parent;
             a few reads a file
  files      every file is byte for byte as it was written (enough for a copy
             off-site); reads every file once
  content    what a guest would see is what was read from the source: every
             root is recomputed; reads and unpacks every changed block once
  structure  the disks hold partitions and file systems: an exact copy of an
             empty disk is found out; a few megabytes a disk
Without --mode: quick, files and content."""


@command(
    vault,
    "verify",
    more=_MODES,
    example="vmferry vault verify /backup\nvmferry vault verify /backup web01 --mode quick --mode structure",
)
@directory_argument
@any_vm_argument
@backup_option
@click.option("--mode", "modes", multiple=True, type=click.Choice(["quick", "files", "content", "structure"]))
def verify_command(out: Output, directory: Path, vm: str | None, backup: str | None, modes: tuple[str, ...]) -> None:
    """Verify all backups, those of VM, or one and what it stands on. Exit 1 when anything is wrong.

    A flipped bit is named by VM, backup, disk and guest offset where a guest would see it, else by file.
    """
    from vmferry.engine.errors import BadInput
    from vmferry.vault.layout import open_vault
    from vmferry.vault.verification import DEFAULT_MODES, VerifyMode, verify

    if backup is not None and vm is None:
        raise BadInput("--backup needs a VM", fix="name the VM whose backup it is")
    progress = Progress()
    chosen = tuple(VerifyMode(mode) for mode in modes) or DEFAULT_MODES
    with ProgressBar(progress.status, "verify"):
        report = verify(
            open_vault(directory), vm, backup=backup, modes=chosen, progress=progress, cancel=StopSignal().event
        )
    out.result(report.to_json(), _text(report))
    if not report.sound:
        sys.exit(Exit.VERDICT)


def _text(report: Any) -> list[str]:
    lines = []
    for one in report.backups:
        why = f" (stands on {one.affected_by})" if one.affected_by else ""
        lines.append(f"{one.backup}: {one.verdict.value}{why}")
        lines += [f"  {finding.line()}" for finding in one.findings]
        lines += [f"  note: {note}" for note in one.notes]
    good = sum(1 for one in report.backups if one.verdict.value == "sound")
    modes = ", ".join(mode.value for mode in report.modes)
    return [*lines, f"{good} of {len(report.backups)} backups are sound ({modes})"]
