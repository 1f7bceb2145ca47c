# SPDX-License-Identifier: Apache-2.0
"""What can be said about a VM: in ``vms_config`` for one or for a pattern of them, in ``defaults`` for all."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from vmferry.policy.errors import BadValue
from vmferry.policy.models.base import Bits, Count, Duration, Model, Name, Rate, TimeOfDay
from vmferry.policy.models.schedule import ScheduleEntry
from vmferry.policy.values import parse_month_day, parse_weekday


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _parse_full_day(value: object) -> int | str:
    """Read a weekday (kept as its number 0 to 6) or, as ``day 15``, a day of the month."""
    if isinstance(value, int) or (isinstance(value, str) and value.strip().lstrip("-").isdigit()):
        return f"day {parse_month_day(value)}"
    return parse_weekday(value)


DiskInterface = Annotated[Literal["virtio", "virtio_scsi", "sata", "ide", "spapr_vscsi"], BeforeValidator(_lower)]
"""How a disk is attached; upper case is fine."""

FullDay = Annotated[
    int | str,
    BeforeValidator(_parse_full_day),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["sunday", 1]}),
]
"""When a full backup is due: a weekday, or a day of the month."""


class BackupType(Model):
    """Full or incremental."""

    incremental_enabled: bool | None = None
    """False: every backup is full."""
    full_backup_frequency: (
        Annotated[Literal["always", "daily", "weekly", "monthly", "never"], BeforeValidator(_lower)] | None
    ) = None
    """How often a full one; "never" leaves it to `max_incremental_chain_length` and `force_full_backup_days`."""
    full_backup_day: FullDay | None = None
    """For weekly a weekday, for monthly a day of the month."""
    max_incremental_chain_length: int | None = Field(default=None, ge=0, le=1000)
    force_full_backup_days: int | None = Field(default=None, ge=1, le=3660)


class Retention(Model):
    """How many backups to keep, and for how long."""

    keep_daily: Count | None = None
    keep_weekly: Count | None = None
    keep_monthly: Count | None = None
    max_backup_age_days: int | None = Field(default=None, ge=1, le=36_600)


class RestoreSettings(Model):
    """What a restored VM should look like."""

    site: Name | None = None
    """Where to restore to; the target site when not given."""
    target_cluster_name: Name | None = None
    target_storage_domain_name: Name | None = None
    disk_interface: DiskInterface | None = None
    timeout_minutes: int | None = Field(default=None, ge=1, le=100_000)
    auto_start_restored_vm: bool | None = None
    vm_name_suffix: str | None = Field(default=None, max_length=64)
    replace_existing_vm: bool | None = None
    backup_old_vm: bool | None = None
    """Keep the VM that is replaced, under another name."""
    networks: dict[str, str | None] | None = None
    """Network at the source → network at the target; "*" for all others; null leaves the card without one."""
    connect_networks: bool | None = None
    """Plug the network cards in; they are left unplugged when not asked."""


class Disks(Model):
    """Which disks."""

    exclude: list[Name] = Field(default_factory=list)
    """Disks left out, by alias or id; patterns such as "*_swap" work. Reported with every backup."""


class Window(Model):
    """A part of the day; it may run over midnight."""

    start: TimeOfDay
    end: TimeOfDay

    @model_validator(mode="after")
    def _has_length(self) -> Self:
        if self.start == self.end:
            raise BadValue("the window has no length", fix="leave the window out for the whole day")
        return self


class VmSettings(Model):
    """What can be said about VMs, whoever they are."""

    description: str | None = None
    enabled: bool | None = None
    """False: no backups (for a pattern: of none of these VMs)."""
    site: Name | None = None
    schedule: ScheduleEntry | None = None
    backup_type: BackupType | None = None
    retention: Retention | None = None
    auto_restore: bool | None = None
    """Restore each new backup at the target site."""
    restore: RestoreSettings | None = None
    """Exceptions from `restore_settings`."""
    disks: Disks | None = None
    rpo: Duration | None = None
    """How old the newest backup may become before somebody is told."""
    backup_window: Window | None = None
    """Backups start inside it only."""
    max_rate: Rate | None = None
    """Bytes per second for one VM's backup."""
    consistency: Literal["crash", "filesystem"] | None = None
    """"filesystem": freeze the guest's file systems through its agent; the backup says what it became."""
    max_disks_at_once: int | None = Field(default=None, ge=1, le=64)
    pool: Name | None = None
    queue: Name | None = None
    executor: Name | None = None
    retries: int | None = Field(default=None, ge=0, le=100)
    retry_delay_minutes: int | None = Field(default=None, ge=0, le=10_000)


class VmEntry(VmSettings):
    """One VM, or a pattern of VMs."""

    name: Name | None = None
    """The VM's name, when the key is another (two sites may have VMs of one name)."""
    dag_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.~:+-]{0,199}$")] | None = None
    """The id of its DAG, instead of the one made from the key."""
    backup_policy: Bits | None = None
    """The oldest form of a schedule: a 7-bit pattern, at `default_backup_time`."""
    retention_days: int | None = Field(default=None, ge=1, le=36_600)
    """The oldest form of retention: every backup this many days."""

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        for old, new in (("backup_policy", "schedule"), ("retention_days", "retention")):
            if getattr(self, old) is not None and getattr(self, new) is not None:
                raise BadValue(f"both {old!r} and {new!r} are given", fix=f"keep {new!r}")
        return self
