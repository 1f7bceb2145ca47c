# SPDX-License-Identifier: Apache-2.0
"""``vmferry vm show``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vmferry.cli.access import Access, access_options, find_vm_policy
from vmferry.cli.output import Output, command
from vmferry.cli.vm.group import vm, vm_argument
from vmferry.engine.units import format_bytes

if TYPE_CHECKING:
    from vmferry.platforms.inventory import Disk, Vm
    from vmferry.vault import Vault


@command(vm, "show", example="vmferry vm show web01\nvmferry vm show web01_restored --site target --json")
@vm_argument
@access_options
def show_command(out: Output, name: str, access: Access) -> None:
    """Show a VM as its site has it: disks, which of them cannot be backed up and why, who is at it, its backups."""
    policy = access.policy()
    settled = find_vm_policy(policy, name, access.site)
    site = access.choose(policy, settled.site)
    with access.open(site) as source:
        found = source.describe(settled.name)
        owners = source.open_owners(found.id)
    backups = _backups(access.vault(policy), settled.name)
    value = {
        "id": found.id, "name": found.name, "site": site.name, "status": found.status, "cluster": found.cluster,
        "disks": [_disk(one) for one in found.disks], "open_runs": list(owners), "backups": backups,
    }  # fmt: skip
    out.result(value, _text(found, site.name, owners, backups))


def _disk(one: Disk) -> dict[str, Any]:
    names = ("id", "alias", "size_bytes", "interface", "bootable", "format", "tracked", "status", "skip")
    return {name: getattr(one, name) for name in names}


def _backups(vault: Vault, vm: str) -> list[str]:
    from vmferry.vault.layout import backup_dirs, is_published

    directory = vault.vm_dir(vm)
    return [one.name for one in backup_dirs(directory) if is_published(one)] if directory.is_dir() else []


def _text(found: Vm, site: str, owners: tuple[str, ...], backups: list[str]) -> list[str]:
    lines = [f"{found.name} at {site}: {found.status}", f"  id       {found.id}", f"  cluster  {found.cluster}"]
    for disk in found.disks:
        note = f"NOT BACKED UP: {disk.skip}" if disk.skip else "changes are tracked" if disk.tracked else "read whole"
        lines.append(f"  disk     {disk.alias}: {format_bytes(disk.size_bytes)}, {disk.format}, {disk.status}, {note}")
    for nic in found.nics:
        lines.append(f"  card     {nic.name}: {nic.mac}, network {nic.network}, {'in' if nic.plugged else 'unplugged'}")
    lines += [f"  held by  {one}" for one in owners]
    last = f", the newest is {backups[-1]}" if backups else ""
    return [*lines, f"  backups  {len(backups)}{last}"]
