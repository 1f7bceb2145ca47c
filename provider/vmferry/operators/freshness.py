# SPDX-License-Identifier: Apache-2.0
"""Tells of VMs whose newest backup is older than their RPO, whatever the reason: a deadline of Airflow's is only looked
at when a run is made, so it says nothing of a DAG that is paused, or whose schedule never fires.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from vmferry.engine.errors import EngineError
from vmferry.hooks.settings import policy_file
from vmferry.notifications.notice import NoticeNotifier
from vmferry.operators.policy import list_inventory, read_policy

if TYPE_CHECKING:
    from vmferry.operations.freshness import Late
    from vmferry.policy.models.policy import Policy
    from vmferry.policy.vm import VmPolicy

_REPEAT_AFTER_S = 24 * 3600


class CheckFreshnessOperator(BaseOperator):
    """Looks at every VM with an RPO and tells those who want ``rpo_missed``; again after a day, or as they say."""

    def execute(self, context: Any) -> list[dict[str, Any]]:
        """Look and tell; changes nothing."""
        from vmferry.operations import list_late
        from vmferry.vault import open_vault

        policy = read_policy()
        known_since = datetime.fromtimestamp(policy_file().stat().st_mtime, UTC)
        vms = {vm.dag_id: vm for vm in self._resolve(policy)}
        vault = open_vault(policy.backup_directory)
        late = list(list_late(vault, vms.values(), datetime.now(UTC), known_since=known_since))
        failures = [failure for one in late if (failure := self._tell(one, vms[one.dag_id], context))]
        if failures:
            raise ConnectionError("; ".join(failures))
        return [one.to_json() for one in late]

    def _resolve(self, policy: Policy) -> tuple[VmPolicy, ...]:
        from vmferry.policy.resolve import resolve

        try:
            return tuple(resolve(policy, tuple(list_inventory(policy))))
        except EngineError as error:
            self.log.warning("VMs of patterns are not looked at: %s", error)
            return tuple(resolve(policy))

    def _tell(self, late: Late, vm: VmPolicy, context: Any) -> str:
        """Tell of one; give why that failed."""
        message = describe(late)
        self.log.warning("%s", message)
        notices = [
            {"type": one.type, "connection": one.connection, "to": list(one.to),
             "repeat_after_s": one.repeat_after_s or _REPEAT_AFTER_S}
            for one in vm.notices if "rpo_missed" in one.events
        ]  # fmt: skip
        try:
            NoticeNotifier(event="rpo_missed", subject=late.dag_id, message=message, notices=notices).notify(context)
        except (OSError, EngineError) as error:
            return str(error)
        return ""


def describe(late: Late) -> str:
    """Say it in one line."""
    what = f"its newest backup, {late.newest}, is older than" if late.newest else "it has had no backup for"
    return f"VM {late.vm} at {late.site}: {what} its RPO of {late.rpo_s / 3600:g} h"
