# SPDX-License-Identifier: Apache-2.0
"""Workers: instances that live for one import, and let only us in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import oci

from vmferry.platforms.errors import NotThere
from vmferry.platforms.oci.cloud_init import HostKey, make_host_key, user_data
from vmferry.platforms.oci.failures import NoCapacity
from vmferry.platforms.oci.naming import HOST_KEY, is_of, name_of, retry_tokens, tags_of
from vmferry.platforms.oci.placement import Place, places
from vmferry.platforms.oci.sdk import public_half
from vmferry.platforms.oci.session import Session
from vmferry.platforms.oci.waits import DEAD, INSTANCE_GONE, INSTANCE_RUNNING, STOPPED
from vmferry.platforms.runs import RunId

PART = "worker"
_SHAPE = "VM.Standard.E5.Flex"
_IMAGE_SYSTEM = "Oracle Linux"
_IMAGE_VERSION = "9"


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """A worker to find or to make."""

    compartment: str
    subnet: str
    shape: str = _SHAPE
    ocpus: int = 2
    memory_gib: int = 8
    image: str | None = None
    """OCID; the newest Oracle Linux 9 when not given."""
    domain: str | None = None
    """Availability domain; any when not given."""
    fault_domain: str = ""
    preemptible: bool = False
    """Cheaper, and may be taken away at any time; the import then goes on with another."""
    security_groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker that is there."""

    id: str
    name: str
    state: str
    domain: str
    compartment: str
    host_key: str
    """What its sshd has to show."""


def ensure_worker(session: Session, spec: WorkerSpec, owner: RunId) -> Worker:
    """Find the run's worker or launch one; does not wait for it. Raises `NoCapacity` when no place has room.

    One that somebody stopped is ended, and another takes its place.
    """
    found, lost = _find(session, spec.compartment, owner)
    if found is not None and found.lifecycle_state not in STOPPED:
        return _read(found)
    if found is not None:
        end_worker(session, found.id, name=found.display_name)
        lost += 1
    key = make_host_key()
    image = spec.image or _newest_image(session, spec)
    refused: NoCapacity | None = None
    for place in places(session, spec.compartment, owner, spec.domain, spec.fault_domain):
        try:
            return _launch(session, spec, owner, place, image, key, lost)
        except NoCapacity as failure:
            refused = failure
    raise refused or NotThere(f"site {session.site}: no availability domain to launch in", fix="check the region")


def find_worker(session: Session, compartment: str, owner: RunId) -> Worker | None:
    """Look the run's worker up; one that is going does not count."""
    found, _ = _find(session, compartment, owner)
    return _read(found) if found is not None else None


def wait_running(session: Session, worker: Worker) -> Worker:
    """Wait until it runs; raises `WorkerLost` when it never will."""
    state = session.wait(
        INSTANCE_RUNNING,
        lambda: session.compute.get_instance(worker.id),
        name=f"worker {worker.name}",
        fix="run it again: another worker is made",
    )
    return replace(worker, state=state)


def is_there(session: Session, worker_id: str) -> bool:
    """Tell whether an instance runs or will."""
    found = session.find("looking at the worker", partial(session.compute.get_instance, worker_id))
    return found is not None and found.data.lifecycle_state not in DEAD


def private_address(session: Session, worker: Worker) -> str:
    """Give the address of its first network card."""
    compute, network = session.compute, session.network
    what = f"worker {worker.name}: looking for its address"
    attached = session.list(what, compute.list_vnic_attachments, worker.compartment, instance_id=worker.id)
    for one in attached:
        if one.lifecycle_state == "ATTACHED" and one.vnic_id:
            vnic = session.ask(what, partial(network.get_vnic, one.vnic_id)).data
            if vnic.is_primary and vnic.private_ip:
                return str(vnic.private_ip)
    raise NotThere(f"worker {worker.name} has no network card yet", fix="run it again in a moment")


def boot_volume_of(session: Session, worker: Worker) -> str:
    """Give the OCID of the volume it boots from."""
    what = f"worker {worker.name}: looking for its boot volume"
    found = session.list(
        what, session.compute.list_boot_volume_attachments, worker.domain, worker.compartment, instance_id=worker.id
    )
    if not found:
        raise NotThere(f"worker {worker.name} has no boot volume", fix="look at the instance in OCI's console")
    return str(found[0].boot_volume_id)


def end_worker(session: Session, worker_id: str, *, name: str, wait: bool = True) -> bool:
    """Terminate it with its boot volume; False when it was gone already. May be called again."""
    compute = session.compute
    what = f"worker {name}: terminating it"
    ended = session.remove(what, lambda: compute.terminate_instance(worker_id, preserve_boot_volume=False))
    if ended and wait:
        session.wait(INSTANCE_GONE, lambda: compute.get_instance(worker_id), name=f"worker {name}")
    return ended


def list_workers(session: Session, compartment: str) -> Iterator[Any]:
    """List the instances of a compartment that live."""
    found = session.list("listing instances", session.compute.list_instances, compartment)
    return (one for one in found if one.lifecycle_state not in DEAD)


def _find(session: Session, compartment: str, owner: RunId) -> tuple[Any | None, int]:
    """Give the one that lives, and how many are dead."""
    name = name_of(owner, PART)
    found = session.list("looking for the worker", session.compute.list_instances, compartment, display_name=name)
    ours = [one for one in found if is_of(one, owner, PART)]
    living = [one for one in ours if one.lifecycle_state not in DEAD]
    return (living[0] if living else None), len(ours) - len(living)


def _launch(
    session: Session, spec: WorkerSpec, owner: RunId, place: Place, image: str, key: HostKey, lost: int
) -> Worker:
    details = _details(session, spec, owner, place, image, key)
    where = f"{place.domain}, {place.fault_domain or 'any fault domain'}"
    made = session.make(
        f"launching a worker in {where}",
        partial(session.compute.launch_instance, details),
        retry_tokens(owner, PART, where, lost=lost),
        # A try that was killed used the token with another host key.
        lambda: _find(session, spec.compartment, owner)[0],
    )
    return _read(made)


def _details(session: Session, spec: WorkerSpec, owner: RunId, place: Place, image: str, key: HostKey) -> Any:
    models = oci.core.models
    return models.LaunchInstanceDetails(
        compartment_id=spec.compartment,
        availability_domain=place.domain,
        fault_domain=place.fault_domain,
        display_name=name_of(owner, PART),
        shape=spec.shape,
        shape_config=_shape_config(spec),
        source_details=models.InstanceSourceViaImageDetails(image_id=image),
        create_vnic_details=models.CreateVnicDetails(
            subnet_id=spec.subnet, assign_public_ip=False, nsg_ids=list(spec.security_groups) or None
        ),
        metadata={
            "ssh_authorized_keys": public_half(session.settings.ssh_key_file),
            "user_data": user_data(key, _authority(session)),
        },
        instance_options=models.InstanceOptions(are_legacy_imds_endpoints_disabled=True),
        preemptible_instance_config=_preemptible() if spec.preemptible else None,
        freeform_tags=tags_of(owner, PART, more={HOST_KEY: key.public.strip()}),
    )


def _authority(session: Session) -> str | None:
    return Path(session.settings.ca_file).read_text() if session.settings.ca_file else None


def _shape_config(spec: WorkerSpec) -> Any | None:
    if not spec.shape.endswith("Flex"):
        return None
    return oci.core.models.LaunchInstanceShapeConfigDetails(
        ocpus=float(spec.ocpus), memory_in_gbs=float(spec.memory_gib)
    )


def _preemptible() -> Any:
    models = oci.core.models
    action = models.TerminatePreemptionAction(preserve_boot_volume=False)
    return models.PreemptibleInstanceConfigDetails(preemption_action=action)


def _newest_image(session: Session, spec: WorkerSpec) -> str:
    found = session.list(
        "looking for an image",
        session.compute.list_images,
        spec.compartment,
        operating_system=_IMAGE_SYSTEM,
        operating_system_version=_IMAGE_VERSION,
        shape=spec.shape,
        sort_by="TIMECREATED",
        sort_order="DESC",
    )
    if not found:
        what = f"site {session.site}: no image of {_IMAGE_SYSTEM} {_IMAGE_VERSION} for shape {spec.shape}"
        raise NotThere(what, fix="name an image, or another shape, under worker in the import's rule")
    return str(found[0].id)


def _read(instance: Any) -> Worker:
    return Worker(
        id=instance.id,
        name=instance.display_name,
        state=instance.lifecycle_state,
        domain=instance.availability_domain,
        compartment=instance.compartment_id,
        host_key=(instance.freeform_tags or {}).get(HOST_KEY, ""),
    )
