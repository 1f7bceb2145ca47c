# SPDX-License-Identifier: Apache-2.0
"""What is to happen with one VM, when all defaults, patterns and exceptions are settled.

Rendered DAG files hold these values as JSON and make them again with `VmPolicy.from_json`: no pydantic here.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from datetime import datetime, time
from typing import Any, Literal
from zoneinfo import ZoneInfo

from vmferry.policy.schedules import Schedule

Frequency = Literal["always", "daily", "weekly", "monthly", "never"]


@dataclass(frozen=True, slots=True)
class FullRule:
    """When a backup is a full one."""

    incremental: bool = True
    """False: always."""
    frequency: Frequency = "weekly"
    weekday: int = 6
    """For weekly; 0 is Monday."""
    month_day: int = 1
    """For monthly; -1 is the last day."""
    max_chain: int = 10
    """So many incrementals, then a full one."""
    max_age_days: int = 7
    """A full one when the last is this old."""


@dataclass(frozen=True, slots=True)
class Retention:
    """Which backups to keep: the counts as in the vault; without any count all that are young enough."""

    keep_daily: int = 7
    keep_weekly: int = 4
    keep_monthly: int = 3
    max_age_days: int | None = 90


@dataclass(frozen=True, slots=True)
class Window:
    """A part of the day, over midnight when the end is not after the start."""

    start: time
    end: time

    def holds(self, moment: time) -> bool:
        """Tell whether a time of day is inside."""
        if self.start < self.end:
            return self.start <= moment < self.end
        return moment >= self.start or moment < self.end

    @property
    def minutes(self) -> int:
        """Give its length."""
        return (_minute(self.end) - _minute(self.start)) % 1440 or 1440


@dataclass(frozen=True, slots=True)
class RestoreRule:
    """What a restored VM should look like."""

    site: str | None = None
    cluster: str | None = None
    storage_domain: str | None = None
    disk_interface: str | None = None
    """None: as in the backup."""
    timeout_s: int = 3600
    start: bool = False
    suffix: str = "_restored"
    replace_existing: bool = False
    keep_old: bool = True
    """The VM that is replaced stays, under another name."""
    networks: dict[str, str | None] = field(default_factory=dict)
    connect_networks: bool = False


@dataclass(frozen=True, slots=True)
class Placement:
    """Where its tasks run, and how hard they may push."""

    pool: str
    queue: str | None = None
    executor: str | None = None
    max_disks_at_once: int = 2
    max_bytes_per_s: int | None = None
    windows: tuple[tuple[str, str, int | None], ...] = ()
    """Parts of the day with another rate: from, to, bytes per second (None is no limit)."""
    retries: int = 2
    retry_delay_s: int = 300

    def throttle_control(self) -> dict[str, Any]:
        """Give the content of a throttle's control file (see `engine.throttle`)."""
        windows = [{"from": start, "to": end, "bytes_per_s": rate} for start, end, rate in self.windows]
        return {"bytes_per_s": self.max_bytes_per_s, "windows": windows}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Placement:
        """Make a placement from JSON, where tuples are lists."""
        return cls(**{**raw, "windows": tuple((start, end, rate) for start, end, rate in raw["windows"])})


@dataclass(frozen=True, slots=True)
class Notice:
    """Who is told about what."""

    events: tuple[str, ...]
    """Of success, failure, rpo_missed, verify_failed, approval_needed."""
    type: str
    """smtp, slack or webhook."""
    connection: str
    to: tuple[str, ...] = ()
    repeat_after_s: int | None = None

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Notice:
        """Make a notice from JSON, where tuples are lists."""
        return cls(**{**raw, "events": tuple(raw["events"]), "to": tuple(raw["to"])})


@dataclass(frozen=True, slots=True)
class VmPolicy:
    """One VM's backups."""

    name: str
    site: str
    dag_id: str
    key: str
    """The entry or pattern of ``vms_config`` that says most about it."""
    schedule: Schedule
    placement: Placement
    full: FullRule = FullRule()
    retention: Retention = Retention()
    restore: RestoreRule = RestoreRule()
    auto_restore: bool = False
    exclude_disks: tuple[str, ...] = ()
    rpo_s: int | None = None
    window: Window | None = None
    consistency: Literal["crash", "filesystem"] = "filesystem"
    notices: tuple[Notice, ...] = ()
    description: str = ""

    def in_window(self, moment: datetime) -> bool:
        """Tell whether a backup may start at this moment."""
        local = moment.astimezone(ZoneInfo(self.schedule.timezone)).time()
        return self.window is None or self.window.holds(local)

    def to_json(self) -> dict[str, Any]:
        """Give plain JSON values that `from_json` reads."""
        raw = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        for name in ("placement", "full", "retention", "restore"):
            raw[name] = dataclasses.asdict(raw[name])
        raw["placement"]["windows"] = [list(one) for one in self.placement.windows]
        raw["schedule"] = self.schedule.to_json()
        raw["exclude_disks"] = list(self.exclude_disks)
        raw["notices"] = [
            {**dataclasses.asdict(one), "events": list(one.events), "to": list(one.to)} for one in self.notices
        ]
        raw["window"] = [f"{self.window.start:%H:%M}", f"{self.window.end:%H:%M}"] if self.window else None
        return raw

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> VmPolicy:
        """Make a VM's policy from what `to_json` gave."""
        made = dict(raw)
        made["schedule"] = Schedule.from_json(raw["schedule"])
        made["placement"] = Placement.from_json(raw["placement"])
        made["full"] = FullRule(**raw["full"])
        made["retention"] = Retention(**raw["retention"])
        made["restore"] = RestoreRule(**raw["restore"])
        made["exclude_disks"] = tuple(raw["exclude_disks"])
        made["notices"] = tuple(Notice.from_json(one) for one in raw["notices"])
        made["window"] = Window(*map(time.fromisoformat, raw["window"])) if raw["window"] else None
        return cls(**made)


@dataclass(frozen=True, slots=True)
class VmFacts:
    """What a platform's list says about a VM: enough to tell which patterns take it."""

    name: str
    site: str
    tags: frozenset[str] = frozenset()


def _minute(moment: time) -> int:
    return moment.hour * 60 + moment.minute
