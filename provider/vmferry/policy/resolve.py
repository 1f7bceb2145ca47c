# SPDX-License-Identifier: Apache-2.0
"""Settles what holds for each VM.

From weak to strong: what is built in, ``backup_settings`` and ``restore_settings``, ``defaults``, the site's
``defaults``, tags in the order of the file, name patterns with more plain letters over those with fewer (of equal ones
the later in the file), the VM's own entry. A schedule is taken whole; of the other objects each key for itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmferry.policy import patterns
from vmferry.policy.errors import UnknownVm
from vmferry.policy.names import assign_dag_ids
from vmferry.policy.settle import Ground, build_vm, lay_ground, merge_settings
from vmferry.policy.vm import VmFacts, VmPolicy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vmferry.policy.models.policy import Policy
    from vmferry.policy.models.vm import VmSettings


@dataclass(frozen=True, slots=True)
class Candidate:
    """A VM that the policy may cover."""

    facts: VmFacts
    entry: str | None
    """Its own key of ``vms_config``, if it has one."""
    patterns: tuple[str, ...]
    """The patterns that take it, the weakest first."""

    @property
    def label(self) -> str:
        """Give what its DAG id is made from."""
        return self.entry if self.entry is not None else self.facts.name


def resolve(policy: Policy, inventory: Iterable[VmFacts] = ()) -> tuple[VmPolicy, ...]:
    """Give the enabled VMs: those with an entry, and those of the inventory that a pattern takes; by site and name."""
    ground = lay_ground(policy)
    candidates = list_candidates(policy, inventory, ground)
    ids = assign_dag_ids(sorted({one.label for one in candidates}))
    made = [_settle(ground, one, ids[one.label]) for one in candidates]
    return tuple(sorted((one for one in made if one is not None), key=lambda vm: (vm.site, vm.name, vm.dag_id)))


def resolve_one(policy: Policy, name: str, inventory: Iterable[VmFacts] = ()) -> VmPolicy:
    """Give one enabled VM by its name, its key or its DAG id."""
    for vm in resolve(policy, inventory):
        if name in {vm.name, vm.key, vm.dag_id}:
            return vm
    fix = 'vms_config needs an entry or a pattern for it that has no "enabled": false'
    raise UnknownVm(f"no enabled entry or pattern covers the VM {name!r}", fix=fix)


def settle_named(policy: Policy, name: str, site: str | None = None) -> VmPolicy:
    """Give what holds for a VM that a person names: by its entry or pattern, else what holds for all.

    So a VM can be brought back that the policy has long forgotten, or has switched off.
    """
    ground = lay_ground(policy)
    facts = VmFacts(name, site or ground.default_site)
    for vm in resolve(policy, (facts,)):
        if name in {vm.name, vm.key, vm.dag_id} and site in {None, vm.site}:
            return vm
    layers = [policy.defaults, *ground.site_defaults(facts.site)]
    return build_vm(ground, facts, dag_id="", key=name, said=merge_settings(layers))


def settle_key(ground: Ground, key: str) -> VmPolicy | None:
    """Settle what one key of ``vms_config`` means; a pattern as if some VM had only this pattern. None if disabled."""
    entry = ground.policy.vms_config[key]
    facts = VmFacts(entry.name or key, entry.site or ground.default_site)
    if patterns.is_pattern(key):
        return _settle(ground, Candidate(facts, None, (key,)), "")
    return _settle(ground, Candidate(facts, key, _matching_patterns(ground, facts)), "")


def list_candidates(policy: Policy, inventory: Iterable[VmFacts], ground: Ground) -> list[Candidate]:
    """List the VMs that have an entry or that a pattern takes, the disabled ones too."""
    listed = {(one.site, one.name): one for one in inventory}
    found: dict[tuple[str, str], Candidate] = {}
    for key, entry in policy.vms_config.items():
        if not patterns.is_pattern(key):
            place = (entry.site or ground.default_site, entry.name or key)
            facts = listed.get(place, VmFacts(place[1], place[0]))
            found[place] = Candidate(facts, key, _matching_patterns(ground, facts))
    for place, facts in listed.items():
        keys = _matching_patterns(ground, facts)
        if place not in found and keys:
            found[place] = Candidate(facts, None, keys)
    return list(found.values())


def _matching_patterns(ground: Ground, facts: VmFacts) -> tuple[str, ...]:
    return tuple(
        key
        for key, site in ground.patterns  # sorted: the weakest first
        if site in {None, facts.site} and patterns.matches(key, facts.name, facts.tags)
    )


def _settle(ground: Ground, one: Candidate, dag_id: str) -> VmPolicy | None:
    config = ground.policy.vms_config
    own = config[one.entry] if one.entry is not None else None
    layers: list[VmSettings] = [ground.policy.defaults, *ground.site_defaults(one.facts.site)]
    layers += [config[key] for key in one.patterns]
    layers += [own] if own is not None else []
    said = merge_settings(layers)
    if said.get("enabled") is False:
        return None
    key = one.entry if one.entry is not None else one.patterns[-1]
    return build_vm(ground, one.facts, dag_id=(own.dag_id if own else None) or dag_id, key=key, said=said)
