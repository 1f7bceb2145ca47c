# SPDX-License-Identifier: Apache-2.0
"""``vmferry policy plan``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from vmferry.cli.output import Output, command, table
from vmferry.cli.policy.group import file_argument, policy
from vmferry.engine.errors import BadInput

if TYPE_CHECKING:
    from vmferry.policy.plan import Backup, Plan
    from vmferry.policy.vm import Retention


@command(
    policy,
    "plan",
    example="vmferry policy plan variables.json --days 14\nvmferry policy plan variables.json --vm web01 --json",
)
@file_argument
@click.option("--days", type=int, default=7, show_default=True, help="How far to look ahead.")
@click.option("--vm", "only", metavar="VM", help="Only this VM.")
@click.option("--from", "start", metavar="TIME", help="Begin at this time (ISO 8601) instead of now.")
def plan_command(out: Output, file: Path, days: int, only: str | None, start: str | None) -> None:
    """Print which backups would run, full or incremental and why, and what retention would keep. Changes nothing.

    VMs that only a pattern covers are not known here: they come from the sites' inventories at rendering.
    """
    from vmferry.policy.load import load
    from vmferry.policy.plan import plan
    from vmferry.policy.resolve import resolve, resolve_one

    loaded = load(file)
    vms = (resolve_one(loaded, only),) if only else resolve(loaded)
    planned = plan(vms, days, _moment(start), keep=keep)
    out.result(planned.to_json(), _text(planned))


def keep(backups: Sequence[Backup], retention: Retention, now: datetime) -> set[datetime]:
    """Ask the vault's own retention which of these backups stay, as ancestors if need be."""
    from vmferry.vault.retention import Action, Candidate, Layer, Rules, plan_retention

    candidates, parent = [], None
    for one in backups:
        name = one.at.isoformat()
        candidates.append(Candidate(name, one.at, 0, {"disk": Layer(None if one.full else parent, 0)}))
        parent = name
    rules = Rules(retention.keep_daily, retention.keep_weekly, retention.keep_monthly, retention.max_age_days)
    stay = plan_retention(candidates, rules, now).ids(Action.KEEP, Action.ANCESTOR)
    return {one.at for one in backups if one.at.isoformat() in stay}


def _moment(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInput(f"--from: {text!r} is no time", fix="write it as 2026-11-30T08:00") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _text(planned: Plan) -> list[str]:
    rows = [
        (
            run.at.astimezone(ZoneInfo(vm.schedule.timezone)).strftime("%a %Y-%m-%d %H:%M %Z"),
            vm.name,
            "full" if run.full else "incremental",
            (run.reason + ("; waits for its window" if run.outside_window else "")).lstrip("; "),
        )
        for vm, run in planned.runs()
    ]
    lines = table(("WHEN", "VM", "TYPE", "WHY"), rows) if rows else ["nothing would run"]
    for one in planned.vms:
        counts = f"{len(one.runs)} runs, {len(one.kept)} backups kept, {len(one.deleted)} let go"
        lines.append(f"{one.vm.name} ({one.vm.schedule.describe()}): {counts}")
    return lines
