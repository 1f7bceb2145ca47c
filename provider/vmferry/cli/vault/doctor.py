# SPDX-License-Identifier: Apache-2.0
"""``vmferry vault doctor``."""

from __future__ import annotations

import sys
from pathlib import Path

from vmferry.cli.exits import Exit
from vmferry.cli.output import Output, command
from vmferry.cli.vault.group import any_vm_argument, directory_argument, vault


@command(vault, "doctor", example="vmferry vault doctor /backup\nvmferry vault doctor /backup web01 --json")
@directory_argument
@any_vm_argument
def doctor_command(out: Output, directory: Path, vm: str | None) -> None:
    """Find unfinished backups, orphans, broken links and old locks, and say what is safe to do. Changes nothing.

    Exit 1 when something needs a person.
    """
    from vmferry.vault import examine, open_vault

    found = examine(open_vault(directory), vm)
    lines = [line for one in found for line in (f"{one.path}: {one.message}", f"  {one.advice}")]
    out.result([one.to_json() for one in found], lines or f"{directory} is in order")
    if not all(one.harmless for one in found):
        sys.exit(Exit.VERDICT)
