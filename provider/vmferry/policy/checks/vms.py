# SPDX-License-Identifier: Apache-2.0
"""Checks of ``vms_config``: who is meant, when backups run, what is kept."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from vmferry.policy import patterns
from vmferry.policy.checks.retention import check_fulls, check_retention
from vmferry.policy.checks.sites import check_site
from vmferry.policy.checks.timing import check_schedule, check_timing
from vmferry.policy.findings import Finding, Place, error, warning
from vmferry.policy.names import assign_dag_ids, identifier
from vmferry.policy.resolve import settle_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmferry.policy.settle import Ground
    from vmferry.policy.vm import VmPolicy


def check_identities(ground: Ground) -> Iterator[Finding]:
    """No VM has two entries, no two entries have one DAG id."""
    vms: dict[tuple[str, str], str] = {}
    for key, entry in ground.policy.vms_config.items():
        if patterns.is_pattern(key):
            yield from _check_pattern_identity(ground, key)
            continue
        vm = (entry.site or ground.default_site, entry.name or key)
        if vms.setdefault(vm, key) != key:
            fix = "make one entry of the two; a cron or hourly schedule can do what two entries did"
            yield error(("vms_config", key), f"the VM {vm[1]!r} has an entry already: {vms[vm]!r}", fix)
    yield from _check_dag_ids(ground)


def _check_dag_ids(ground: Ground) -> Iterator[Finding]:
    entries = {key: one for key, one in ground.policy.vms_config.items() if not patterns.is_pattern(key)}
    made = assign_dag_ids(entries)
    owners: dict[str, str] = {}
    for key, entry in entries.items():
        dag_id = entry.dag_id or made[key]
        if owners.setdefault(dag_id, key) != key:
            message = f"the DAG {dag_id!r} would be that of {owners[dag_id]!r} too"
            yield error(("vms_config", key), message, 'give each its own "dag_id"')
        if entry.dag_id is None and dag_id != f"backup_{identifier(key)}":
            message = f"the DAG is {dag_id!r}, because another VM is backup_{identifier(key)}"
            yield warning(("vms_config", key), message, 'set "dag_id" to choose one')


def _check_pattern_identity(ground: Ground, key: str) -> Iterator[Finding]:
    entry = ground.policy.vms_config[key]
    for name in ("name", "dag_id"):
        if getattr(entry, name) is not None:
            yield error(("vms_config", key, name), f"a pattern has no {name}", "take it away")


def check_patterns(ground: Ground) -> Iterator[Finding]:
    """Of two patterns that are equally exact and take the same VM the later wins: that should be meant."""
    by_rank: defaultdict[tuple[tuple[int, int], str | None], list[str]] = defaultdict(list)
    for key, site in ground.patterns:
        by_rank[(patterns.rank(key), site)].append(key)
    for (rank, _), keys in by_rank.items():
        for number, key in enumerate(keys if rank[0] == 1 else []):
            for earlier in keys[:number]:
                if patterns.overlap(earlier, key):
                    message = f"{key!r} and {earlier!r} can take the same VM and are equally exact"
                    yield warning(("vms_config", key), message, "the later in the file wins; make one more exact")


def check_vms(ground: Ground) -> Iterator[Finding]:
    """Each entry, with all that holds for it, makes sense."""
    if not ground.policy.vms_config:
        yield warning(("vms_config",), "no VM is backed up", 'add VMs, or a pattern such as "*", to vms_config')
    for key in ground.policy.vms_config:
        vm = settle_key(ground, key)
        if vm is not None:
            yield from check_vm(ground, vm, ("vms_config", key))


def check_vm(ground: Ground, vm: VmPolicy, place: Place) -> Iterator[Finding]:
    """One VM's settled policy makes sense."""
    if vm.site:
        yield from check_site(ground, vm.site, (*place, "site"))
    else:
        fix = 'add "site" to the entry or to defaults' if ground.entries else "add source_ovirt_url … or sites"
        yield error(place, "it is not said at which site the VM is", fix)
    yield from _check_restore(ground, vm, place)
    yield from check_schedule(ground.policy.vms_config[place[-1]].schedule, vm, place)  # type: ignore[index]
    yield from check_timing(vm, place)
    yield from check_retention(ground, vm, place)
    yield from check_fulls(ground, vm, place)


def _check_restore(ground: Ground, vm: VmPolicy, place: Place) -> Iterator[Finding]:
    rule = vm.restore
    if rule.site is not None and rule.site != ground.target_site:
        yield from check_site(ground, rule.site, (*place, "restore", "site"))
    if not vm.auto_restore:
        return
    if rule.site is None:
        fix = "add target_ovirt_url …, or restore_settings.site"
        yield error((*place, "auto_restore"), "there is no site to restore to", fix)
    elif rule.site == vm.site and not rule.suffix and not rule.replace_existing:
        fix = "set vm_name_suffix, or replace_existing_vm"
        yield error((*place, "auto_restore"), "the restored VM would have the name of the one it came from", fix)
    elif not rule.replace_existing:
        message = f"only the first backup is restored: then a VM {vm.name + rule.suffix!r} is there, and it stays"
        yield warning((*place, "auto_restore"), message, "set replace_existing_vm to restore the newer ones too")
