# SPDX-License-Identifier: Apache-2.0
"""``vmferry vm restore``."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from vmferry.cli.access import Access, access_options, find_vm_policy
from vmferry.cli.output import Output, command
from vmferry.cli.vault.group import StopSignal
from vmferry.cli.vm.group import make_throttle, patiently, rate_option, tell_begin, vm, vm_argument, wait_option
from vmferry.engine.errors import Cancelled, EngineError

if TYPE_CHECKING:
    from vmferry.cli.meters import DiskBars
    from vmferry.cli.record import Record
    from vmferry.platforms.contract import Target
    from vmferry.policy.sites import Site
    from vmferry.policy.vm import RestoreRule
    from vmferry.vault import Vault

STOPPING = "stopping (again: end at once; either way the same command goes on where it stopped)"
_MORE = """The disks go straight from the vault to the site, are read back from there and compared with the backup; only
then the VM is made. Its network cards stay unplugged unless --connect-networks is given. With --replace-existing the VM
that has the name is shut down and renamed when the new one is proven, never before.

What is not said here is as restore_settings of the policy says. Interrupted in any way, also by a kill, the same
command goes on where it stopped; `vmferry site sweep` gives back what it made instead."""
_SAID = ("cluster", "storage_domain", "start", "connect_networks", "replace_existing", "suffix")


@command(
    vm,
    "restore",
    more=_MORE,
    example="vmferry vm restore web01\n"
    "vmferry vm restore web01 --backup 20261130T0200 --site target --name web01 --start --connect-networks\n"
    "vmferry vm restore web01 --vault /mnt/vault --url dr-engine.example.com --user admin@internal \\\n"
    "    --ca-fingerprint SHA256 --cluster Default --storage-domain storage-dr",
)
@vm_argument
@click.option("--backup", metavar="ID", default="latest", show_default=True, help="Id, how its time begins, or latest.")
@click.option("--name", "new_name", help="What the restored VM is called; by default VM and the policy's suffix.")
@click.option("--cluster", help="Cluster it is made in.")
@click.option("--storage-domain", help="Storage domain its disks go to.")
@click.option("--start/--no-start", default=None, help="Start it, and wait until it is up.")
@click.option("--connect-networks/--no-connect-networks", default=None, help="Plug its network cards in.")
@click.option("--replace-existing/--no-replace-existing", default=None, help="Take the place of a VM of that name.")
@click.option("--roll-back", is_flag=True, help="When it fails or is stopped, remove what it made and is not proven.")
@rate_option
@wait_option
@access_options
def restore_command(out: Output, name: str, access: Access, wait_s: float, rate: str | None, **given: Any) -> None:
    """Restore a VM from the vault at a site, by default the policy's target; each disk is proven by reading it back."""
    from vmferry.cli.meters import DiskBars
    from vmferry.operations.tracing import newest

    policy = access.policy()
    settled = find_vm_policy(policy, name, None)
    rule = lay_over(settled.restore, given)
    site, vault = access.choose(policy, rule.site), access.vault(policy)
    rule = dataclasses.replace(rule, site=site.name)
    backup = newest(vault, settled.name, given["backup"]).id
    bars = DiskBars(("upload", "read back"), throttle=make_throttle(rate))
    StopSignal(bars.cancel, says=STOPPING)
    order = Order(settled.name, backup, given["new_name"], rule, given["roll_back"])
    with access.open(site) as target, bars:
        work = lambda: _restore(out, target, site, vault, order, bars)  # noqa: E731
        done = patiently(out, wait_s, bars.cancel, work)
    out.result(done, restored_text(done))


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """What is to be restored, and how."""

    vm: str
    backup: str
    name: str | None
    rule: RestoreRule
    roll_back: bool


def lay_over(rule: RestoreRule, given: dict[str, Any]) -> RestoreRule:
    """Lay what was typed over the policy's rule."""
    return dataclasses.replace(rule, **{name: given[name] for name in _SAID if given.get(name) is not None})


def _restore(out: Output, target: Target, site: Site, vault: Vault, order: Order, bars: DiskBars) -> dict[str, Any]:
    from vmferry.cli.record import recorded
    from vmferry.operations import restore_vm

    means = {"vault": str(vault.path), "backup": order.backup, "name": order.name}
    rule = dataclasses.asdict(order.rule)
    with recorded("restore", order.vm, site.name, rule=rule, **means) as (record, goes_on):
        tell_begin(out, record, goes_on=goes_on)
        try:
            done = restore_vm(
                target, vault, order.vm, order.rule, record.run, backup=order.backup, name=order.name,
                job_dir=record.directory / "job", pace=bars.pace, keep_on_failure=not order.roll_back,
            )  # fmt: skip
        except EngineError as error:
            raise explained(target, site, record, error, rolled_back=order.roll_back) from error
        record.forget()
    return done


def explained(target: Target, site: Site, record: Record, error: EngineError, *, rolled_back: bool) -> EngineError:
    """Say what is left of a restore that did not end, and forget it when nothing is."""
    from vmferry.platforms.errors import SiteAway

    if not any((record.directory / "job").glob("*")):
        record.forget()
        return error
    if isinstance(error, SiteAway):
        return error
    left = _count_left(target, record)
    if left == 0 or rolled_back:
        # Its journals are of disks that are gone.
        record.forget()
    if not isinstance(error, Cancelled):
        return error
    if left == 0:
        return Cancelled("stopped; nothing of it is left", fix="the same command begins anew")
    goes_on = "begins anew" if rolled_back else "goes on where it stopped"
    fix = f"the same command {goes_on}; vmferry site sweep --site {site.name} gives back what may go"
    return Cancelled(f"stopped; {left} things that it made are at site {site.name}", fix=fix)


def _count_left(target: Target, record: Record) -> int:
    from vmferry.platforms.contract import Leases
    from vmferry.platforms.runs import RunId, is_tag_of

    leases = target.leases() if isinstance(target, Leases) else ()
    return sum(1 for one in leases if is_tag_of(RunId(one.owner).tag(), record.run))


def restored_text(done: dict[str, Any]) -> list[str]:
    """Say what was made, and that it is proven."""
    lines = [
        f"{done['vm']} at {done['site']} is backup {done['backup']} ({done['status']})",
        f"  id     {done['vm_id']}",
    ]
    lines += [f"  {disk}: read back, root equal: {root[:16]}…" for disk, root in sorted(done["roots"].items())]
    return [*lines, f"  the old VM is kept as {done['replaced']}"] if done["replaced"] else lines
