# SPDX-License-Identifier: Apache-2.0
"""Imports of uploaded disk images, and migrations of S3 buckets."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from vmferry.engine.errors import BadInput
from vmferry.engine.units import parse_bytes
from vmferry.policy.errors import BadValue
from vmferry.policy.models.base import Duration, Model, Name, Rate
from vmferry.policy.models.vm import Window

ImageFormat = Literal["qcow2", "vmdk", "vhd", "vhdx", "vdi", "raw", "raw.gz", "raw.xz", "raw.zst"]
"""Disk image formats that can be imported."""


def _check_size(text: str) -> str:
    try:
        parse_bytes(text)
    except BadInput as failure:
        raise BadValue(f"{text!r} is not a size", fix='write it as "50GiB"') from failure
    return text


Size = Annotated[str, AfterValidator(_check_size)]
"""A size such as ``50GiB``."""


class Worker(Model):
    """The machine that writes an imported image."""

    shape: Name | None = None
    ocpus: int | None = Field(default=None, ge=1, le=128)
    memory_gib: int | None = Field(default=None, ge=1, le=2048)
    subnet: Name | None = None
    image: Name | None = None
    """OCID of the image it boots from; the newest Oracle Linux 9 when not given."""
    security_groups: list[Name] = Field(default_factory=list)
    """OCIDs of network security groups; one has to let Airflow in at port 22."""
    preemptible: bool = False


class ImportRule(Model):
    """What becomes of a disk image that is uploaded to a bucket. The object's own metadata may choose within it."""

    description: str | None = None
    enabled: bool = True
    site: Name
    bucket: Name
    namespace: Name | None = None
    prefix: str = ""
    poll_every: Duration | None = None
    """Look for uploads whose event was lost; every 5 minutes when not given."""
    compartment: Name | None = None
    allowed_compartments: list[Name] = Field(default_factory=list)
    """What an object's metadata may ask for besides `compartment`."""
    target: Literal["volume", "boot_volume", "custom_image"] = "volume"
    ad_number: int = Field(default=0, ge=0, le=3)
    """Availability domain, from 1; 0 is any."""
    formats: list[ImageFormat] = Field(default_factory=list)
    """Allowed ones; all when empty."""
    max_size: Size | None = None
    vpus_per_gb: int | None = Field(default=None, ge=0, le=120)
    volume_backup_policy: Name | None = None
    fs_check: Literal["check", "repair", "skip"] = "check"
    keep_object: bool = True
    max_rate: Rate | None = None
    worker: Worker | None = None


class BucketSide(Model):
    """A bucket and how to reach it."""

    connection: Name
    bucket: Name
    prefix: str = ""


class BucketMigration(Model):
    """Objects of one bucket go to another."""

    description: str | None = None
    enabled: bool = True
    source: BucketSide
    target: BucketSide
    include: list[Name] = Field(default_factory=list)
    """Key patterns; all keys when empty."""
    exclude: list[Name] = Field(default_factory=list)
    versions: bool = False
    """Old versions and delete markers too."""
    tags: bool = True
    acl: bool = False
    object_lock: bool = False
    delete_extra: Literal["never", "after_approval"] = "never"
    """Objects that only the target has."""
    verify: Literal["size", "etag", "content"] = "etag"
    lanes: int = Field(default=8, ge=1, le=256)
    max_rate: Rate | None = None
    window: Window | None = None
    repeat_every: Duration | None = None
    """Go on with what changed, until somebody cuts over."""

    @model_validator(mode="after")
    def _differs(self) -> Self:
        same = self.source.connection == self.target.connection and self.source.bucket == self.target.bucket
        if same and self.source.prefix == self.target.prefix:
            raise BadValue("source and target are the same bucket", fix="name another bucket, connection or prefix")
        return self
