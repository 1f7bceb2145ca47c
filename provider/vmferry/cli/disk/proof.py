# SPDX-License-Identifier: Apache-2.0
"""``vmferry disk proof``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from vmferry.cli.disk.group import LOCATION_HELP, disk, source_options
from vmferry.cli.output import Output, command
from vmferry.engine.units import format_bytes, format_seconds


@command(
    disk,
    "proof",
    more=LOCATION_HELP,
    example="vmferry disk proof web01.qcow2\nvmferry disk proof /dev/vdb --output vdb.proof\n"
    "vmferry disk proof nbd://host:10809/disk --json",
)
@click.argument("source", metavar="SRC")
@click.option(
    "--output", type=click.Path(path_type=Path), help="Write the proof here; without it only the root is told."
)
@source_options
def proof_command(out: Output, source: str, output: Path | None, workers: int | None, **choice: Any) -> None:
    """Read SRC and give its root: one digest over every byte a guest sees.

    Two disks with equal roots are equal, whatever their formats.
    """
    from vmferry.cli.disk.measuring import measure_location

    result = measure_location(source, choice, workers=workers, output=output)
    out.result(
        {**result.to_json(), "proof": str(output) if output else None},
        f"{result.root}  {source}  ({format_bytes(result.size_bytes)}, {format_bytes(result.read_bytes)} of data read"
        f" in {format_seconds(result.seconds)})",
    )
