# SPDX-License-Identifier: Apache-2.0
"""The whole policy file: the ancestor's keys and ours."""

from datetime import time
from typing import Annotated

from pydantic import Field

from vmferry.policy.models.base import Model, Name, TimeOfDay, Url, Zone
from vmferry.policy.models.migrations import Migration
from vmferry.policy.models.sites import Fingerprint, Limits, Notification, Secret, Site
from vmferry.policy.models.transfers import BucketMigration, ImportRule
from vmferry.policy.models.vm import RestoreSettings, VmEntry, VmSettings

SiteName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")]
"""Letters, digits, - and _: it becomes part of file names, pools and connection ids."""


class BackupSettings(Model):
    """What holds for all backups."""

    incremental_enabled: bool = True
    """False: all backups of all VMs are full."""
    max_incremental_chain_length: int = Field(default=10, ge=0, le=1000)
    """So many incrementals, then a full one."""
    force_full_backup_days: int = Field(default=7, ge=1, le=3660)
    """A full one when the last is this old."""
    default_backup_time: TimeOfDay = time(2, 0)


class Render(Model):
    """How DAG files are written."""

    shard_size: int = Field(default=100, ge=1, le=500)
    """VMs in one file; 1 gives each VM its own file."""
    verify_every_days: int = Field(default=30, ge=1, le=3660)
    """Each backup is read and checked again this often."""


class Policy(Model):
    """``variables.json``: what should be backed up, restored, migrated and imported, and how."""

    schema_: str | None = Field(default=None, alias="$schema")
    """Where an editor finds this schema."""

    source_ovirt_url: Url | None = None
    source_ovirt_user: Name | None = None
    source_ovirt_password: Secret | None = None
    source_ovirt_cert_path: Name | None = None
    target_ovirt_url: Url | None = None
    target_ovirt_user: Name | None = None
    target_ovirt_password: Secret | None = None
    target_ovirt_cert_path: Name | None = None
    source_ovirt_ca_fingerprint: Fingerprint | None = None
    target_ovirt_ca_fingerprint: Fingerprint | None = None
    backup_directory: Name = "/backup"
    """The vault."""
    checkpoints_file: Name | None = None
    """Accepted, but not read: each backup says itself which checkpoint it has."""
    timezone: Zone = "UTC"
    """Time zone of all times that have no own."""
    backup_settings: BackupSettings = BackupSettings()
    restore_settings: RestoreSettings = RestoreSettings()
    defaults: VmSettings = VmSettings()
    """What holds for every VM unless its site or an entry of `vms_config` says otherwise."""
    vms_config: dict[Name, VmEntry] = Field(default_factory=dict)
    """A VM's name, a pattern of names ("web-*") or a tag ("tag:gold") → what holds for it."""
    sites: dict[SiteName, Site] = Field(default_factory=dict)
    limits: Limits = Limits()
    notifications: list[Notification] = Field(default_factory=list)
    render: Render = Render()
    migrations: dict[SiteName, Migration] = Field(default_factory=dict)
    imports: dict[SiteName, ImportRule] = Field(default_factory=dict)
    bucket_migrations: dict[SiteName, BucketMigration] = Field(default_factory=dict)
