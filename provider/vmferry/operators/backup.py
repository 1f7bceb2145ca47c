# SPDX-License-Identifier: Apache-2.0
"""The steps of a VM's backup as operators; the work is `vmferry.operations`.

A retry finds what the try before made: the point and the backup by the run that owns them, the copy by its journal.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk.exceptions import AirflowSkipException

from vmferry.hooks.sites import SiteRef, console_url, open_site
from vmferry.links.engine import EngineLink
from vmferry.links.vault import VaultLink, backups_page
from vmferry.operators.bound import BoundOperator
from vmferry.operators.choice import read_choice
from vmferry.operators.owner import is_dead_for, owner_of
from vmferry.operators.progress import telling
from vmferry.policy.vm import VmPolicy

OPENED = "opened"
"""XCom key of the open backup."""
_FIRST_PAUSE_S = 5.0


class VmOperator(BoundOperator):
    """Base of the steps.

    :param site: Name, type and connection of the VM's site.
    :param policy: `VmPolicy.to_json` of the VM.
    :param vault: Directory of the backups.
    """

    def __init__(self, *, site: SiteRef, policy: Mapping[str, Any], vault: str, **given: Any) -> None:
        super().__init__(**given)
        self.site = dict(site)
        self.policy = dict(policy)
        self.vault = vault

    def vm_policy(self) -> VmPolicy:
        """Give the policy as a value."""
        return VmPolicy.from_json(self.policy)

    def open_vault(self) -> Any:
        """Give the vault."""
        from vmferry.vault import open_vault

        return open_vault(self.vault)


class ValidateEnvironmentOperator(VmOperator):
    """Checks log-in, tools and vault. A scheduled run that could not begin inside its window is skipped."""

    def execute(self, context: Any) -> dict[str, Any]:
        """Look; change nothing."""
        from vmferry.operations import validate_environment

        policy = self.vm_policy()
        if context["dag_run"].run_type == "scheduled" and not policy.in_window(datetime.now(UTC)):
            raise AirflowSkipException(f"VM {policy.name}: outside of its backup window; the next run is scheduled")
        with open_site(self.site) as source:
            return validate_environment(source, self.open_vault(), policy)


class GetVmInfoOperator(VmOperator):
    """Says which disks are going to be backed up, and which not and why."""

    # Only where the VM's address is found out: Airflow stores and checks links with each task of each DAG.
    operator_extra_links = (EngineLink(),)
    console_url = ""

    def execute(self, context: Any) -> dict[str, Any]:
        """Look; change nothing."""
        from vmferry.operations import get_vm_info

        with open_site(self.site) as source:
            info = get_vm_info(source, self.open_vault(), self.vm_policy())
            self.console_url = console_url(self.site, source, info.id)
        for skipped in info.skipped:
            self.log.warning("VM %s: disk %s is not backed up: %s", info.name, skipped.disk, skipped.reason)
        return info.to_json()


class CheckVmLockOperator(VmOperator):
    """Waits, without holding a worker, until nothing and nobody has the VM or a disk of it locked.

    :param wait_s: How long; then the task fails, and is retried as any.
    :param every_s: How often it looks, after some first looks that follow each other sooner.
    """

    def __init__(self, *, wait_s: float = 3600.0, every_s: float = 60.0, **given: Any) -> None:
        super().__init__(**given)
        self.wait_s = wait_s
        self.every_s = every_s

    def execute(self, context: Any) -> dict[str, Any]:
        """Look for the first time."""
        return self.look(context, {"waited_s": 0.0})

    def look(self, context: Any, event: Any = None, waited_s: float = 0.0) -> dict[str, Any]:
        """Look, and come back later while the VM is busy."""
        from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger

        from vmferry.operations import check_vm_lock
        from vmferry.platforms.errors import VmBusy

        try:
            with open_site(self.site) as source:
                return check_vm_lock(source, self.vm_policy(), owner_of(context), is_dead=is_dead_for(context))
        except VmBusy as busy:
            if waited_s >= self.wait_s:
                raise
            pause_s = min(self.every_s, max(_FIRST_PAUSE_S, waited_s))
            self.log.info("%s; looking again in %g s", busy.what, pause_s)
        self.defer(
            trigger=TimeDeltaTrigger(timedelta(seconds=pause_s)),
            method_name="look",
            kwargs={"waited_s": waited_s + pause_s},
        )
        raise AssertionError("defer() does not return")


class OpenPointOperator(VmOperator):
    """Freezes the VM and begins the backup. Gives the names of the disks to copy, to be mapped over.

    The run's parameter ``full`` says ``yes`` or ``no``; empty: as the policy says.
    """

    operator_extra_links = (EngineLink(),)
    console_url = ""

    def execute(self, context: Any) -> list[str]:
        """Open, or find what the try before opened."""
        from vmferry.operations import open_point

        full: bool | None = read_choice(context["params"].get("full"))
        with open_site(self.site) as source:
            opened = open_point(
                source, self.open_vault(), self.vm_policy(), owner_of(context), full=full, is_dead=is_dead_for(context)
            )
            self.console_url = console_url(self.site, source, opened.vm_id)
        kind = f"full: {opened.full_because}" if opened.full_because else "incremental"
        self.log.info("VM %s: backup %s (%s)", opened.vm, opened.backup, kind)
        for note in opened.notes:
            self.log.warning("VM %s: %s", opened.vm, note)
        context["ti"].xcom_push(key=OPENED, value=opened.to_json())
        return [disk.name for disk in opened.disks]


class BackUpDiskOperator(BoundOperator):
    """Copies one disk; goes on where the try before stopped, whatever stopped it.

    It takes no more than it needs: Airflow stores what is given to a mapped task, with each DAG.

    :param site: Name, type and connection of the VM's site.
    :param rates: How fast it may read: `Placement.throttle_control`.
    :param opened: What `OpenPointOperator` handed on under `OPENED`.
    :param disk: The disk's name.
    """

    template_fields: Sequence[str] = ("opened", "disk")

    def __init__(self, *, site: SiteRef, rates: Mapping[str, Any], opened: Any, disk: str, **given: Any) -> None:
        super().__init__(**given)
        self.site = dict(site)
        self.rates = dict(rates)
        self.opened = opened
        self.disk = disk
        self._cancel = threading.Event()

    def execute(self, context: Any) -> dict[str, Any]:
        """Copy."""
        from vmferry.engine.throttle import Throttle, parse_windows
        from vmferry.operations import back_up_disk
        from vmferry.operations.values import OpenBackup
        from vmferry.vault import Pace

        opened = OpenBackup.from_json(self.opened)
        throttle = Throttle(self.rates["bytes_per_s"], windows=parse_windows(self.rates["windows"]))
        label = f"VM {opened.vm}, disk {self.disk}"
        facts = {"vm": opened.vm, "disk": self.disk, "backup": opened.backup}
        with telling(context["task_state_store"], self.log, label, **facts) as progress, open_site(self.site) as source:
            pace = Pace(throttle=throttle, progress=progress, cancel=self._cancel)
            done = back_up_disk(source, opened, self.disk, pace=pace)
        self.log.info("%s: %s, root %s", label, done["method"], done["root"])
        return done

    def on_kill(self) -> None:
        """Stop copying; the journal is kept."""
        self._cancel.set()


class ClosePointOperator(VmOperator):
    """Gives the point back to the platform. The teardown of `OpenPointOperator`."""

    def execute(self, context: Any) -> dict[str, Any]:
        """Close what this run has open on the VM."""
        from vmferry.operations import close_point

        with open_site(self.site) as source:
            return close_point(source, self.vm_policy().name, owner_of(context))


class PublishOperator(VmOperator):
    """Makes the backup exist, and tells it: the event of its asset carries id, roots and sizes.

    :param opened: What `OpenPointOperator` handed on under `OPENED`.
    """

    template_fields: Sequence[str] = ("opened",)
    operator_extra_links = (VaultLink(),)

    def __init__(self, *, opened: Any, **given: Any) -> None:
        super().__init__(**given)
        self.opened = opened

    @property
    def vault_page(self) -> str:
        """Where a person finds the VM's backups."""
        return backups_page(self.policy["name"], self.site["name"])

    def execute(self, context: Any) -> dict[str, Any]:
        """Publish."""
        from vmferry.operations import publish
        from vmferry.operations.values import OpenBackup

        opened = OpenBackup.from_json(self.opened)
        with open_site(self.site) as source:
            summary = publish(opened, source=source)
        path = self.open_vault().vm_dir(opened.vm) / summary["backup"]
        for asset in self.outlets:
            context["outlet_events"][asset].extra = describe_event(summary, str(path))
        self.log.info("VM %s: backup %s is published", summary["vm"], summary["backup"])
        return summary


def describe_event(summary: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Say in an asset's event what a reader needs to find and check the backup."""
    names = ("vm", "site", "backup", "mode", "consistency", "written_bytes")
    return {
        **{name: summary[name] for name in names},
        "path": path,
        "roots": {disk["name"]: disk["root"] for disk in summary["disks"]},
    }
