# SPDX-License-Identifier: Apache-2.0
"""What is to become of an uploaded image, when all defaults are settled: plain values for tasks, no pydantic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmferry.engine.errors import BadInput
from vmferry.engine.units import parse_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmferry.policy.models.policy import Policy
    from vmferry.policy.models.transfers import ImportRule

POLL_S = 300.0


@dataclass(frozen=True, slots=True)
class ImportPolicy:
    """The rule of one bucket, or of a prefix in it."""

    name: str
    site: str
    bucket: str
    namespace: str | None = None
    prefix: str = ""
    compartment: str = ""
    allowed_compartments: tuple[str, ...] = ()
    target: str = "volume"
    ad_number: int = 0
    formats: tuple[str, ...] = ()
    max_size_bytes: int | None = None
    vpus_per_gb: int = 10
    """In the end; while it is written a volume has at least 20."""
    volume_backup_policy: str | None = None
    fs_check: str = "check"
    keep_object: bool = True
    max_bytes_per_s: int | None = None
    poll_s: float = POLL_S
    shape: str | None = None
    ocpus: int | None = None
    memory_gib: int | None = None
    subnet: str = ""
    image: str | None = None
    security_groups: tuple[str, ...] = ()
    preemptible: bool = False


def list_imports(policy: Policy) -> Iterator[ImportPolicy]:
    """Give the rules that are switched on."""
    for name, rule in policy.imports.items():
        if rule.enabled:
            yield _settle(name, rule, policy)


def find_import(policy: Policy, namespace: str, bucket: str, name: str) -> ImportPolicy:
    """Find the rule for an object; raises `BadInput` when there is none."""
    fitting = [
        rule
        for rule in list_imports(policy)
        if rule.bucket == bucket and rule.namespace in (None, namespace) and name.startswith(rule.prefix)
    ]
    if not fitting:
        raise BadInput(
            f"no rule of `imports` takes the object {name!r} of bucket {bucket!r}",
            fix="add one to the policy, or correct its bucket, namespace or prefix",
        )
    return max(fitting, key=lambda rule: len(rule.prefix))


def list_buckets(policy: Policy, site: str) -> list[str]:
    """Give the buckets of a site, of rules that are switched off too, as ``bucket`` or ``namespace/bucket``."""
    rules = [rule for rule in policy.imports.values() if rule.site == site]
    return sorted({f"{rule.namespace}/{rule.bucket}" if rule.namespace else rule.bucket for rule in rules})


def _settle(name: str, rule: ImportRule, policy: Policy) -> ImportPolicy:
    worker = rule.worker
    return ImportPolicy(
        name=name,
        site=rule.site,
        bucket=rule.bucket,
        namespace=rule.namespace,
        prefix=rule.prefix,
        compartment=rule.compartment or "",
        allowed_compartments=tuple(rule.allowed_compartments),
        target=rule.target,
        ad_number=rule.ad_number,
        formats=tuple(rule.formats),
        max_size_bytes=parse_bytes(rule.max_size) if rule.max_size else None,
        vpus_per_gb=10 if rule.vpus_per_gb is None else rule.vpus_per_gb,
        volume_backup_policy=rule.volume_backup_policy,
        fs_check=rule.fs_check,
        keep_object=rule.keep_object,
        max_bytes_per_s=rule.max_rate or policy.limits.max_rate or None,
        poll_s=rule.poll_every.total_seconds() if rule.poll_every else POLL_S,
        shape=worker.shape if worker else None,
        ocpus=worker.ocpus if worker else None,
        memory_gib=worker.memory_gib if worker else None,
        subnet=(worker.subnet if worker else None) or "",
        image=worker.image if worker else None,
        security_groups=tuple(worker.security_groups) if worker else (),
        preemptible=bool(worker and worker.preemptible),
    )
