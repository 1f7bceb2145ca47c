# SPDX-License-Identifier: Apache-2.0
"""``vmferry vm backup``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from vmferry.cli.access import Access, access_options, find_vm_policy
from vmferry.cli.output import Output, command
from vmferry.cli.vault.group import StopSignal
from vmferry.cli.vm.group import make_throttle, patiently, rate_option, tell_begin, vm, vm_argument, wait_option
from vmferry.engine.errors import Cancelled, EngineError
from vmferry.engine.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from vmferry.cli.meters import DiskBars
    from vmferry.cli.record import Record
    from vmferry.platforms.contract import Source
    from vmferry.policy.sites import Site
    from vmferry.policy.vm import VmPolicy
    from vmferry.vault import Vault

_STOPPING = "stopping: the VM's point is given back first (again: end at once, the same command then goes on)"
_MORE = """What the policy says holds, except its schedule and its window: disks left out, full or incremental, freezing
the guest, the rate. A VM that the policy does not have is backed up as built in.

When it fails or is stopped, what it made at the site and in the vault is given back. After a kill it could not do that:
the same command then goes on where it stopped."""


@command(vm, "backup", more=_MORE, example="vmferry vm backup web01\nvmferry vm backup web01 --full --wait 600 --json")
@vm_argument
@click.option("--full/--incremental", default=None, help="By default as the policy says.")
@rate_option
@wait_option
@access_options
def backup_command(out: Output, name: str, full: bool | None, rate: str | None, wait_s: float, access: Access) -> None:
    """Back up a VM into the vault, as its DAG does, the guest running."""
    from vmferry.cli.meters import DiskBars

    policy = access.policy()
    settled = find_vm_policy(policy, name, access.site)
    site, vault = access.choose(policy, settled.site), access.vault(policy)
    bars = DiskBars(("backup",), throttle=make_throttle(rate) or _policy_throttle(settled))
    StopSignal(bars.cancel, says=_STOPPING)
    with access.open(site) as source, bars:
        work = lambda: _back_up(out, source, site, vault, settled, full, bars)  # noqa: E731
        done = patiently(out, wait_s, bars.cancel, work)
    out.result(done, _text(done))


def _back_up(
    out: Output, source: Source, site: Site, vault: Vault, settled: VmPolicy, full: bool | None, bars: DiskBars
) -> dict[str, Any]:
    from vmferry.cli.record import is_dead, recorded
    from vmferry.operations import back_up_vm

    with recorded("backup", settled.name, site.name, vault=str(vault.path)) as (record, goes_on):
        tell_begin(out, record, goes_on=goes_on)
        try:
            done = back_up_vm(source, vault, settled, record.run, full=full, pace=bars.pace, is_dead=is_dead)
        except EngineError as error:
            raise _given_back(source, vault, settled.name, record, error) from error
        record.forget()
    return done


def _given_back(source: Source, vault: Vault, vm: str, record: Record, error: EngineError) -> EngineError:
    """Give back what a failed backup made, and say so."""
    from vmferry.operations import close_point
    from vmferry.platforms.errors import SiteAway
    from vmferry.vault import abandon
    from vmferry.vault.openpoint import unfinished_points

    if isinstance(error, SiteAway):
        return error
    try:
        close_point(source, vm, record.run)
        for point in unfinished_points(vault.vm_dir(vm)) if vault.vm_dir(vm).is_dir() else ():
            if point.owner == record.run.text:
                abandon(point)
    except EngineError as second:
        fix = f"{error.fix}; what it made could not be given back ({second.what}): vmferry site sweep does it later"
        return type(error)(error.what, fix=fix)
    record.forget()
    if isinstance(error, Cancelled):
        return Cancelled("stopped; nothing of it is left", fix="the same command begins a new backup")
    return error


def _policy_throttle(settled: VmPolicy) -> Any:
    from vmferry.engine.throttle import Throttle, parse_windows

    rates = settled.placement.throttle_control()
    return Throttle(rates["bytes_per_s"], windows=parse_windows(rates["windows"]))


def _text(done: dict[str, Any]) -> list[str]:
    why = f" ({done['full_because']})" if done["full_because"] else ""
    sizes = f"{format_bytes(done['read_bytes'])} read, {format_bytes(done['written_bytes'])} stored"
    lines = [f"{done['backup']}: {done['mode']}{why}, {done['consistency']}-consistent, {sizes}"]
    for disk in done["disks"]:
        reason = f" ({disk['reason']})" if disk["reason"] else ""
        lines.append(
            f"  {disk['name']}: {disk['method']}{reason}, {format_bytes(disk['changed_bytes'])} of"
            f" {format_bytes(disk['size_bytes'])} in {format_seconds(disk['seconds'])}, root {disk['root'][:16]}…"
        )
    lines += [f"  NOT BACKED UP: {one['disk']}: {one['reason']}" for one in done["skipped"]]
    return [*lines, *(f"  note: {note}" for note in done["notes"])]
