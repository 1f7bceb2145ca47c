# SPDX-License-Identifier: Apache-2.0
"""Sites, limits and notifications."""

from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, WithJsonSchema, model_validator

from vmferry.policy.errors import BadValue
from vmferry.policy.models.base import Duration, Model, Name, Rate, TimeOfDay, Url
from vmferry.policy.models.vm import VmSettings, Window

SiteType = Literal["ovirt", "vsphere", "workstation", "openstack", "oci"]
"""The platforms there are drivers for."""

Secret = Annotated[SecretStr, WithJsonSchema({"type": "string", "deprecated": True})]
"""A password. It works here, but an Airflow connection is its place."""

Fingerprint = Annotated[str, Field(pattern=r"^(?i:sha-?256:)?([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$")]
"""SHA-256 of a certificate, in hex with or without colons."""


class Site(Model):
    """A platform installation."""

    description: str | None = None
    type: SiteType
    connection: Name | None = None
    """The Airflow connection that has its address and credentials; `vmferry_<site>` when not given."""
    url: Url | None = None
    user: Name | None = None
    password: Secret | None = None
    cert_path: Name | None = None
    """The CA certificate to trust."""
    ca_fingerprint: Fingerprint | None = None
    """The CA certificate must be this one, wherever it came from."""
    pool: Name | None = None
    """Airflow pool of its tasks; `vmferry_<site>` when not given."""
    max_vms_at_once: int | None = Field(default=None, ge=1, le=1000)
    """Slots of the pool."""
    queue: Name | None = None
    executor: Name | None = None
    backup_window: Window | None = None
    max_rate: Rate | None = None
    """Bytes per second for the whole site."""
    defaults: VmSettings | None = None
    """What holds for its VMs unless an entry of `vms_config` says otherwise."""


class RateWindow(Model):
    """A part of the day with its own bandwidth."""

    start: TimeOfDay = Field(alias="from")
    end: TimeOfDay = Field(alias="to")
    rate: Rate
    site: Name | None = None
    """Only this site; all when not given."""

    @model_validator(mode="after")
    def _has_length(self) -> Self:
        if self.start == self.end:
            raise BadValue("the window has no length", fix="use max_rate for the whole day")
        return self


class Limits(Model):
    """How much at once, and how fast."""

    max_rate: Rate | None = None
    """Bytes per second for one job, when no window holds."""
    bandwidth: list[RateWindow] = Field(default_factory=list)
    """The first window that holds now counts."""
    max_vms_at_once: int | None = Field(default=None, ge=1, le=1000)
    max_disks_at_once: int | None = Field(default=None, ge=1, le=64)


class Notification(Model):
    """Who is told about what."""

    events: list[Literal["success", "failure", "rpo_missed", "verify_failed", "approval_needed"]] = Field(min_length=1)
    type: Literal["smtp", "slack", "webhook"]
    connection: Name
    """The Airflow connection that can send it."""
    to: list[Name] = Field(default_factory=list)
    """Addresses or channels."""
    vms: list[Name] = Field(default_factory=list)
    """Only for these names or patterns; for all when empty."""
    repeat_after: Duration | None = None
    """Do not tell the same again before."""
