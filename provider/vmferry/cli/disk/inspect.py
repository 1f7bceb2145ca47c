# SPDX-License-Identifier: Apache-2.0
"""``vmferry disk inspect``."""

from __future__ import annotations

from pathlib import Path

import click

from vmferry.cli.disk.group import disk
from vmferry.cli.output import Output, command
from vmferry.engine.units import format_bytes, parse_bytes


@command(
    disk, "inspect", example="vmferry disk inspect upload.vmdk\nvmferry disk inspect --max-size 2TiB upload.img --json"
)
@click.argument("image", type=click.Path(path_type=Path))
@click.option("--format", "format_name", metavar="FORMAT", help="What the image is said to be.")
@click.option("--max-size", default="64TiB", show_default=True, help="Largest disk that is accepted.")
@click.option("--allow-extents-beside", is_flag=True, help="Let a VMDK descriptor name extent files beside it.")
def inspect_command(
    out: Output, image: Path, format_name: str | None, max_size: str, allow_extents_beside: bool
) -> None:
    """Say what an untrusted IMAGE is, or refuse it (exit 1) with one line why.

    Nothing but the image itself is opened: backing files, data files and paths named inside it are refused, unread.
    """
    from vmferry.engine.images.facts import Limits
    from vmferry.engine.images.inspect import inspect

    limits = Limits(max_virtual_bytes=parse_bytes(max_size, field="--max-size"))
    facts = inspect(image, claimed_format=format_name, limits=limits, allow_extents_beside=allow_extents_beside)
    size = "unknown until decompressed" if facts.virtual_size_bytes is None else format_bytes(facts.virtual_size_bytes)
    lines = [f"{facts.name}: {facts.format}" + (f" in {facts.compression}" if facts.compression else "")]
    lines.append(f"  disk size   {size}")
    lines.append(f"  file size   {format_bytes(facts.file_size_bytes)}")
    if facts.subformat:
        lines.append(f"  subformat   {facts.subformat}")
    lines += [f"  note        {note}" for note in facts.notes]
    out.result(facts.to_json(), lines)
