# SPDX-License-Identifier: Apache-2.0
"""``vmferry disk inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vmferry.cli.disk.group import disk
from vmferry.cli.output import Output, command
from vmferry.engine.units import format_bytes, parse_bytes

if TYPE_CHECKING:
    from vmferry.engine.images.facts import ImageFacts, Limits


@command(
    disk,
    "inspect",
    example="vmferry disk inspect upload.vmdk\nvmferry disk inspect --max-size 2TiB upload.img --json\n"
    "vmferry disk inspect https://host/image.qcow2 --headers -",
)
@click.argument("image")
@click.option("--format", "format_name", metavar="FORMAT", help="What the image is said to be.")
@click.option("--max-size", default="64TiB", show_default=True, help="Largest disk that is accepted.")
@click.option("--allow-extents-beside", is_flag=True, help="Let a VMDK descriptor name extent files beside it.")
@click.option("--tls-ca", type=click.Path(path_type=Path), help="Authority that signed the server's certificate.")
@click.option("--no-tls-verify", is_flag=True, help="Trust any certificate of an https IMAGE. Logged as a warning.")
@click.option("--headers", type=click.File(), help="File with one 'Name: value' a line, - for standard input.")
def inspect_command(out: Output, image: str, **given: Any) -> None:
    """Say what an untrusted IMAGE is, or refuse it (exit 1) with one line why.

    It is a path, https://… or nbd://…, of which only what is needed is read. Nothing but the image itself is opened:
    backing files, data files and paths named inside it are refused, unread.
    """
    from vmferry.engine.images.facts import Limits

    limits = Limits(max_virtual_bytes=parse_bytes(given["max_size"], field="--max-size"))
    facts = _look(image, limits, given)
    size = "unknown until decompressed" if facts.virtual_size_bytes is None else format_bytes(facts.virtual_size_bytes)
    lines = [f"{facts.name}: {facts.format}" + (f" in {facts.compression}" if facts.compression else "")]
    lines.append(f"  disk size   {size}")
    lines.append(f"  file size   {format_bytes(facts.file_size_bytes)}")
    if facts.subformat:
        lines.append(f"  subformat   {facts.subformat}")
    lines += [f"  note        {note}" for note in facts.notes]
    out.result(facts.to_json(), lines)


def _look(image: str, limits: Limits, given: dict[str, Any]) -> ImageFacts:
    from contextlib import closing

    from vmferry.cli.disk.source import SourceChoice
    from vmferry.engine.endpoints import open_source
    from vmferry.engine.images.inspect import inspect
    from vmferry.engine.images.reader import EndpointReader

    wishes = {"claimed_format": given["format_name"], "limits": limits}
    if "://" not in image or Path(image).exists():
        return inspect(Path(image), **wishes, allow_extents_beside=given["allow_extents_beside"])
    # Raw: the bytes as they lie there are looked at, nothing is opened by what they claim to be.
    choice = SourceChoice(image, "raw", False, given["tls_ca"], given["no_tls_verify"], given["headers"])
    spec, secrets = choice.resolve()
    with closing(open_source(spec, secrets)) as source, closing(EndpointReader(source)) as reader:
        return inspect(reader, **wishes, name=image.partition("?")[0])
