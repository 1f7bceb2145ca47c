# SPDX-License-Identifier: Apache-2.0
"""``vmferry vm drill``."""

from __future__ import annotations

import dataclasses
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from vmferry.cli.access import Access, access_options, find_vm_policy
from vmferry.cli.output import Output, command
from vmferry.cli.vault.group import StopSignal
from vmferry.cli.vm.group import make_throttle, rate_option, tell_begin, vm, vm_argument
from vmferry.cli.vm.restore import STOPPING, explained, lay_over
from vmferry.engine.errors import EngineError
from vmferry.engine.units import format_seconds

if TYPE_CHECKING:
    from vmferry.platforms.contract import Target
    from vmferry.platforms.runs import RunId

_STOP_S = 120.0


@command(vm, "drill", example="vmferry vm drill web01\nvmferry vm drill web01 --site target --start --json")
@vm_argument
@click.option("--backup", metavar="ID", default="latest", show_default=True, help="Id, how its time begins, or latest.")
@click.option("--cluster", help="Cluster it is made in.")
@click.option("--storage-domain", help="Storage domain its disks go to.")
@click.option("--start", is_flag=True, default=None, help="Start it as well, and wait until it is up.")
@rate_option
@access_options
def drill_command(out: Output, name: str, access: Access, rate: str | None, **given: Any) -> None:
    """Rehearse a restore: make the VM without networks, prove it, say how long that took, remove it again."""
    from vmferry.cli.meters import DiskBars
    from vmferry.cli.record import recorded
    from vmferry.operations import restore_vm
    from vmferry.operations.tracing import newest
    from vmferry.vault.names import id_moment

    policy = access.policy()
    settled = find_vm_policy(policy, name, None)
    isolated = {"connect_networks": False, "replace_existing": False, "start": bool(given["start"])}
    rule = dataclasses.replace(lay_over(settled.restore, {**given, **isolated}), networks={"*": None})
    site, vault = access.choose(policy, rule.site), access.vault(policy)
    rule = dataclasses.replace(rule, site=site.name)
    backup = newest(vault, settled.name, given["backup"]).id
    bars = DiskBars(("upload", "read back"), throttle=make_throttle(rate))
    StopSignal(bars.cancel, says=STOPPING)
    means = {"vault": str(vault.path), "backup": backup, "rule": dataclasses.asdict(rule)}
    began = time.monotonic()
    with access.open(site) as target, recorded("drill", settled.name, site.name, **means) as (record, goes_on):
        tell_begin(out, record, goes_on=goes_on)
        with bars:
            try:
                made = restore_vm(
                    target, vault, settled.name, rule, record.run, backup=backup, pace=bars.pace,
                    name=f"{settled.name}_drill_{record.run.digest[:8]}", job_dir=record.directory / "job",
                    keep_on_failure=False, keep_ids=False,
                )  # fmt: skip
            except EngineError as error:
                raise explained(target, site, record, error, rolled_back=True) from error
        rto_s = time.monotonic() - began
        remove_drill(target, made["vm"], record.run)
        record.forget()
    rpo_s = (datetime.now(UTC) - id_moment(backup)).total_seconds()
    value = {"vm": settled.name, "backup": backup, "site": site.name, "rto_s": round(rto_s, 1),
             "rpo_s": round(rpo_s, 1), "roots": made["roots"], "started": rule.start}  # fmt: skip
    proven = f"{len(made['roots'])} disks proven{', the VM was up' if rule.start else ''}, removed again"
    out.result(value, [
        f"{settled.name}: backup {backup} was restored at {site.name}: {proven}",
        f"  RTO {format_seconds(rto_s)}, RPO {format_seconds(rpo_s)}",
    ])  # fmt: skip


def remove_drill(target: Target, name: str, run: RunId) -> None:
    """Remove the VM of a drill with its disks: it is a copy, and this run made it."""
    from vmferry.platforms.runs import RunId, is_tag_of

    made = target.find_vm(name)
    if made is None or made.owner is None or not is_tag_of(RunId(made.owner).tag(), run):
        return
    if made.status != "down":
        made = target.stop_vm(made, timeout_s=_STOP_S)
    target.remove_vm(made, keep_disks=False)
