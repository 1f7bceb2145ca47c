# SPDX-License-Identifier: Apache-2.0
"""One region of OCI: the calls of an import's steps, each of which may be made again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType

from vmferry.platforms.inventory import SiteFacts
from vmferry.platforms.oci import attachments, leases, objects, placement, volumes, workers
from vmferry.platforms.oci.attachments import Attachment
from vmferry.platforms.oci.objects import ObjectFacts, ObjectRef
from vmferry.platforms.oci.session import Session
from vmferry.platforms.oci.settings import OciSettings
from vmferry.platforms.oci.volumes import Volume, VolumeSpec
from vmferry.platforms.oci.workers import Worker, WorkerSpec
from vmferry.platforms.orders import Lease, Removal
from vmferry.platforms.runs import RunId


class OciSite:
    """One region of one tenancy; a context manager. It keeps the promise of `Leases`."""

    def __init__(self, settings: OciSettings) -> None:
        self.settings = settings
        self._session = Session(settings)

    @property
    def site(self) -> str:
        """The site's name."""
        return self.settings.site

    def check(self) -> SiteFacts:
        """Log in and look around; raises what is wrong with address, certificate or key."""
        namespace = objects.namespace_of(self._session)
        return SiteFacts(f"{self.settings.region} ({namespace})", "20160918", ("import",))

    def namespace(self) -> str:
        """The tenancy's namespace of objects."""
        return objects.namespace_of(self._session)

    def look(self, ref: ObjectRef) -> ObjectFacts:
        """Look at an object; raises `ObjectChanged` when it is not the version asked for."""
        return objects.look(self._session, ref)

    def list_uploads(self, namespace: str, bucket: str, prefix: str = "") -> Iterator[tuple[ObjectRef, int]]:
        """List the objects of a bucket with their sizes."""
        return objects.list_uploads(self._session, namespace, bucket, prefix)

    def open_way(self, ref: ObjectRef, owner: RunId, *, hours: float) -> str:
        """Make an address that lets whoever has it read this one object for some hours. It is a secret."""
        return objects.open_way(self._session, ref, owner, hours=hours)

    def close_ways(self, ref: ObjectRef, owner: RunId) -> int:
        """Close every way to objects of this bucket that the run opened."""
        return objects.close_ways(self._session, ref.namespace, ref.bucket, owner)

    def rename_object(self, ref: ObjectRef, name: str) -> None:
        """Give an object another name."""
        objects.rename(self._session, ref, name)

    def pick_domain(self, compartment: str, number: int, *, where: str) -> str | None:
        """Translate the number of an availability domain; None for 0. Raises `BadInput` for one there is not."""
        domains = placement.list_domains(self._session, compartment)
        return placement.pick_domain(domains, number, where=where)

    def ensure_worker(self, spec: WorkerSpec, owner: RunId) -> Worker:
        """Find the run's worker or launch one, wherever there is room, and wait until it runs."""
        return workers.wait_running(self._session, workers.ensure_worker(self._session, spec, owner))

    def find_worker(self, compartment: str, owner: RunId) -> Worker | None:
        """Look the run's worker up; one that is going does not count."""
        return workers.find_worker(self._session, compartment, owner)

    def is_worker_there(self, worker_id: str) -> bool:
        """Tell whether an instance runs or will."""
        return workers.is_there(self._session, worker_id)

    def private_address(self, worker: Worker) -> str:
        """Where the worker's sshd is."""
        return workers.private_address(self._session, worker)

    def boot_volume_of(self, worker: Worker) -> str:
        """What the worker boots from: a boot volume is made as a clone of it."""
        return workers.boot_volume_of(self._session, worker)

    def end_worker(self, worker: Worker) -> bool:
        """Terminate a worker with its boot volume; False when it was gone already."""
        return workers.end_worker(self._session, worker.id, name=worker.name)

    def ensure_volume(self, spec: VolumeSpec, owner: RunId) -> Volume:
        """Find the run's volume or make one, and wait until it can be attached."""
        return volumes.wait_available(self._session, volumes.ensure_volume(self._session, spec, owner))

    def find_volume(self, spec: VolumeSpec, owner: RunId) -> Volume | None:
        """Look the run's volume up."""
        return volumes.find_volume(self._session, spec, owner)

    def imported_etags(self, compartments: Iterable[str]) -> frozenset[str]:
        """Give the versions of objects that are finished volumes, as their tags say."""
        return volumes.finished_etags(self._session, compartments)

    def attach(self, worker: Worker, volume: Volume, owner: RunId, *, iscsi: bool = False) -> Attachment:
        """Begin to attach a volume, or find that it is; `wait_attached` waits."""
        return attachments.attach(self._session, worker, volume, owner, iscsi=iscsi)

    def wait_attached(self, attachment: Attachment, volume: Volume) -> Attachment:
        """Wait until OCI says that the worker has it; the guest may see it a moment later."""
        return attachments.wait_attached(self._session, attachment, name=f"volume {volume.name}")

    def detach(self, worker: Worker, volume: Volume) -> bool:
        """Detach a volume from a worker and wait; False when it was not there."""
        found = attachments.list_attachments(self._session, worker.compartment, volume=volume.id, worker=worker.id)
        return any([attachments.detach(self._session, one, name=f"volume {volume.name}") for one in found])

    def mark(self, volume: Volume, owner: RunId, *words: str, more: Mapping[str, str]) -> Volume:
        """Write the run's state and findings into the volume's tags."""
        return volumes.mark(self._session, volume, owner, *words, more=more)

    def mark_verified(self, volume: Volume, owner: RunId, root: str, more: Mapping[str, str]) -> Volume:
        """Note that its bytes are proven: from now on only a person removes it."""
        return volumes.mark_verified(self._session, volume, owner, root, more)

    def set_performance(self, volume: Volume, vpus_per_gb: int) -> Volume:
        """Give a volume the performance it is to have from now on."""
        return volumes.set_performance(self._session, volume, vpus_per_gb)

    def set_backup_policy(self, volume: Volume, policy: str, compartment: str) -> str:
        """Assign a backup policy by name or OCID."""
        return volumes.set_backup_policy(self._session, volume, policy, compartment)

    def remove_volume(self, volume: Volume, owner: RunId) -> Removal:
        """Delete a volume of this run, unless its bytes are proven."""
        return volumes.remove(self._session, volume, owner)

    def leases(self) -> Iterator[Lease]:
        """See `Leases.leases`."""
        return leases.list_leases(self._session)

    def release(self, lease: Lease) -> None:
        """See `Leases.release`."""
        leases.release(self._session, lease)

    def close(self) -> None:
        """Close the connections. May be called twice."""
        self._session.close()

    def __enter__(self) -> OciSite:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
