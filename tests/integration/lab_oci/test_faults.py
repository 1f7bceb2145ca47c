"""What goes wrong on demand goes wrong as it should."""

from __future__ import annotations

import time
from typing import Any

import oci
import pytest
from lab.jobs import is_alive, wait_until
from lab.oci.lab import OciLab
from tests.integration.lab_oci.clients import Clients, Keys
from tests.integration.lab_oci.test_rules import refusal

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
models = oci.core.models


@pytest.mark.parametrize(
    ("status", "code"), [(429, "TooManyRequests"), (500, "InternalServerError"), (409, "Conflict")]
)
def test_refused_calls(clients: Clients, lab: OciLab, status: int, code: str) -> None:
    lab.fault("status", {"method": "GET", "path": "/volumes"}, value=status, code=code, times=2, skip=1)
    clients.blocks.list_volumes(compartment_id=lab.compartment)
    for _ in range(2):
        assert refusal(clients.blocks.list_volumes, compartment_id=lab.compartment)[:2] == (status, code)
    clients.blocks.list_volumes(compartment_id=lab.compartment)


def test_dropped_call_was_not_done(clients: Clients, lab: OciLab) -> None:
    lab.fault("drop", {"method": "POST", "path": "/volumes$"})
    before = len(lab.state().get("volume", {}))
    with pytest.raises(oci.exceptions.RequestException):
        clients.volume(wait=False)
    assert len(lab.state().get("volume", {})) == before


def test_volume_becomes_faulty(clients: Clients, lab: OciLab) -> None:
    lab.fault("phase", {"kind": "volume", "state": "AVAILABLE"}, value="FAULTY")
    made = clients.volume(wait=False)
    assert clients.await_state(clients.blocks.get_volume, made.id, "FAULTY", "AVAILABLE").lifecycle_state == "FAULTY"
    clients.blocks.delete_volume(made.id)
    clients.await_state(clients.blocks.get_volume, made.id, "TERMINATED")


def test_instance_is_terminated_instead_of_running(clients: Clients, lab: OciLab) -> None:
    lab.fault("phase", {"kind": "instance", "state": "RUNNING"}, value="TERMINATED")
    made = clients.launch(wait=False)
    found = clients.await_state(clients.compute.get_instance, made.id, "RUNNING", "TERMINATED")
    assert found.lifecycle_state == "TERMINATED"
    assert not next(one for one in lab.instances() if one.id == made.id).pid


def test_attachment_is_stuck_and_released(clients: Clients, lab: OciLab, worker: str) -> None:
    volume = clients.volume()
    lab.fault("stuck", {"kind": "volumeattachment", "state": "ATTACHED"})
    made = clients.attach(worker, volume.id, None, wait=False)
    wait_until(lambda: lab.hook("faults")[-1]["used"] == 1, "it is stuck")
    assert clients.compute.get_volume_attachment(made.id).data.lifecycle_state == "ATTACHING"
    lab.hook("release", id=made.id)
    clients.await_state(clients.compute.get_volume_attachment, made.id, "ATTACHED")
    clients.detach(made.id)
    clients.blocks.delete_volume(volume.id)


def test_network_is_cut(clients: Clients, lab: OciLab) -> None:
    lab.hook("cut", seconds=0.6)
    with pytest.raises(oci.exceptions.RequestException):
        clients.identity.list_availability_domains(lab.compartment)
    wait_until(lambda: _answers(clients, lab), "it answers again")


def _answers(clients: Clients, lab: OciLab) -> bool:
    try:
        clients.identity.list_availability_domains(lab.compartment)
    except oci.exceptions.RequestException:
        return False
    return True


def test_object_ends_too_early(clients: Clients, lab: OciLab) -> None:
    lab.put_object(lab.create_bucket("short", events=False), "disk", bytes(500_000))
    lab.fault("cut_body", {"method": "GET", "path": "/o/disk"}, value=300_000)
    answer = clients.objects.get_object(lab.namespace, "short", "disk").data
    with pytest.raises(Exception, match=r"IncompleteRead\(300000 bytes read"):
        list(answer.raw.stream(1 << 16))


def test_network_is_cut_in_the_middle_of_an_object(clients: Clients, lab: OciLab) -> None:
    lab.put_object(lab.create_bucket("short", events=False), "long", bytes(4 << 20))
    lab.fault("slow", {"method": "GET", "path": "/o/long"}, value=1 << 20)
    stream = clients.objects.get_object(lab.namespace, "short", "long").data.raw.stream(1 << 16)
    assert next(stream)
    lab.hook("cut", seconds=0.3)
    with pytest.raises(Exception, match=r"IncompleteRead|EOF occurred|reset"):
        list(stream)


def test_worker_under_our_hands(clients: Clients, lab: OciLab, keys: Keys) -> None:
    """Its network hangs and comes back; its sshd dies and comes back; then the platform takes it away."""
    made = clients.launch(display_name="victim", metadata=keys.metadata)
    address, port = clients.address(made.id), lab.instances()[0].port
    keys.await_ssh(address, port)
    lab.hook("freeze", id=made.id, seconds=0.5)
    began = time.monotonic()
    keys.await_ssh(address, port)
    assert time.monotonic() - began > 0.2
    assert lab.hook("kill_sshd", id=made.id)["killed"] >= 1
    keys.await_ssh(address, port)
    pid = _pid(lab, made.id)
    lab.hook("terminate", id=made.id)
    clients.await_state(clients.compute.get_instance, made.id, "TERMINATED")
    assert not is_alive(pid)


def test_stop_and_start_keep_files(clients: Clients, lab: OciLab, keys: Keys) -> None:
    made = clients.launch(display_name="sleeper", metadata=keys.metadata)
    address, port = clients.address(made.id), lab.instances()[0].port
    keys.await_ssh(address, port)
    volume = clients.volume()
    attachment = clients.attach(made.id, volume.id, "/dev/oracleoci/oraclevdc")
    assert keys.ssh(address, port, "echo kept >mark && sync").returncode == 0
    clients.compute.instance_action(made.id, "STOP")
    clients.await_state(clients.compute.get_instance, made.id, "STOPPED")
    clients.compute.instance_action(made.id, "START")
    clients.await_state(clients.compute.get_instance, made.id, "RUNNING")
    keys.await_ssh(address, port)
    wait_until(
        lambda: keys.ssh(address, port, "ls /dev/oracleoci").stdout == "oraclevdc\n", "the volume is there again"
    )
    assert keys.ssh(address, port, "cat mark").stdout == "kept\n"
    clients.compute.terminate_instance(made.id)
    clients.await_state(clients.compute.get_volume_attachment, attachment.id, "DETACHED")
    clients.blocks.delete_volume(volume.id)


def _pid(lab: OciLab, id: str) -> int:
    found = next(one.pid for one in lab.instances() if one.id == id)
    assert found
    return found


def test_fault_that_could_never_happen_is_refused(lab: OciLab) -> None:
    for action, match in (("nonsense", {}), ("status", {"kind": "volume"}), ("phase", {"path": "/x"})):
        with pytest.raises(ValueError, match="fault"):
            lab.fault(action, match)


def test_every_call_is_logged(clients: Clients, lab: OciLab) -> None:
    clients.identity.list_availability_domains(lab.compartment)
    last: dict[str, Any] = lab.log()[-1]
    assert (last["method"], last["path"], last["status"]) == ("GET", "/20160918/availabilityDomains", 200)
    assert last["principal"] == lab.config["user"]
