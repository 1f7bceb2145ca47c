# SPDX-License-Identifier: Apache-2.0
"""``vmferry policy check``."""

from __future__ import annotations

import sys
from pathlib import Path

from vmferry.cli.exits import Exit
from vmferry.cli.output import Output, command
from vmferry.cli.policy.group import file_argument, policy


@command(policy, "check", example="vmferry policy check variables.json\nvmferry policy check variables.json --json")
@file_argument
def check_command(out: Output, file: Path) -> None:
    """Say everything that is wrong with a policy at once, each with its place and what to do. Exit 2 on errors."""
    from vmferry.policy.load import read_file
    from vmferry.policy.resolve import resolve

    reading = read_file(file)
    vms = resolve(reading.policy) if reading.policy is not None and reading.ok else ()
    errors = sum(1 for one in reading.findings if one.is_error)
    lines = [str(one) for one in reading.findings]
    warnings = len(reading.findings) - errors
    if reading.ok:
        lines.append(f"{file}: good, {len(vms)} VMs by name, {warnings} warning{'s'[: warnings != 1]}")
    else:
        lines.append(f"{file}: {errors} error{'s'[: errors != 1]}, nothing would be rendered")
    value = {
        "ok": reading.ok,
        "findings": [one.to_json() for one in reading.findings],
        "vms": [one.name for one in vms],
    }
    out.result(value, lines)
    if not reading.ok:
        sys.exit(Exit.BAD_INPUT)
