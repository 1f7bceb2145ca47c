# SPDX-License-Identifier: Apache-2.0
"""Makes one `VmPolicy` of the layers that hold for a VM: merges what they say and fills in what nobody said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vmferry.policy import patterns
from vmferry.policy.schedules import Schedule
from vmferry.policy.sites import Site, default_site, list_sites, raw_sites, target_site
from vmferry.policy.vm import FullRule, Notice, Placement, RestoreRule, Retention, VmFacts, VmPolicy, Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vmferry.policy.models.policy import Policy
    from vmferry.policy.models.sites import Site as SiteEntry
    from vmferry.policy.models.vm import VmSettings

_IDENTITY = frozenset({"name", "dag_id", "site"})
_OLD_FORM = frozenset({"backup_policy", "retention_days"})
_SUNDAY = 6


@dataclass(frozen=True, slots=True)
class Ground:
    """What all VMs of a policy stand on, worked out once."""

    policy: Policy
    sites: dict[str, Site]
    entries: dict[str, SiteEntry]
    default_site: str
    target_site: str | None
    patterns: tuple[tuple[str, str | None], ...]
    """The patterns of ``vms_config``, the weakest first, and the site each is for."""

    def site_defaults(self, site: str) -> list[VmSettings]:
        """Give the layer of a site, if it has one."""
        entry = self.entries.get(site)
        return [entry.defaults] if entry is not None and entry.defaults is not None else []


def lay_ground(policy: Policy) -> Ground:
    """Work out what all VMs stand on."""
    keys = [key for key in policy.vms_config if patterns.is_pattern(key)]
    keys.sort(key=patterns.rank)  # stable: of equal ones the later in the file stays behind, and wins
    return Ground(
        policy=policy,
        sites=list_sites(policy),
        entries=raw_sites(policy),
        default_site=default_site(policy) or "",
        target_site=target_site(policy),
        patterns=tuple((key, policy.vms_config[key].site) for key in keys),
    )


def merge_settings(layers: Iterable[VmSettings]) -> dict[str, Any]:
    """Lay settings over each other, the last one on top."""
    made: dict[str, Any] = {}
    for layer in layers:
        for name, value in _said_by(layer).items():
            below = made.get(name)
            made[name] = {**below, **value} if isinstance(value, dict) and isinstance(below, dict) else value
    return made


def _said_by(layer: VmSettings) -> dict[str, Any]:
    """Give what a layer says, sections as dicts; the oldest keys become a schedule and a retention."""
    said = layer.model_dump(exclude_unset=True, exclude_none=True, exclude={"schedule", *_OLD_FORM, *_IDENTITY})
    if layer.schedule is not None:
        said["schedule"] = layer.schedule
    bits, days = getattr(layer, "backup_policy", None), getattr(layer, "retention_days", None)
    if bits is not None:
        from vmferry.policy.models.schedule import LegacySchedule

        said["schedule"] = LegacySchedule.model_construct(backup_policy=bits)
    if days is not None:
        # No counts: the vault then keeps every backup that is young enough, as the ancestor did.
        said["retention"] = {"keep_daily": 0, "keep_weekly": 0, "keep_monthly": 0, "max_backup_age_days": days}
    return said


def build_vm(ground: Ground, facts: VmFacts, *, dag_id: str, key: str, said: dict[str, Any]) -> VmPolicy:
    """Fill in what nobody said."""
    rpo = said.get("rpo")
    return VmPolicy(
        name=facts.name,
        site=facts.site,
        dag_id=dag_id,
        key=key,
        schedule=_build_schedule(ground, said),
        placement=_build_placement(ground, facts.site, said),
        full=_build_full_rule(ground, said.get("backup_type", {})),
        retention=_build_retention(said.get("retention", {})),
        restore=_build_restore_rule(ground, said.get("restore", {})),
        auto_restore=said.get("auto_restore", False),
        exclude_disks=tuple(said.get("disks", {}).get("exclude", ())),
        rpo_s=round(rpo.total_seconds()) if rpo else None,
        window=_build_window(ground, facts.site, said),
        consistency=said.get("consistency", "filesystem"),
        notices=tuple(_build_notices(ground, facts)),
        description=said.get("description", ""),
    )


def _build_notices(ground: Ground, facts: VmFacts) -> Iterator[Notice]:
    for one in ground.policy.notifications:
        if not one.vms or any(patterns.matches(pattern, facts.name, facts.tags) for pattern in one.vms):
            repeat_s = round(one.repeat_after.total_seconds()) if one.repeat_after else None
            yield Notice(tuple(one.events), one.type, one.connection, tuple(one.to), repeat_s)


def _build_schedule(ground: Ground, said: dict[str, Any]) -> Schedule:
    from vmferry.policy.models.schedule import LegacySchedule

    entry = said.get("schedule") or LegacySchedule()
    made: Schedule = entry.schedule(ground.policy.backup_settings.default_backup_time, ground.policy.timezone)
    return made


def _build_full_rule(ground: Ground, said: dict[str, Any]) -> FullRule:
    settings = ground.policy.backup_settings
    day = said.get("full_backup_day")
    return FullRule(
        incremental=settings.incremental_enabled and said.get("incremental_enabled", True),
        frequency=said.get("full_backup_frequency", "weekly"),
        weekday=day if isinstance(day, int) else _SUNDAY,
        month_day=int(day.removeprefix("day ")) if isinstance(day, str) else 1,
        max_chain=said.get("max_incremental_chain_length", settings.max_incremental_chain_length),
        max_age_days=said.get("force_full_backup_days", settings.force_full_backup_days),
    )


def _build_retention(said: dict[str, Any]) -> Retention:
    plain = Retention()
    return Retention(
        keep_daily=said.get("keep_daily", plain.keep_daily),
        keep_weekly=said.get("keep_weekly", plain.keep_weekly),
        keep_monthly=said.get("keep_monthly", plain.keep_monthly),
        max_age_days=said.get("max_backup_age_days", plain.max_age_days),
    )


_RESTORE_NAMES = {
    "site": "site",
    "target_cluster_name": "cluster",
    "target_storage_domain_name": "storage_domain",
    "disk_interface": "disk_interface",
    "auto_start_restored_vm": "start",
    "vm_name_suffix": "suffix",
    "replace_existing_vm": "replace_existing",
    "backup_old_vm": "keep_old",
    "networks": "networks",
    "connect_networks": "connect_networks",
}


def _build_restore_rule(ground: Ground, said: dict[str, Any]) -> RestoreRule:
    shared = ground.policy.restore_settings.model_dump(exclude_unset=True, exclude_none=True)
    all_said = {"site": ground.target_site, **shared, **said}
    made = {new: all_said[old] for old, new in _RESTORE_NAMES.items() if old in all_said}
    return RestoreRule(**made, timeout_s=all_said.get("timeout_minutes", 60) * 60)


def _build_placement(ground: Ground, site_name: str, said: dict[str, Any]) -> Placement:
    limits, site = ground.policy.limits, ground.sites.get(site_name)
    return Placement(
        pool=said.get("pool") or (site.pool if site else "default_pool"),
        queue=said.get("queue") or (site.queue if site else None),
        executor=said.get("executor") or (site.executor if site else None),
        max_disks_at_once=said.get("max_disks_at_once") or limits.max_disks_at_once or 2,
        max_bytes_per_s=said.get("max_rate") or limits.max_rate or None,
        windows=tuple(
            (f"{one.start:%H:%M}", f"{one.end:%H:%M}", one.rate or None)
            for one in limits.bandwidth
            if one.site in {None, site_name}
        ),
        retries=said.get("retries", 2),
        retry_delay_s=said.get("retry_delay_minutes", 5) * 60,
    )


def _build_window(ground: Ground, site_name: str, said: dict[str, Any]) -> Window | None:
    if "backup_window" in said:
        return Window(**said["backup_window"])
    entry = ground.entries.get(site_name)
    window = entry.backup_window if entry else None
    return Window(window.start, window.end) if window else None
