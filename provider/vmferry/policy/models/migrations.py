# SPDX-License-Identifier: Apache-2.0
"""Migrations: which VMs go from one site to another, in which waves, and what becomes of their parts."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from vmferry.policy.errors import BadValue
from vmferry.policy.models.base import Duration, Model, Name, Rate
from vmferry.policy.models.vm import Window
from vmferry.policy.patterns import check_regex

Regex = Annotated[str, AfterValidator(check_regex)]
"""A regular expression."""


class VmFilter(Model):
    """Which VMs: those that one of names, regex and tags takes, less those of exclude."""

    names: list[Name] = Field(default_factory=list)
    """Names; patterns such as "web-*" work."""
    regex: list[Regex] = Field(default_factory=list)
    """Regular expressions that must match the whole name."""
    tags: list[Name] = Field(default_factory=list)
    exclude: list[Name] = Field(default_factory=list)

    @model_validator(mode="after")
    def _takes_something(self) -> Self:
        if not (self.names or self.regex or self.tags):
            raise BadValue("the filter takes no VM", fix='give names, regex or tags; "names": ["*"] takes all')
        return self


class Mappings(Model):
    """What a part of the source becomes at the target; "*" stands for all that is not named."""

    networks: dict[str, str | None] = Field(default_factory=dict)
    subnets: dict[str, str] = Field(default_factory=dict)
    flavors: dict[str, str] = Field(default_factory=dict)
    volume_types: dict[str, str] = Field(default_factory=dict)
    storage_domains: dict[str, str] = Field(default_factory=dict)
    security_groups: dict[str, str] = Field(default_factory=dict)
    availability_zones: dict[str, str] = Field(default_factory=dict)
    keypairs: dict[str, str] = Field(default_factory=dict)
    clusters: dict[str, str] = Field(default_factory=dict)


class MigrationSettings(Model):
    """How VMs are migrated; a wave may have its own."""

    mode: Literal["cold", "warm"] | None = None
    """"warm": copy while the VM runs, then only what changed."""
    max_downtime: Duration | None = None
    """For warm: cut over when the last delta fits in here."""
    approve_cutover: bool | None = None
    boot_disk_copy: bool | None = None
    stop_before_migration: bool | None = None
    keep_ip: bool | None = None
    keep_mac: bool | None = None
    delete_source: Literal["never", "after_approval"] | None = None
    start_after: bool | None = None
    """Start the VM at the target."""
    max_rate: Rate | None = None
    mappings: Mappings | None = None


class Wave(MigrationSettings):
    """VMs that go together; waves go one after the other."""

    name: Name
    vms: VmFilter
    order: list[Name] = Field(default_factory=list)
    """VMs that go first, in this order."""
    max_vms_at_once: int = Field(default=2, ge=1, le=100)
    window: Window | None = None
    """Cutovers happen inside it only."""
    approve: bool = False
    """A person starts the wave."""


class Migration(MigrationSettings):
    """Waves of VMs from one site to another."""

    description: str | None = None
    enabled: bool = True
    source: Name
    target: Name
    conversion_hosts: list[Name] = Field(default_factory=list)
    """Airflow connections of machines where jobs run; found or made by the platform when empty."""
    waves: list[Wave] = Field(min_length=1)

    @model_validator(mode="after")
    def _goes_somewhere(self) -> Self:
        names = [one.name for one in self.waves]
        twice = sorted({one for one in names if names.count(one) > 1})
        if twice:
            raise BadValue(f"the wave {twice[0]!r} is there twice", fix="give each wave its own name")
        return self
