# SPDX-License-Identifier: Apache-2.0
"""What one import is to do: the policy's rule and the object's metadata, settled before anything is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vmferry.engine.errors import BadInput, NotADiskImage, RefusedImage
from vmferry.engine.images.inspect import promised_formats
from vmferry.engine.units import format_bytes
from vmferry.operations.disk_import.wishes import TARGETS, Wishes, read_wishes
from vmferry.operations.values import Carried
from vmferry.platforms.errors import NotSupported
from vmferry.platforms.oci import OciSite
from vmferry.platforms.oci.objects import ObjectRef
from vmferry.policy.imports import ImportPolicy

WRITING_VPUS = 20
"""Of a volume while it is written: the ancestor's figure."""
_POLICY_NAMES = {"vpc": "vhd"}
"""qemu's name → the name that people use."""


@dataclass(frozen=True, slots=True)
class ImportPlan(Carried):
    """One import."""

    namespace: str
    bucket: str
    object: str
    etag: str
    size_bytes: int
    """Of the object."""
    site: str
    compartment: str
    formats: tuple[str, ...]
    """What its name allows it to be, as the engine spells it."""
    name: str
    """Of the volume."""
    subnet: str
    target: str = "volume"
    domain: str | None = None
    fault_domain: str = ""
    size_gb: int | None = None
    vpus_per_gb: int = 10
    backup_policy: str | None = None
    fs_check: str = "check"
    keep_object: bool = True
    sha256: str | None = None
    max_size_bytes: int | None = None
    max_bytes_per_s: int | None = None
    shape: str | None = None
    ocpus: int | None = None
    memory_gib: int | None = None
    image: str | None = None
    security_groups: tuple[str, ...] = ()
    preemptible: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def ref(self) -> ObjectRef:
        """The object, and which version of it."""
        return ObjectRef(self.namespace, self.bucket, self.object, self.etag)

    @property
    def boot(self) -> bool:
        """Whether a boot volume is wanted."""
        return self.target == "boot_volume"


def get_file_head(site: OciSite, rule: ImportPolicy, ref: ObjectRef) -> ImportPlan:
    """Look at the object and settle what is to be done; makes nothing."""
    facts = site.look(ref)
    wishes = read_wishes(facts.metadata, facts.ref.title)
    compartment = _compartment(rule, wishes, facts.ref.title)
    number = rule.ad_number if wishes.ad_number is None else wishes.ad_number
    return ImportPlan(
        namespace=ref.namespace,
        bucket=ref.bucket,
        object=ref.name,
        etag=facts.ref.etag,
        size_bytes=_object_size(facts.size_bytes, facts.ref.title),
        site=rule.site,
        compartment=compartment,
        formats=_formats(rule, ref),
        name=wishes.display_name or ref.name.rsplit("/", 1)[-1],
        subnet=_subnet(rule),
        target=_target(rule, wishes),
        domain=site.pick_domain(compartment, number, where=f"{facts.ref.title}, ad_number"),
        fault_domain=wishes.fault_domain or "",
        size_gb=wishes.size_gb,
        vpus_per_gb=rule.vpus_per_gb if wishes.vpus is None else wishes.vpus,
        backup_policy=wishes.backup_policy or rule.volume_backup_policy,
        fs_check=wishes.fs_check or rule.fs_check,
        keep_object=rule.keep_object if wishes.keep_object is None else wishes.keep_object,
        sha256=wishes.sha256,
        max_size_bytes=rule.max_size_bytes,
        max_bytes_per_s=rule.max_bytes_per_s,
        shape=rule.shape,
        ocpus=rule.ocpus,
        memory_gib=rule.memory_gib,
        image=rule.image,
        security_groups=rule.security_groups,
        preemptible=rule.preemptible,
        tags=wishes.tags,
    )


def _compartment(rule: ImportPolicy, wishes: Wishes, title: str) -> str:
    if not rule.compartment:
        fix = "name the OCID of one"
        raise BadInput(f"the rule {rule.name!r} of `imports` names no compartment", fix=fix)
    wanted = wishes.compartment or rule.compartment
    if wanted not in (rule.compartment, *rule.allowed_compartments):
        raise BadInput(
            f"{title}: the compartment {wanted!r} is not allowed",
            fix=f"add it to allowed_compartments of the rule {rule.name!r}, or leave it out of the metadata",
        )
    return wanted


def _target(rule: ImportPolicy, wishes: Wishes) -> str:
    target = wishes.target or rule.target
    if target not in TARGETS:
        what = f"the rule {rule.name!r} of `imports`: {target} cannot be proven, because OCI converts it itself"
        raise NotSupported(what, fix=f"use {' or '.join(TARGETS)}; an instance can start from a boot volume")
    return target


def _subnet(rule: ImportPolicy) -> str:
    if not rule.subnet:
        raise BadInput(f"the rule {rule.name!r} of `imports` names no subnet", fix="give worker.subnet an OCID")
    return rule.subnet


def _object_size(size_bytes: int, title: str) -> int:
    if size_bytes == 0:
        raise NotADiskImage(f"{title} is empty", fix="upload it again")
    return size_bytes


def _formats(rule: ImportPolicy, ref: ObjectRef) -> tuple[str, ...]:
    """Say what it may be: what its name promises, as far as the rule allows it."""
    promised = promised_formats(ref.name)
    if promised is None or "." not in ref.name.rsplit("/", 1)[-1]:
        fix = "rename it: .qcow2, .vmdk, .vhd, .vhdx, .vdi, .raw, .img, .raw.gz, .raw.xz or .raw.zst"
        raise NotADiskImage(f"{ref.title}: its name says nothing about its format", fix=fix)
    allowed = tuple(one for one in promised if not rule.formats or _POLICY_NAMES.get(one, one) in rule.formats)
    if not allowed:
        raise RefusedImage(
            f"{ref.title}: {' or '.join(promised)} is not among the formats of the rule {rule.name!r}",
            fix=f"it allows {', '.join(rule.formats)}",
        )
    return allowed


def check_limit(plan: ImportPlan, virtual_bytes: int) -> None:
    """Raise `RefusedImage` when the disk in the image is larger than the rule or the metadata allow."""
    if plan.max_size_bytes and virtual_bytes > plan.max_size_bytes:
        what = f"{plan.ref.title}: its disk has {format_bytes(virtual_bytes)}, the rule allows"
        raise RefusedImage(f"{what} {format_bytes(plan.max_size_bytes)}", fix="raise max_size in the policy")
    if plan.size_gb and plan.size_gb << 30 < virtual_bytes:
        what = f"{plan.ref.title}: its disk has {format_bytes(virtual_bytes)}, its metadata ask for {plan.size_gb} GB"
        raise BadInput(what, fix="ask for more, or leave size_gb out")
