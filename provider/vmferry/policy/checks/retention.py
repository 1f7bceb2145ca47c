# SPDX-License-Identifier: Apache-2.0
"""Checks of what is kept, and of when a full backup is due."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmferry.policy import patterns
from vmferry.policy.checks.timing import longest_gap
from vmferry.policy.findings import Finding, Place, error, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmferry.policy.settle import Ground
    from vmferry.policy.vm import VmPolicy

_MOST_KEPT = 2000


def check_retention(ground: Ground, vm: VmPolicy, place: Place) -> Iterator[Finding]:
    """Something is kept, and what should be kept is not too old to be."""
    rule, here = vm.retention, (*place, "retention")
    kept = rule.keep_daily + rule.keep_weekly + rule.keep_monthly
    # Without counts the vault keeps all that is young enough: right for the old retention_days, else hardly meant.
    if kept == 0 and ground.policy.vms_config[str(place[-1])].retention is not None:
        fix = "set keep_daily, keep_weekly or keep_monthly to 1 or more"
        yield error(here, "the retention keeps nothing: each backup would be deleted", fix)
    if kept > _MOST_KEPT:
        yield warning(here, f"up to {kept} backups of one VM are kept", "is this meant?")
    if rule.max_age_days is None:
        return
    gap = longest_gap(vm.schedule)
    if gap is not None and gap.days >= rule.max_age_days:
        message = f"backups are up to {gap.days} days apart but may be only {rule.max_age_days} days old"
        yield error((*here, "max_backup_age_days"), message, "raise it, or run more often")
    spans = {"keep_daily": rule.keep_daily, "keep_weekly": rule.keep_weekly * 7, "keep_monthly": rule.keep_monthly * 28}
    for key, days in spans.items():
        if days > rule.max_age_days:
            message = f"{key} reaches back {days} days, but max_backup_age_days deletes after {rule.max_age_days}"
            yield warning((*here, key), message, "lower it, or raise max_backup_age_days")


def check_fulls(ground: Ground, vm: VmPolicy, place: Place) -> Iterator[Finding]:
    """The day of a full backup fits its frequency."""
    entry = ground.policy.vms_config[str(place[-1])]
    said = entry.backup_type
    here = (*place, "backup_type", "full_backup_day")
    day = said.full_backup_day if said else None
    if vm.full.frequency == "weekly" and isinstance(day, str):
        yield error(here, f"{day!r} is not a weekday, and the frequency is weekly", 'write "sunday"')
    if vm.full.frequency == "monthly" and isinstance(day, int):
        yield error(here, "a weekday is given, and the frequency is monthly", "write a day of the month, such as 1")
    if vm.full.incremental and vm.full.max_chain == 0 and not patterns.is_pattern(str(place[-1])):
        message = "max_incremental_chain_length is 0, so every backup is full"
        yield warning(place, message, 'say "incremental_enabled": false if this is meant')
