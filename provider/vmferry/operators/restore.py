# SPDX-License-Identifier: Apache-2.0
"""Restores as operators: in one task for what follows a backup, in steps for what a person starts.

`owner_of` makes a retry find what the try before made at the target.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from airflow.sdk.exceptions import AirflowSkipException

from vmferry.hooks.sites import SiteRef, console_url, open_site
from vmferry.links.engine import EngineLink
from vmferry.links.vault import VaultLink, backups_page
from vmferry.operators.bound import BoundOperator
from vmferry.operators.owner import owner_of
from vmferry.operators.progress import KEY, telling
from vmferry.policy.vm import RestoreRule


class RestoreOperator(BoundOperator):
    """Base of what restores one VM.

    :param site: Name, type and connection of the target.
    :param vault: Directory of the backups.
    :param vm: The VM's name in the vault.
    :param rule: `RestoreRule` as JSON.
    :param backup: ``latest``, an id, or the beginning of its time.
    """

    template_fields: Sequence[str] = ("site", "vault", "vm", "rule", "backup")
    operator_extra_links = (EngineLink(), VaultLink())

    def __init__(self, *, site: Any, vault: str, vm: str, rule: Any, backup: str = "latest", **given: Any) -> None:
        super().__init__(**given)
        self.site: SiteRef = site
        self.vault = vault
        self.vm = vm
        self.rule = rule
        self.backup = backup
        self.console_url = ""

    @property
    def vault_page(self) -> str:
        """Where a person finds the VM's backups."""
        return backups_page(self.vm)

    def open_vault(self) -> Any:
        """Give the vault."""
        from vmferry.vault import open_vault

        return open_vault(self.vault)

    def restore_rule(self) -> RestoreRule:
        """Give the rule as a value."""
        return RestoreRule(**self.rule)


class ValidateRestoreEnvironmentOperator(RestoreOperator):
    """Checks log-in, cluster, storage, room, names and the backup, before anything is made.

    A VM that an earlier restore made and that may not be replaced stays: what follows is skipped.
    """

    def execute(self, context: Any) -> dict[str, Any]:
        """Look; change nothing."""
        from vmferry.operations import standing_restore, validate_restore_environment
        from vmferry.platforms.errors import NameTaken

        rule = self.restore_rule()
        with open_site(self.site) as target:
            try:
                return validate_restore_environment(
                    target, self.open_vault(), self.vm, rule, owner_of(context), backup=self.backup
                )
            except NameTaken:
                standing = standing_restore(target, self.vm, rule)
                if standing is None:
                    raise
        name = f"VM {self.vm}{rule.suffix} at {self.site['name']}"
        self.log.warning(
            "%s stays backup %s: replace_existing_vm is not set, so newer ones are kept only", name, standing
        )
        raise AirflowSkipException(f"{name} is backup {standing} and may not be replaced")


class DetectNewBackupsOperator(RestoreOperator):
    """Says which backups are newer than the restored VM at the target; skips what follows when there is none."""

    def execute(self, context: Any) -> dict[str, Any]:
        """Look; change nothing."""
        from vmferry.operations import detect_new_backups

        with open_site(self.site) as target:
            found = detect_new_backups(target, self.open_vault(), self.vm, self.restore_rule())
        if not found["new"]:
            raise AirflowSkipException(f"VM {found['name']} at {self.site['name']} is the newest backup already")
        self.log.info(
            "VM %s: %d backups are newer than %s", found["vm"], len(found["new"]), found["restored"] or "none"
        )
        return found


class RestoreVmOperator(RestoreOperator):
    """Restores a VM in one task: disks, read back and proven, then the VM, then its old one's place.

    :param disks_at_once: How many disks are uploaded side by side.
    """

    def __init__(self, *, disks_at_once: int = 2, **given: Any) -> None:
        super().__init__(**given)
        self.disks_at_once = disks_at_once
        self._cancel = threading.Event()

    def execute(self, context: Any) -> dict[str, Any]:
        """Restore."""
        from vmferry.operations import restore_vm
        from vmferry.vault import Pace

        with ExitStack() as told, open_site(self.site) as target:

            def pace(disk: str) -> Pace:
                label = f"VM {self.vm}, disk {disk}"
                facts = {"vm": self.vm, "disk": disk}
                telling_it = telling(context["task_state_store"], self.log, label, key=f"{KEY}.{disk}", **facts)
                return Pace(progress=told.enter_context(telling_it), cancel=self._cancel)

            made = restore_vm(
                target, self.open_vault(), self.vm, self.restore_rule(), owner_of(context),
                backup=self.backup, pace=pace, disks_at_once=self.disks_at_once,
            )  # fmt: skip
            self.console_url = console_url(self.site, target, made["vm_id"])
        self.log.info("VM %s at %s is backup %s, roots %s", made["vm"], made["site"], made["backup"], made["roots"])
        return made

    def on_kill(self) -> None:
        """Stop uploading; the journal is kept."""
        self._cancel.set()


class StepOperator(BoundOperator):
    """Base of the steps of a restore.

    :param site: Name, type and connection of the target.
    :param plan: What `PlanRestoreOperator` gave.
    """

    template_fields: Sequence[str] = ("site", "plan")
    operator_extra_links = (EngineLink(), VaultLink())

    def __init__(self, *, site: Any, plan: Any, **given: Any) -> None:
        super().__init__(**given)
        self.site = site
        self.plan = plan
        self.console_url = ""

    @property
    def vault_page(self) -> str:
        """Where a person finds the VM's backups; empty as long as there is no plan."""
        return backups_page(self.plan["vm"]) if isinstance(self.plan, Mapping) else ""

    def restore_plan(self) -> Any:
        """Give the plan as a value."""
        from vmferry.operations.values import RestorePlan

        return RestorePlan.from_json(self.plan)


class CreateDisksOperator(StepOperator):
    """Makes the disks, empty, and gives them, to be mapped over."""

    def execute(self, context: Any) -> list[dict[str, Any]]:
        """Make them, or find those of the try before."""
        from vmferry.operations import create_disks

        with open_site(self.site) as target:
            return create_disks(target, self.restore_plan())


class RestoreDiskOperator(StepOperator):
    """Uploads one disk straight from its chain, reads it back and compares the roots.

    :param disk: One of what `CreateDisksOperator` gave.
    """

    template_fields: Sequence[str] = ("site", "plan", "disk")

    def __init__(self, *, disk: Any, **given: Any) -> None:
        super().__init__(**given)
        self.disk = disk
        self._cancel = threading.Event()

    def execute(self, context: Any) -> dict[str, Any]:
        """Upload, then verify."""
        from vmferry.operations import upload_disk, verify_disk
        from vmferry.vault import Pace

        plan, store = self.restore_plan(), context["task_state_store"]
        label = f"VM {plan.vm}, disk {self.disk['name']}"
        facts = {"vm": plan.vm, "disk": self.disk["name"], "backup": plan.backup}
        with open_site(self.site) as target:
            with telling(store, self.log, f"{label}: upload", **facts) as progress:
                upload_disk(target, plan, self.disk, pace=Pace(progress=progress, cancel=self._cancel))
            with telling(store, self.log, f"{label}: verify", **facts) as progress:
                return verify_disk(target, plan, self.disk, pace=Pace(progress=progress, cancel=self._cancel))

    def on_kill(self) -> None:
        """Stop; the journal is kept."""
        self._cancel.set()


class CreateVmOperator(StepOperator):
    """Makes the VM with its proven disks, lets it take the place of the old one, and starts it where that is asked.

    :param disks: What `RestoreDiskOperator` gave, of all disks.
    """

    template_fields: Sequence[str] = ("site", "plan", "disks")

    def __init__(self, *, disks: Any, **given: Any) -> None:
        super().__init__(**given)
        self.disks = disks

    def execute(self, context: Any) -> dict[str, Any]:
        """Make, mark, replace, start."""
        from vmferry.operations import create_vm, finish_restore

        plan = self.restore_plan()
        with open_site(self.site) as target:
            made = finish_restore(target, plan, create_vm(target, plan, list(self.disks))).to_json()
            self.console_url = console_url(self.site, target, made["vm_id"])
        self.log.info("VM %s at %s is backup %s", made["vm"], made["site"], made["backup"])
        for asset in self.outlets:
            context["outlet_events"][asset].extra = made
        return made


class RollBackOperator(StepOperator):
    """Gives back what an unfinished restore made; nothing after a finished one. The teardown of the disks."""

    def execute(self, context: Any) -> dict[str, Any]:
        """Remove what is not proven."""
        from vmferry.operations import roll_back

        with open_site(self.site) as target:
            done = roll_back(target, self.restore_plan())
        for disk in done["proven_disks_kept"]:
            self.log.warning("disk %s is proven and stays at %s; remove it by hand if you do not want it",
                             disk, self.site["name"])  # fmt: skip
        return done


def rule_with(rule: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """Lay what a person said over the policy's rule; what is None was not said."""
    return {**rule, **{name: value for name, value in said.items() if value is not None}}
