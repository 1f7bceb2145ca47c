# SPDX-License-Identifier: Apache-2.0
"""Starts a job at the worker, or finds that it runs; makes the worker ready first, whatever became of the last one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from vmferry.engine.errors import HostLost
from vmferry.engine.jobs import JobSpec, JobState, JobStatus
from vmferry.operations.disk_import import guest
from vmferry.operations.disk_import.ground import create_instance, wait_for_attachment
from vmferry.operations.disk_import.jobs import SECRET
from vmferry.operations.disk_import.plan import ImportPlan
from vmferry.operations.values import Carried
from vmferry.platforms.oci import OciSite
from vmferry.platforms.oci.cloud_init import CA_FILE
from vmferry.platforms.runs import RunId

WAY_HOURS = 48.0
"""How long the address of the object lives: longer than any import takes."""
_LOOK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Seat(Carried):
    """Where jobs of this import run."""

    worker: str
    address: str
    host_key: str
    device: str = ""


def take_seat(site: OciSite, plan: ImportPlan, owner: RunId) -> Seat:
    """Find or make the worker, and wait until it lets us in and has booted."""
    worker = create_instance(site, plan, owner)
    seat = Seat(worker.id, site.private_address(worker), worker.host_key)
    guest.wait_cloud_init(site.settings, seat.address, seat.host_key)
    return seat


def take_device(site: OciSite, plan: ImportPlan, virtual_bytes: int, owner: RunId) -> Seat:
    """The same, and the volume is attached and the worker sees it."""
    seat = take_seat(site, plan, owner)
    ground = wait_for_attachment(site, plan, virtual_bytes, owner)
    device = ground.attachment.device
    guest.wait_for_device(site.settings, seat.address, seat.host_key, device)
    return Seat(seat.worker, seat.address, seat.host_key, device)


def start_job(
    site: OciSite, plan: ImportPlan, seat: Seat, spec: JobSpec, owner: RunId, patience_s: float = 0.0
) -> JobStatus:
    """See to it that the job runs, and wait a moment for its end.

    The address of the object is made only for one that has to be begun.
    """
    with guest.open_host(site.settings, seat.address, seat.host_key) as host:
        status = host.poll(spec.id)
        if status.state not in (JobState.RUNNING, JobState.DONE):
            reads_object = "source" in spec.params and spec.params["source"]["kind"] != "file"
            secrets = {SECRET: site.open_way(plan.ref, owner, hours=WAY_HOURS)} if reads_object else {}
            status = host.start(spec, secrets)
        deadline = time.monotonic() + patience_s
        while status.state is JobState.RUNNING and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY_S)
            try:
                status = host.poll(spec.id)
            except HostLost:
                break  # who waits longer knows what to do about that
        return status


def authority(site: OciSite) -> str | None:
    """Where the worker has the authority that OCI's certificates are verified with; None: its own will do."""
    return CA_FILE if site.settings.ca_file else None


def run_job(
    site: OciSite, plan: ImportPlan, seat: Seat, spec: JobSpec, owner: RunId, wait: Callable[[], object]
) -> dict[str, object]:
    """Run a job to its end in this process and give its result; raises the job's own error."""
    status = start_job(site, plan, seat, spec, owner)
    with guest.open_host(site.settings, seat.address, seat.host_key) as host:
        while status.state is JobState.RUNNING:
            wait()
            status = host.poll(spec.id)
    return result_of(status)


def result_of(status: JobStatus) -> dict[str, object]:
    """Give the result of a job that has ended; raises its error."""
    problem = status.error()
    if problem is not None:
        raise problem
    return dict(status.result.value or {}) if status.result else {}
