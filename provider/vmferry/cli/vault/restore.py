# SPDX-License-Identifier: Apache-2.0
"""``vmferry vault restore``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vmferry.cli.bar import ProgressBar
from vmferry.cli.output import Output, command
from vmferry.cli.vault.group import (
    DiskMeters,
    Pacer,
    StopSignal,
    directory_argument,
    pacer,
    split_disks,
    vault,
    vm_argument,
)
from vmferry.engine.errors import BadInput, JobBusy
from vmferry.engine.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from vmferry.engine.endpoint import EndpointSpec

_MORE = """DST is as for `vmferry disk copy`, or - for standard output (one disk, raw). Disks that are not named are not
restored. The root of every restored disk is compared with the backup's; exit 1 when they differ."""


@command(
    vault,
    "restore",
    more=_MORE,
    example="vmferry vault restore /backup web01 root=/dev/vdb\n"
    "vmferry vault restore /backup web01 --backup 20261130T0200 root=web01.qcow2\n"
    "vmferry vault restore /backup web01 root=- | ssh host 'cat > /dev/vdb'",
)
@directory_argument
@vm_argument
@click.argument("disks", metavar="DISK=DST...", nargs=-1, required=True)
@click.option("--backup", metavar="ID", default="latest", show_default=True, help="Id, the beginning of it, or latest.")
@click.option("--job", "job_dir", type=click.Path(path_type=Path, file_okay=False), help="Keep the journals here.")
@click.option("--target-format", metavar="FORMAT", help="Format of DST, when its name does not say it.")
@click.option("--rate", help="Bytes a second for all disks together, as 50MiB.")
@click.option(
    "--workers", type=click.IntRange(1, 64), default=4, show_default=True, help="Parallel connections a disk."
)
def restore_command(out: Output, directory: Path, vm: str, disks: tuple[str, ...], backup: str, **given: Any) -> None:
    """Restore disks of a backup, straight from its chain: nothing is copied, rebased or unpacked first.

    A restore that was interrupted goes on when the same command is given again.
    """
    from vmferry.engine.location import parse_target
    from vmferry.vault.layout import open_vault
    from vmferry.vault.restoring import restore

    named = split_disks(disks, "DST, for example root=/dev/vdb")
    meters = DiskMeters(named)
    pace = pacer(meters, StopSignal(), rate=given["rate"], workers=given["workers"])
    if "-" in named.values():
        _to_stdout(out, directory, vm, named, backup, pace)
        return
    targets = {disk: parse_target(where, format_name=given["target_format"]) for disk, where in named.items()}
    with _journals(given["job_dir"], directory, vm, targets) as job_dir, ProgressBar(meters.status, "restore"):
        restored = restore(open_vault(directory), vm, targets, backup=backup, job_dir=job_dir, pace=pace)
    out.result([one.to_json() for one in restored], [_line(one, named[one.disk]) for one in restored])


@contextlib.contextmanager
def _journals(
    given: Path | None, directory: Path, vm: str, targets: Mapping[str, EndpointSpec]
) -> Iterator[Path | None]:
    """Say where the journals are, for this process alone; None: beside the targets, which are files."""
    from vmferry.cli.runs import state_dir
    from vmferry.engine.jobs import job_id
    from vmferry.engine.jobs.lock import try_acquire

    if given is None and all(
        spec.kind != "nbd" and not Path(spec.address).is_block_device() for spec in targets.values()
    ):
        yield None
        return
    addresses = (f"{disk}={spec.address}" for disk, spec in targets.items())
    name = job_id("restore", str(directory.absolute()), vm, *addresses)
    job_dir = given or state_dir().parent / "restores" / name
    job_dir.mkdir(parents=True, exist_ok=True)
    lock = try_acquire(job_dir / "lock")
    if lock is None:
        raise JobBusy(f"a restore with its journals in {job_dir} runs already", fix="wait until it ends")
    with lock:
        yield job_dir
        (job_dir / "lock").unlink()
        with contextlib.suppress(OSError):
            job_dir.rmdir()


def _line(one: Any, where: str) -> str:
    did = f"{format_bytes(one.result.written_bytes)} written in {format_seconds(one.result.seconds)}"
    return f"{one.backup}, disk {one.disk} -> {where}: {did}, root equal: {one.result.root}"


def _to_stdout(out: Output, directory: Path, vm: str, named: dict[str, str], backup: str, pace: Pacer) -> None:
    from vmferry.vault.layout import open_vault
    from vmferry.vault.stream import restore_stream

    if len(named) != 1 or out.as_json:
        raise BadInput("standard output takes one disk and nothing else", fix="name one DISK=- and no --json")
    if sys.stdout.isatty():
        raise BadInput("standard output is a terminal", fix="pipe it into a program or a file")
    (disk,) = named
    root = restore_stream(open_vault(directory), vm, disk, sys.stdout.buffer, backup=backup, pace=pace(disk))
    sys.stdout.buffer.flush()
    out.note(f"{vm}, disk {disk}: root equal: {root}")
