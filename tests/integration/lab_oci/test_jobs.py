"""Our own engine on a simulated worker: an object flows through a link into the volume, and the bytes are the same."""

from __future__ import annotations

import datetime
import random
from collections.abc import Iterator

import oci
import pytest
from lab.jobs import wait_until
from lab.oci.lab import OciLab
from tests.integration.lab_oci.clients import Clients, Keys

from vmferry.engine.jobs import JobKind, JobSpec
from vmferry.hosts.settings import SshSettings
from vmferry.hosts.ssh import SshHost

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
DEVICE = "/dev/oracleoci/oraclevdb"
DATA = random.Random(9).randbytes(5 << 20)


@pytest.fixture
def host(worker: str, clients: Clients, lab: OciLab, keys: Keys) -> Iterator[SshHost]:
    address = clients.address(worker)
    keys.ssh(address, lab.instances()[0].port, "true")
    known = keys.user.with_name(f"known_hosts_{address}")
    settings = SshSettings(
        address=address, user="opc", port=lab.instances()[0].port, identity=keys.user, known_hosts=known,
        python=("sudo", "-n", "--preserve-env=HOME", "python3"),
    )  # fmt: skip
    with SshHost(settings) as made:
        yield made


def test_object_into_volume(host: SshHost, worker: str, clients: Clients, lab: OciLab) -> None:
    lab.put_object(lab.create_bucket("jobs", events=False), "disk 1.raw", DATA)
    expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    details = oci.object_storage.models.CreatePreauthenticatedRequestDetails(
        name="job", object_name="disk 1.raw", access_type="ObjectRead", time_expires=expires
    )
    link = clients.objects.create_preauthenticated_request(lab.namespace, "jobs", details).data
    volume = clients.volume()
    attachment = clients.attach(worker, volume.id, DEVICE)
    source = {"kind": "http", "address": lab.endpoint + link.access_uri}
    spec = JobSpec("import-1", JobKind.COPY, {"source": source, "target": {"kind": "file", "address": DEVICE}})
    host.start(spec)
    wait_until(lambda: host.poll(spec.id).result, "the job is over")
    status = host.poll(spec.id)
    assert status.result is not None
    assert status.result.error is None
    clients.detach(attachment.id)
    with lab.volume_path(volume.id).open("rb") as file:
        assert file.read(len(DATA)) == DATA
    clients.blocks.delete_volume(volume.id)
