# SPDX-License-Identifier: Apache-2.0
"""``vmferry vault prune``."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from vmferry.cli.bar import ProgressBar
from vmferry.cli.output import Output, command, table
from vmferry.cli.vault.group import DiskMeters, StopSignal, directory_argument, pacer, vault, vm_argument
from vmferry.engine.errors import BadInput
from vmferry.engine.units import format_bytes

_LONGEST_HOURS = 24 * 3650

_MORE = """A backup stays when any rule keeps it and it is not older than the greatest age. The newest sound one always
stays, and so does everything a staying backup stands on: as its ancestor, or folded into it (new files are written and
proven before an old one goes). What is deleted waits in a quarantine, from which it can be moved back by hand."""


@command(
    vault,
    "prune",
    more=_MORE,
    example="vmferry vault prune /backup web01 --keep-daily 7 --keep-weekly 4 --keep-monthly 3 --max-age-days 90\n"
    "vmferry vault prune /backup web01 --keep-daily 7 --plan",
)
@directory_argument
@vm_argument
@click.option("--keep-daily", type=int, default=0, help="Keep the newest of each of the last N days with one.")
@click.option("--keep-weekly", type=int, default=0, help="The same for weeks.")
@click.option("--keep-monthly", type=int, default=0, help="The same for months.")
@click.option("--max-age-days", type=int, help="Let go what is older, whatever the other rules say.")
@click.option("--plan", "plan_only", is_flag=True, help="Show what would happen, with bytes; change nothing.")
@click.option("--fold", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True,
              help="What to do with a backup that goes while others stand on it.")  # fmt: skip
@click.option("--quarantine-hours", type=float, default=72, show_default=True, help="How long deleted backups wait.")
@click.option("--now", "at_once", is_flag=True, help="Delete at once, without quarantine.")
def prune_command(out: Output, directory: Path, vm: str, **given: Any) -> None:
    """Let VM's old backups go, by day, week, month and age. Never breaks a chain."""
    from vmferry.vault.layout import open_vault
    from vmferry.vault.pruning import plan_prune, prune
    from vmferry.vault.retention import Folding, Rules

    rules = Rules(
        given["keep_daily"], given["keep_weekly"], given["keep_monthly"], given["max_age_days"], Folding(given["fold"])
    )
    wait = _quarantine(given["quarantine_hours"])
    vault_ = open_vault(directory)
    if given["plan_only"]:
        planned = plan_prune(vault_, vm, rules)
        out.result(planned.to_json(), [*_plan_lines(planned.to_json()), "nothing was changed (--plan)"])
        return
    meters = DiskMeters({vm: None})
    pace = pacer(meters, StopSignal(), rate=None, workers=4)
    with ProgressBar(meters.status, "prune"):
        done = prune(vault_, vm, rules, quarantine=wait, at_once=given["at_once"], pace=pace(vm))
    out.result(done.to_json(), [*_plan_lines(done.to_json()), *_done_lines(done, at_once=given["at_once"])])


def _quarantine(hours: float) -> timedelta:
    if not 0 <= hours <= _LONGEST_HOURS:  # also not-a-number
        raise BadInput(f"--quarantine-hours is {hours:g}", fix=f"give a number from 0 to {_LONGEST_HOURS}")
    return timedelta(hours=hours)


def _plan_lines(plan: dict[str, Any]) -> list[str]:
    rows = [(one["action"], one["id"], format_bytes(one["size_bytes"]), one["reason"]) for one in plan["backups"]]
    lines = table(("ACTION", "BACKUP", "SIZE", "WHY"), rows) if rows else [f"{plan['vm']} has no backups"]
    for one in plan["folds"]:
        onto = f"onto {one['parent']}" if one["parent"] else "as a full backup"
        lines.append(f"fold {len(one['folded'])} into {one['into']}, disk {one['disk']}, {onto}")
    return [
        *lines,
        f"goes: {format_bytes(plan['removed_bytes'])}, is written anew: {format_bytes(plan['writes_bytes'])}",
    ]


def _done_lines(done: Any, *, at_once: bool) -> list[str]:
    where = "deleted" if at_once else "moved to the quarantine"
    lines = [f"{len(done.removed)} backups {where}"]
    return [*lines, f"{len(done.purged)} left the quarantine for good"] if done.purged else lines
