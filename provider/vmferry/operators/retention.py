# SPDX-License-Identifier: Apache-2.0
"""Operators over the whole vault: which VMs are due to be verified, and what may go without asking."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from vmferry.operators.bound import BoundOperator
from vmferry.operators.policy import read_policy
from vmferry.operators.vault import make_rules

if TYPE_CHECKING:
    from vmferry.policy.vm import VmPolicy
    from vmferry.vault import Shelf, Vault


class ListDueOperator(BaseOperator):
    """Gives the VMs with a backup that nobody has verified for too long, the longest first, to be mapped over.

    A VM's backups are verified together, so each VM comes up once in ``verify_every_days``; the days share the VMs.
    """

    def execute(self, context: Any) -> list[dict[str, Any]]:
        """Look; change nothing."""
        from vmferry.vault import list_shelves, open_vault

        policy = read_policy()
        vault = open_vault(policy.backup_directory)
        if not vault.path.is_dir():
            return []
        shelves = [shelf for shelf in list_shelves(vault) if shelf.backups]
        limit = datetime.now(UTC) - timedelta(days=policy.render.verify_every_days)
        waiting = sorted((last_verified(shelf), shelf.vm) for shelf in shelves)
        due = [vm for moment, vm in waiting if moment < limit]
        share = math.ceil(len(shelves) / policy.render.verify_every_days) if shelves else 0
        self.log.info("%d of %d VMs are due, %d of them today", len(due), len(shelves), min(share, len(due)))
        return [{"vault": str(vault.path), "vm": vm} for vm in due[:share]]


def last_verified(shelf: Shelf) -> datetime:
    """Say when the longest unverified backup was verified, or made: proving it then was part of making it."""
    from vmferry.vault.names import parse_moment
    from vmferry.vault.records import read_record

    def moment(entry: Any) -> datetime:
        record = read_record(entry)
        return parse_moment(record.when) if record else entry.backup.finished

    return min(moment(entry) for entry in shelf.entries if entry.backup is not None)


class PlanPruneAllOperator(BoundOperator):
    """Plans what retention lets go of all VMs, and which of it a person has to allow.

    Asking is for what would leave a VM without a verified backup. Where that is so, the newest backup that stays is
    verified first: only when it is not sound somebody is asked.
    """

    def execute(self, context: Any) -> dict[str, Any]:
        """Plan; changes nothing but what is known about backups."""
        from vmferry.policy.resolve import resolve
        from vmferry.vault import open_vault

        policy = read_policy()
        vault = open_vault(policy.backup_directory)
        free: list[dict[str, Any]] = []
        asks: list[dict[str, Any]] = []
        questions: list[str] = []
        for vm in resolve(policy):
            for order, is_safe, question in self._plan(vault, vm):
                (free if is_safe else asks).append(order)
                questions += [] if is_safe else [question]
        for one in asks:
            self.log.warning("VM %s: retention would let its last verified backup go", one["vm"])
        context["ti"].xcom_push(key="free", value=free)
        context["ti"].xcom_push(key="asks", value=asks)
        context["ti"].xcom_push(key="questions", value=questions)
        return {"free": free, "asks": asks}

    def _plan(self, vault: Vault, vm: VmPolicy) -> Iterator[tuple[dict[str, Any], bool, str]]:
        import dataclasses

        from vmferry.vault import plan_prune

        if not vault.vm_dir(vm.name).is_dir():
            return
        raw = dataclasses.asdict(vm.retention)
        planned = plan_prune(vault, vm.name, make_rules(raw)).to_json()
        doomed = {one["id"] for one in planned["backups"] if one["action"] in ("delete", "fold")}
        if doomed:
            order = {"vault": str(vault.path), "vm": vm.name, "rules": raw}
            yield order, is_safe(vault, vm.name, doomed), describe_doom(vault, vm.name, doomed)


def describe_doom(vault: Vault, vm: str, doomed: set[str]) -> str:
    """Say in Markdown what would go and what would stay, and how far each was found to be sound."""
    from vmferry.vault import list_shelves
    from vmferry.vault.records import read_record

    def line(entry: Any) -> str:
        record = read_record(entry)
        said = f"{record.verdict}, looked at {record.when}" if record else "never verified since it was made"
        return f"    - {'**goes**' if entry.id in doomed else 'stays'}: `{entry.id}` ({said})"

    (shelf,) = list_shelves(vault, vm)
    return "\n".join([f"- VM **{vm}**", *(line(entry) for entry in shelf.entries if entry.backup is not None)])


class ListOrdersOperator(BaseOperator):
    """Gives one of the two lists of a plan, to be mapped over.

    :param orders: The list.
    """

    template_fields = ("orders",)

    def __init__(self, *, orders: Any, **given: Any) -> None:
        super().__init__(**given)
        self.orders = orders

    def execute(self, context: Any) -> list[dict[str, Any]]:
        """Give it."""
        return list(self.orders or ())


def is_safe(vault: Vault, vm: str, doomed: set[str]) -> bool:
    """Tell whether a verified backup stays; verifies the newest one that stays when none is known."""
    from vmferry.vault import list_shelves, verify
    from vmferry.vault.records import read_record

    (shelf,) = list_shelves(vault, vm)
    records = {entry.id: read_record(entry) for entry in shelf.entries}
    verified = {one for one, record in records.items() if record and record.verdict == "sound"}
    staying = [entry.id for entry in shelf.entries if entry.id not in doomed and entry.backup is not None]
    if not verified & doomed or verified.intersection(staying):
        return True
    return bool(staying) and verify(vault, vm, backup=staying[-1]).sound
