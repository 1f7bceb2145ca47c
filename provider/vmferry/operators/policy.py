# SPDX-License-Identifier: Apache-2.0
"""Operators that read the policy when they run: DAG files themselves never do, since parsing must stay cheap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from vmferry.engine.errors import BadInput
from vmferry.hooks.settings import policy_file, rendered_dags, template_directory
from vmferry.hooks.sites import open_site
from vmferry.links.vault import VaultLink, backups_page
from vmferry.operators.choice import read_choice
from vmferry.operators.owner import owner_of
from vmferry.operators.restore import rule_with

if TYPE_CHECKING:
    from vmferry.policy.models.policy import Policy
    from vmferry.policy.vm import VmFacts


def read_policy() -> Policy:
    """Read and check the policy; raises `InvalidPolicy` with all that is wrong with it."""
    from vmferry.policy.load import load

    return load(policy_file())


class RenderDagsOperator(BaseOperator):
    """Makes the DAG files of the policy's VMs: only what changed is written, files of VMs that are gone go away.

    A policy with errors, or a site that does not answer while a pattern needs its list, changes nothing.
    """

    def execute(self, context: Any) -> dict[str, Any]:
        """Read, ask, render."""
        from vmferry.policy.render import render
        from vmferry.policy.resolve import resolve
        from vmferry.policy.surroundings import template_values

        policy = read_policy()
        vms = resolve(policy, tuple(list_inventory(policy)))
        template, directory = template_directory() / "backup.py.j2", rendered_dags()
        done = render(
            vms, template, directory, shard_size=policy.render.shard_size, values=template_values(policy)
        )  # fmt: skip
        for name in done.put_aside:
            self.log.warning("%s had been edited by hand; it is kept as %s.edited", directory / name, name)
        self.log.info("%d VMs: %d files written, %d removed", len(vms), len(done.written), len(done.removed))
        return {"vms": len(vms), "written": done.written, "removed": done.removed, "unchanged": len(done.unchanged)}


def list_inventory(policy: Policy) -> Iterator[VmFacts]:
    """List the VMs of the sites that patterns are about, with one light call each; of no site without patterns."""
    from vmferry.policy.patterns import is_pattern
    from vmferry.policy.sites import default_site
    from vmferry.policy.surroundings import site_references
    from vmferry.policy.vm import VmFacts

    entries = [entry for key, entry in policy.vms_config.items() if is_pattern(key)]
    references = site_references(policy)
    for site in sorted({name for entry in entries if (name := entry.site or default_site(policy))}):
        with open_site(references[site]) as source:
            for vm in source.list_vms():
                yield VmFacts(vm.name, site, frozenset(vm.tags))


class PlanRestoreOperator(BaseOperator):
    """Decides how a VM is restored, by the policy and what a person asks for; checks it, and makes nothing.

    Hands on ``site`` and ``plan`` under these keys.

    :param vm: The VM's name in the vault.
    :param backup: ``latest``, an id, or the beginning of its time.
    :param site: Where to; the policy's target when empty.
    :param name: What the restored VM is called; its old name and the policy's suffix when empty.
    :param rule: What is said over the policy's `RestoreRule`; what is None is not said.
    :param rule_params: The run's parameters that say more of it; ``yes`` and ``no`` are True and False.
    :param keep_ids: False for a rehearsal: it takes no id that a restore would want.
    """

    template_fields: Sequence[str] = ("vm", "backup", "site", "name", "rule")
    operator_extra_links = (VaultLink(),)

    def __init__(
        self,
        *,
        vm: str,
        backup: str = "latest",
        site: str = "",
        name: str = "",
        rule: Mapping[str, Any] | None = None,
        rule_params: Sequence[str] = (),
        keep_ids: bool = True,
        **given: Any,
    ) -> None:
        super().__init__(**given)
        self.vm = vm
        self.backup = backup
        self.site = site
        self.name = name
        self.rule = dict(rule or {})
        self.rule_params = tuple(rule_params)
        self.keep_ids = keep_ids

    @property
    def vault_page(self) -> str:
        """Where a person finds the VM's backups."""
        return backups_page(self.vm)

    def execute(self, context: Any) -> dict[str, Any]:
        """Plan."""
        import dataclasses

        from vmferry.operations import plan_restore
        from vmferry.policy.surroundings import site_references
        from vmferry.policy.vm import RestoreRule
        from vmferry.vault import open_vault

        policy = read_policy()
        rule = find_restore_rule(policy, self.vm)
        asked = {name: read_choice(context["params"].get(name)) for name in self.rule_params}
        raw = rule_with(dataclasses.asdict(rule), {**self.rule, **asked})
        chosen = self.site or raw["site"] or ""
        references = site_references(policy)
        if chosen not in references:
            known = ", ".join(sorted(references))
            raise BadInput(f"VM {self.vm}: there is no site {chosen!r} to restore to", fix=f"name one of {known}")
        with open_site(references[chosen]) as target:
            plan = plan_restore(
                target, open_vault(policy.backup_directory), self.vm, RestoreRule(**{**raw, "site": chosen}),
                owner_of(context), backup=self.backup or "latest", name=self.name or None,
                keep_ids=self.keep_ids,
            ).to_json()  # fmt: skip
        self.log.info("VM %s: backup %s becomes %r at %s", plan["vm"], plan["backup"], plan["name"], chosen)
        context["ti"].xcom_push(key="site", value=references[chosen])
        context["ti"].xcom_push(key="plan", value=plan)
        return {name: plan[name] for name in ("vm", "backup", "name", "site")}


def find_restore_rule(policy: Policy, vm: str) -> Any:
    """Give what the policy says about restoring this VM; of one that it no longer has, what holds for all."""
    from vmferry.policy.resolve import settle_named

    return settle_named(policy, vm).restore
