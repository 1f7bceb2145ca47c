# SPDX-License-Identifier: Apache-2.0
"""``vmferry vm ls``."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from vmferry.cli.access import Access, access_options
from vmferry.cli.output import Output, command, table
from vmferry.cli.vm.group import vm


@command(vm, "ls", example="vmferry vm ls\nvmferry vm ls --site target --json")
@access_options
def ls_command(out: Output, access: Access) -> None:
    """List the VMs of a site, and the newest backup of each. One light call, whatever the size of the site."""
    from vmferry.policy.sites import default_site

    policy = access.policy()
    site = access.choose(policy, default_site(policy))
    newest = _newest_backups(access.vault(policy).path)
    with access.open(site) as source:
        found = sorted(source.list_vms(), key=lambda one: one.name)
    value = [{**dataclasses.asdict(one), "backup": newest.get(one.name)} for one in found]
    rows = [(one.name, one.status, newest.get(one.name, "none"), ", ".join(one.tags)) for one in found]
    out.result(value, table(("VM", "STATUS", "NEWEST BACKUP", "TAGS"), rows) if rows else f"{site.name} has no VM")


def _newest_backups(vault: Path) -> dict[str, str]:
    """Look only at names: a vault of a thousand VMs is listed in a moment."""
    from vmferry.vault.layout import Vault, backup_dirs, is_published
    from vmferry.vault.names import decode_name

    if not vault.is_dir():
        return {}
    found = {path.name: [one.name for one in backup_dirs(path) if is_published(one)] for path in Vault(vault).vm_dirs()}
    return {decode_name(name): backups[-1] for name, backups in found.items() if backups}
