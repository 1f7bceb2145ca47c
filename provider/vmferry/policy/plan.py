# SPDX-License-Identifier: Apache-2.0
"""What a policy would do in the next days: which backups run, full or incremental, and what retention would keep."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from vmferry.policy.errors import BadValue
from vmferry.policy.fulls import ChainState, why_full
from vmferry.policy.vm import Retention, VmPolicy

MAX_DAYS = 366


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup: one that is in the vault, or one that would be."""

    at: datetime
    full: bool


Keep = Callable[[Sequence[Backup], Retention, datetime], Collection[datetime]]
"""Which of these backups, oldest first, a retention keeps at that moment, by their `at`. The vault has the real one."""


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One backup that would run."""

    at: datetime
    full: bool
    reason: str
    """Why it is full; empty for an incremental one."""
    outside_window: bool
    """It is due outside of the VM's backup window and would wait for it."""


@dataclass(frozen=True, slots=True)
class VmPlan:
    """What would happen to one VM."""

    vm: VmPolicy
    runs: tuple[PlannedRun, ...]
    kept: tuple[Backup, ...]
    """What is in the vault at the end."""
    deleted: tuple[Backup, ...]
    """What retention would have deleted by then (the vault folds rather than break a chain)."""

    def to_json(self) -> dict[str, Any]:
        """Give plain JSON values, times in the VM's time zone."""
        zone = ZoneInfo(self.vm.schedule.timezone)
        return {
            "vm": self.vm.name,
            "site": self.vm.site,
            "dag_id": self.vm.dag_id,
            "schedule": self.vm.schedule.describe(),
            "runs": [
                {
                    "at": one.at.astimezone(zone).isoformat(),
                    "type": _type(one.full),
                    "reason": one.reason,
                    "outside_window": one.outside_window,
                }
                for one in self.runs
            ],
            "kept": [{"at": one.at.astimezone(zone).isoformat(), "type": _type(one.full)} for one in self.kept],
            "deleted": [{"at": one.at.astimezone(zone).isoformat(), "type": _type(one.full)} for one in self.deleted],
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """What would happen from `start` to `end`."""

    start: datetime
    end: datetime
    vms: tuple[VmPlan, ...]

    def runs(self) -> list[tuple[VmPolicy, PlannedRun]]:
        """Give all runs in the order of time."""
        every = [(one.vm, run) for one in self.vms for run in one.runs]
        return sorted(every, key=lambda pair: (pair[1].at, pair[0].site, pair[0].name))

    def to_json(self) -> dict[str, Any]:
        """Give plain JSON values."""
        return {
            "from": self.start.isoformat(),
            "to": self.end.isoformat(),
            "vms": [one.to_json() for one in self.vms],
        }


def plan(
    vms: Sequence[VmPolicy],
    days: int,
    now: datetime,
    *,
    keep: Keep,
    history: Mapping[str, Sequence[Backup]] | None = None,
) -> Plan:
    """Work out what would happen in the next days. `history`: DAG id → the backups that are in the vault now.

    Retention is applied after each run, as the real thing does; a run is taken to succeed.
    """
    if not 1 <= days <= MAX_DAYS:
        raise BadValue(f"{days} days cannot be planned", fix=f"use 1 to {MAX_DAYS}")
    end = now + timedelta(days=days)
    past = history or {}
    return Plan(now, end, tuple(_plan_vm(vm, now, end, keep, past.get(vm.dag_id, ())) for vm in vms))


def _plan_vm(vm: VmPolicy, now: datetime, end: datetime, keep: Keep, past: Sequence[Backup]) -> VmPlan:
    backups = {one.at: one for one in sorted(past, key=lambda one: one.at)}
    runs: list[PlannedRun] = []
    deleted: list[Backup] = []
    chain = _chain_of(list(backups.values()))
    for at in vm.schedule.between(now, end):
        run = _plan_run(vm, at, chain)
        chain = ChainState(at, 0) if run.full else ChainState(chain.last_full, chain.incrementals + 1)
        runs.append(run)
        backups[at] = Backup(at, run.full)
        kept = set(keep(list(backups.values()), vm.retention, at))
        deleted += [one for moment, one in backups.items() if moment not in kept]
        backups = {moment: one for moment, one in backups.items() if moment in kept}
    return VmPlan(vm, tuple(runs), tuple(backups.values()), tuple(deleted))


def _plan_run(vm: VmPolicy, at: datetime, chain: ChainState) -> PlannedRun:
    reason = why_full(vm.full, at, chain, vm.schedule.timezone)
    return PlannedRun(at, reason is not None, reason or "", not vm.in_window(at))


def _chain_of(backups: Sequence[Backup]) -> ChainState:
    fulls = [one.at for one in backups if one.full]
    if not fulls:
        return ChainState()
    return ChainState(fulls[-1], sum(1 for one in backups if one.at > fulls[-1]))


def _type(full: bool) -> str:
    return "full" if full else "incremental"
