# SPDX-License-Identifier: Apache-2.0
"""``vmferry vault add``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vmferry.cli.bar import ProgressBar
from vmferry.cli.output import Output, command
from vmferry.cli.vault.group import DiskMeters, StopSignal, directory_argument, pacer, split_disks, vault, vm_argument
from vmferry.engine.errors import BadInput
from vmferry.engine.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from vmferry.engine.endpoint import EndpointSpec

_MORE = """SRC is as for `vmferry disk copy`. Without --incremental the backup is full. With it, only what changed since
the last backup is stored: what the --dirty bitmap names or, without one, what differs from the last backup's proof (all
data is read then, so a lost bitmap costs a read, not a chain)."""


@command(
    vault,
    "add",
    more=_MORE,
    example="vmferry vault add /backup web01 root=web01.qcow2\n"
    "vmferry vault add /backup web01 root=nbd://host:10809/vda data=nbd://host:10809/vdb --incremental --dirty daily",
)
@directory_argument
@vm_argument
@click.argument("disks", metavar="DISK=SRC...", nargs=-1, required=True)
@click.option("--incremental", is_flag=True, help="Store only what changed since the last backup.")
@click.option("--dirty", metavar="BITMAP", help="Dirty bitmap of every SRC that knows what changed.")
@click.option("--format", "format_name", metavar="FORMAT", help="Format of the sources: forced, never guessed.")
@click.option("--trust-backing", is_flag=True, help="Read through the backing files that an image names.")
@click.option("--tls-ca", type=click.Path(path_type=Path), help="Authority that signed the servers' certificates.")
@click.option("--no-tls-verify", is_flag=True, help="Trust any certificate of an https SRC. Logged as a warning.")
@click.option("--headers", type=click.File(), help="File with one 'Name: value' a line, - for standard input.")
@click.option("--consistency", type=click.Choice(["application", "file-system", "crash", "offline", "unknown"]),
              default="unknown", show_default=True, help="What state the guest was in.")  # fmt: skip
@click.option("--rate", help="Bytes a second for all disks together, as 50MiB.")
@click.option(
    "--workers", type=click.IntRange(1, 64), default=4, show_default=True, help="Parallel connections a disk."
)
def add_command(out: Output, directory: Path, vm: str, disks: tuple[str, ...], **given: Any) -> None:
    """Make a backup of VM's disks. A backup that was interrupted goes on when the same command is given again."""
    from vmferry.vault.adding import Changes
    from vmferry.vault.backup import Consistency
    from vmferry.vault.layout import open_vault
    from vmferry.vault.whole import Order, add_point

    if given["dirty"] and not given["incremental"]:
        raise BadInput("--dirty says what changed, but the backup is full", fix="add --incremental")
    sources, secrets = _resolve(split_disks(disks, "SRC, for example root=web01.qcow2"), given)
    changes = {disk: Changes(bitmap=given["dirty"]) for disk in sources} if given["dirty"] else {}
    order = Order(
        vm, sources, incremental=given["incremental"], changes=changes, consistency=Consistency(given["consistency"]),
        secrets=secrets,
    )  # fmt: skip
    meters = DiskMeters(sources)
    pace = pacer(meters, StopSignal(), rate=given["rate"], workers=given["workers"])
    with ProgressBar(meters.status, "backup"):
        backup = add_point(open_vault(directory), order, pace=pace)
    out.result(backup.to_json(), _text(backup))


def _resolve(named: dict[str, str], given: dict[str, Any]) -> tuple[dict[str, EndpointSpec], dict[str, dict[str, str]]]:
    """Give the sources, and beside them what must not be written down."""
    from vmferry.cli.disk.source import SourceChoice, read_headers

    options = {name: given[name] for name in ("format_name", "trust_backing", "tls_ca", "no_tls_verify")}
    headers = read_headers(given["headers"])
    more = {"bitmap": given["dirty"]} if given["dirty"] else {}
    sources, secrets = {}, {}
    for disk, where in named.items():
        choice = SourceChoice(where, **options, headers=headers, more=more)
        sources[disk], secrets[disk] = choice.resolve()
    return sources, secrets


def _text(backup: Any) -> list[str]:
    spent = format_seconds((backup.finished - backup.started).total_seconds())
    lines = [f"{backup.id}: {backup.mode.value}, {format_bytes(backup.size_bytes)} in {spent}"]
    for disk in backup.disks:
        why = f" ({disk.reason})" if disk.reason else ""
        lines.append(
            f"  {disk.name}: {disk.method.value}{why}, {format_bytes(disk.changed_bytes)} of"
            f" {format_bytes(disk.size_bytes)} stored, root {disk.root[:16]}…"
        )
    return lines
