# SPDX-License-Identifier: Apache-2.0
"""Operators for the vault: verify backups, plan what retention lets go, and let it go."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from vmferry.engine.errors import ProofError
from vmferry.operators.bound import BoundOperator
from vmferry.operators.progress import telling


class DamageFound(ProofError):
    """Backups in the vault are damaged, or stand on one that is."""


class VerifyBackupsOperator(BoundOperator):
    """Verifies backups of one VM, or one backup and what it stands on. Fails when anything is wrong; repeats nothing.

    :param vault: Directory of the backups.
    :param vm: Whose backups.
    :param backup: One backup; all of the VM when empty.
    :param modes: Of quick, files, content, structure.
    """

    template_fields: Sequence[str] = ("vault", "vm", "backup", "modes")

    def __init__(
        self,
        *,
        vault: str,
        vm: str,
        backup: str | None = None,
        modes: Sequence[str] = ("quick", "files", "content"),
        **given: Any,
    ) -> None:
        super().__init__(**given)
        self.vault, self.vm, self.backup, self.modes = vault, vm, backup, list(modes)
        self._cancel = threading.Event()

    def execute(self, context: Any) -> dict[str, Any]:
        """Read and compare."""
        from vmferry.vault import VerifyMode, open_vault, verify

        modes = tuple(VerifyMode(mode) for mode in self.modes)
        with telling(context["task_state_store"], self.log, f"{self.vm}: verify", vm=self.vm) as progress:
            report = verify(
                open_vault(self.vault), self.vm, backup=self.backup or None, modes=modes,
                progress=progress, cancel=self._cancel,
                on_backup=lambda one: self.log.info("%s: %s", one.backup, one.verdict.value),
            )  # fmt: skip
        if not report.sound:
            findings = [finding.line() for one in report.backups for finding in one.findings]
            for line in findings:
                self.log.error("%s", line)
            fix = "make a full backup now, and bring the damaged files back from a copy of the vault"
            raise DamageFound(f"VM {self.vm}: {len(findings)} findings, the first is: {findings[0]}", fix=fix)
        return {"vm": self.vm, "backups": [one.backup for one in report.backups], "modes": self.modes}

    def on_kill(self) -> None:
        """Stop reading."""
        self._cancel.set()


class PlanPruneOperator(BoundOperator):
    """Says which backups of a VM retention lets go; changes nothing.

    :param vault: Directory of the backups.
    :param vm: Whose backups.
    :param rules: keep_daily, keep_weekly, keep_monthly, max_age_days.
    """

    template_fields: Sequence[str] = ("vault", "vm", "rules")

    def __init__(self, *, vault: str, vm: str, rules: Mapping[str, Any], **given: Any) -> None:
        super().__init__(**given)
        self.vault, self.vm, self.rules = vault, vm, dict(rules)

    def execute(self, context: Any) -> dict[str, Any]:
        """Plan."""
        from vmferry.vault import open_vault, plan_prune

        planned = plan_prune(open_vault(self.vault), self.vm, make_rules(self.rules)).to_json()
        for one in planned["backups"]:
            self.log.info("%s %s (%s)", one["action"], one["id"], one["reason"])
        return planned


class PruneOperator(PlanPruneOperator):
    """Lets the backups go that retention does not keep. May be cut off anywhere: no chain is ever broken."""

    def execute(self, context: Any) -> dict[str, Any]:
        """Fold what is needed, then move the rest into the quarantine."""
        from vmferry.vault import Pace, open_vault, prune

        with telling(context["task_state_store"], self.log, f"{self.vm}: prune", vm=self.vm) as progress:
            done = prune(open_vault(self.vault), self.vm, make_rules(self.rules), pace=Pace(progress=progress))
        self.log.info("%s: removed %s, folded into %s", self.vm, list(done.removed), list(done.folded_into))
        return done.to_json()


def make_rules(raw: Mapping[str, Any]) -> Any:
    """Make the vault's rules from those of a policy."""
    from vmferry.vault import Rules

    return Rules(
        raw.get("keep_daily", 0), raw.get("keep_weekly", 0), raw.get("keep_monthly", 0), raw.get("max_age_days")
    )
