# SPDX-License-Identifier: Apache-2.0
"""Worker, volume and attachment of one import: found where they are, made where they are not.

Each step that needs the worker comes here first, so a worker that was taken away in the middle is simply made again,
where the volume is.
"""

from __future__ import annotations

from dataclasses import dataclass

from vmferry.operations.disk_import.plan import WRITING_VPUS, ImportPlan
from vmferry.platforms.oci import OciSite
from vmferry.platforms.oci.attachments import Attachment
from vmferry.platforms.oci.naming import ETAG, OBJECT
from vmferry.platforms.oci.volumes import Volume, VolumeSpec, size_for
from vmferry.platforms.oci.workers import Worker, WorkerSpec
from vmferry.platforms.runs import RunId


@dataclass(frozen=True, slots=True)
class Ground:
    """What an import stands on."""

    worker: Worker
    volume: Volume
    attachment: Attachment


def create_instance(site: OciSite, plan: ImportPlan, owner: RunId) -> Worker:
    """Find or launch the worker, where the volume is if there is one."""
    volume = site.find_volume(volume_spec(plan), owner)
    return site.ensure_worker(worker_spec(plan, volume.domain if volume is not None else None), owner)


def create_block_volume(site: OciSite, plan: ImportPlan, virtual_bytes: int, owner: RunId) -> Volume:
    """Find or make the volume, beside the worker."""
    worker = create_instance(site, plan, owner)
    cloned_from = site.boot_volume_of(worker) if plan.boot else ""
    size_gb = max(size_for(virtual_bytes), plan.size_gb or 0)
    return site.ensure_volume(volume_spec(plan, worker.domain, size_gb, cloned_from), owner)


def attach_block_volume(site: OciSite, plan: ImportPlan, virtual_bytes: int, owner: RunId) -> Ground:
    """Find or make all three; does not wait for the attachment."""
    volume = create_block_volume(site, plan, virtual_bytes, owner)
    worker = create_instance(site, plan, owner)
    return Ground(worker, volume, site.attach(worker, volume, owner))


def wait_for_attachment(site: OciSite, plan: ImportPlan, virtual_bytes: int, owner: RunId) -> Ground:
    """Find or make all three, and wait until OCI says that the worker has the volume."""
    found = attach_block_volume(site, plan, virtual_bytes, owner)
    return Ground(found.worker, found.volume, site.wait_attached(found.attachment, found.volume))


def find_volume(site: OciSite, plan: ImportPlan, owner: RunId) -> Volume | None:
    """Look the volume up."""
    return site.find_volume(volume_spec(plan), owner)


def worker_spec(plan: ImportPlan, domain: str | None = None) -> WorkerSpec:
    """Say what worker is wanted."""
    plain = WorkerSpec(plan.compartment, plan.subnet)
    return WorkerSpec(
        compartment=plan.compartment,
        subnet=plan.subnet,
        shape=plan.shape or plain.shape,
        ocpus=plan.ocpus or plain.ocpus,
        memory_gib=plan.memory_gib or plain.memory_gib,
        image=plan.image,
        domain=domain or plan.domain,
        fault_domain=plan.fault_domain,
        preemptible=plan.preemptible,
        security_groups=plan.security_groups,
    )


def volume_spec(plan: ImportPlan, domain: str = "", size_gb: int = 0, cloned_from: str = "") -> VolumeSpec:
    """Say what volume is wanted; to look it up, its name is enough."""
    title = "".join(letter for letter in f"{plan.bucket}/{plan.object}" if letter.isprintable())[:256]
    return VolumeSpec(
        name=plan.name,
        compartment=plan.compartment,
        domain=domain,
        size_gb=size_gb,
        vpus_per_gb=max(WRITING_VPUS, plan.vpus_per_gb),
        boot=plan.boot,
        cloned_from=cloned_from,
        tags=plan.tags,
        notes={OBJECT: title, ETAG: plan.etag},
    )
