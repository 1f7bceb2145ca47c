"""What a real OCI refuses, the lab refuses: with the status and the code that the driver has to know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import oci
import pytest
from lab.jobs import wait_until
from lab.oci.lab import OciLab
from tests.integration.lab_oci.clients import Clients, launch_details

pytestmark = pytest.mark.root
models = oci.core.models


def refusal(call: Callable[..., Any], *arguments: Any, **more: Any) -> tuple[int, str, str]:
    """Call, and return how it was refused."""
    with pytest.raises(oci.exceptions.ServiceError) as failure:
        call(*arguments, **more)
    return failure.value.status, failure.value.code, failure.value.message


def _volume_details(lab: OciLab, **changes: Any) -> Any:
    usual = {"compartment_id": lab.compartment, "availability_domain": lab.domains[0], "size_in_gbs": 50}
    return models.CreateVolumeDetails(**{**usual, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"size_in_gbs": 49}, id="too small"),
        pytest.param({"size_in_gbs": 32769}, id="too large"),
        pytest.param({"vpus_per_gb": 15}, id="vpus between steps"),
        pytest.param({"vpus_per_gb": 130}, id="vpus too high"),
        pytest.param({"freeform_tags": {f"k{one}": "v" for one in range(11)}}, id="11 free-form tags"),
        pytest.param({"freeform_tags": {"k" * 101: "v"}}, id="long key"),
        pytest.param({"freeform_tags": {"k": "v" * 257}}, id="long value"),
        pytest.param({"display_name": "n" * 256}, id="long name"),
    ],
)
def test_volume_that_may_not_be(clients: Clients, lab: OciLab, changes: dict[str, Any]) -> None:
    found = refusal(clients.blocks.create_volume, _volume_details(lab, **changes))
    assert found[:2] == (400, "InvalidParameter")


def test_unknown_places_are_not_found(clients: Clients, lab: OciLab) -> None:
    create = clients.blocks.create_volume
    found = refusal(create, _volume_details(lab, availability_domain="nowhere"))
    assert found == (400, "InvalidParameter", "Invalid availabilityDomain.")
    found = refusal(create, _volume_details(lab, compartment_id="ocid1.compartment.oc1..none"))
    assert found[:2] == (404, "NotAuthorizedOrNotFound")
    assert refusal(clients.blocks.get_volume, "ocid1.volume.oc1..none")[:2] == (404, "NotAuthorizedOrNotFound")


def test_unknown_and_missing_fields_are_refused(clients: Clients, lab: OciLab) -> None:
    body = {"compartmentId": lab.compartment, "sizeInGb": 50}
    found = refusal(_post, clients.blocks, "/volumes", body)
    assert found[:2] == (400, "CannotParseRequest")
    found = refusal(_post, clients.blocks, "/volumes", {"sizeInGBs": 50})
    assert found[:2] == (400, "MissingParameter")


def _post(client: Any, path: str, body: dict[str, Any]) -> Any:
    return client.base_client.call_api(path, "POST", header_params={"content-type": "application/json"}, body=body)


def test_wrong_availability_domain(clients: Clients, lab: OciLab, worker: str) -> None:
    volume = clients.volume(availability_domain=lab.domains[1])
    details = models.AttachParavirtualizedVolumeDetails(instance_id=worker, volume_id=volume.id)
    found = refusal(clients.compute.attach_volume, details)
    assert found[0] == 400
    assert "availability domain" in found[2]
    clients.blocks.delete_volume(volume.id)


def test_busy_device_and_busy_volume(clients: Clients, worker: str) -> None:
    one, two = clients.volume(), clients.volume()
    device = clients.compute.list_instance_devices(worker, is_available=True).data[0].name
    attachment = clients.attach(worker, one.id, device)
    details = models.AttachParavirtualizedVolumeDetails(instance_id=worker, volume_id=two.id, device=device)
    assert refusal(clients.compute.attach_volume, details)[0] == 409
    details.device, details.volume_id = None, one.id
    assert refusal(clients.compute.attach_volume, details)[0] == 409
    details.device, details.volume_id = "/dev/sdb", two.id
    assert refusal(clients.compute.attach_volume, details)[0] == 400
    free = {one.name: one.is_available for one in clients.compute.list_instance_devices(worker).data}
    assert (len(free), free[device]) == (32, False)
    assert refusal(clients.blocks.delete_volume, one.id)[:2] == (409, "Conflict")
    clients.detach(attachment.id)
    for volume in (one, two):
        clients.blocks.delete_volume(volume.id)
        clients.await_state(clients.blocks.get_volume, volume.id, "TERMINATED")
    assert refusal(clients.blocks.delete_volume, one.id)[0] == 404


def test_volume_that_is_not_ready(clients: Clients, lab: OciLab, worker: str) -> None:
    lab.fault("stuck", {"kind": "volume", "state": "AVAILABLE"})
    volume = clients.volume(wait=False)
    details = models.AttachParavirtualizedVolumeDetails(instance_id=worker, volume_id=volume.id)
    assert refusal(clients.compute.attach_volume, details)[:2] == (409, "IncorrectState")
    clients.blocks.delete_volume(volume.id)


def test_update_with_etag(clients: Clients) -> None:
    made = clients.volume()
    etag = clients.blocks.get_volume(made.id).headers["etag"]
    change = models.UpdateVolumeDetails(vpus_per_gb=20, freeform_tags={"root": "abc"})
    after = clients.blocks.update_volume(made.id, change, if_match=etag).data
    assert (after.vpus_per_gb, after.freeform_tags) == (20, {"root": "abc"})
    assert refusal(clients.blocks.update_volume, made.id, change, if_match=etag)[:2] == (412, "NoEtagMatch")
    smaller = models.UpdateVolumeDetails(size_in_gbs=49)
    assert refusal(clients.blocks.update_volume, made.id, smaller)[0] == 400
    clients.blocks.delete_volume(made.id)


def test_retry_token(clients: Clients, lab: OciLab) -> None:
    create, details = clients.blocks.create_volume, _volume_details(lab)
    one = create(details, opc_retry_token="token-1").data
    assert create(details, opc_retry_token="token-1").data.id == one.id
    assert create(details, opc_retry_token="token-2").data.id != one.id
    other = _volume_details(lab, size_in_gbs=60)
    assert refusal(create, other, opc_retry_token="token-1")[:2] == (409, "InvalidatedRetryToken")
    clients.await_state(clients.blocks.get_volume, one.id, "AVAILABLE")
    clients.blocks.delete_volume(one.id)
    clients.await_state(clients.blocks.get_volume, one.id, "TERMINATED")
    assert refusal(create, details, opc_retry_token="token-1")[:2] == (409, "InvalidatedRetryToken")


def test_retry_token_after_a_lost_answer(clients: Clients, lab: OciLab) -> None:
    lab.fault("lose_answer", {"method": "POST", "path": "/volumes$"})
    details = _volume_details(lab, display_name="lost")
    with pytest.raises(oci.exceptions.RequestException):
        clients.blocks.create_volume(details, opc_retry_token="lost")
    made = clients.blocks.create_volume(details, opc_retry_token="lost").data
    named = clients.blocks.list_volumes(compartment_id=lab.compartment, display_name="lost").data
    assert [one.id for one in named] == [made.id]


def test_list_in_pages(clients: Clients, lab: OciLab) -> None:
    for _ in range(3):
        clients.volume(wait=False, compartment_id=lab.other_compartment)
    lab.settings(page_size=2)
    first = clients.blocks.list_volumes(compartment_id=lab.other_compartment)
    assert (len(first.data), first.has_next_page) == (2, True)
    rest = clients.blocks.list_volumes(compartment_id=lab.other_compartment, page=first.next_page)
    assert (len(rest.data), rest.has_next_page) == (1, False)
    everything = oci.pagination.list_call_get_all_results(
        clients.blocks.list_volumes, compartment_id=lab.other_compartment
    ).data
    assert len({one.id for one in everything}) == 3


def test_capacity_by_fault_domain(clients: Clients, lab: OciLab) -> None:
    domain = lab.domains[2]
    lab.settings(full=[f"{domain}/FAULT-DOMAIN-1"])
    details = launch_details(lab, availability_domain=domain, fault_domain="FAULT-DOMAIN-1")
    assert refusal(clients.compute.launch_instance, details) == (500, "InternalError", "Out of host capacity.")
    details.fault_domain = None
    lab.fault("stuck", {"kind": "instance", "state": "RUNNING"})
    made = clients.compute.launch_instance(details).data
    assert made.fault_domain == "FAULT-DOMAIN-2"
    clients.compute.terminate_instance(made.id)
    lab.settings(full=[domain])
    assert refusal(clients.compute.launch_instance, details)[1] == "InternalError"


def test_service_limit(clients: Clients, lab: OciLab) -> None:
    lab.settings(limits={"volume": 0})
    assert refusal(clients.blocks.create_volume, _volume_details(lab))[:2] == (400, "LimitExceeded")


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        pytest.param({"shape": "VM.Nothing"}, 400, id="unknown shape"),
        pytest.param({"fault_domain": "FAULT-DOMAIN-9"}, 400, id="unknown fault domain"),
        pytest.param({"metadata": {"user_data": "x" * 33000}}, 400, id="large metadata"),
        pytest.param({"create_vnic_details": models.CreateVnicDetails(subnet_id="none")}, 404, id="unknown subnet"),
        pytest.param({"shape_config": models.LaunchInstanceShapeConfigDetails(ocpus=99)}, 400, id="too many cores"),
        pytest.param({"source_details": models.InstanceSourceViaImageDetails(image_id="none")}, 404, id="no image"),
    ],
)
def test_instance_that_may_not_be(clients: Clients, lab: OciLab, changes: dict[str, Any], status: int) -> None:
    assert refusal(clients.compute.launch_instance, launch_details(lab, **changes))[0] == status


def test_backup_policy(clients: Clients) -> None:
    gold = next(one for one in clients.blocks.list_volume_backup_policies().data if one.display_name == "gold")
    volume = clients.volume()
    details = models.CreateVolumeBackupPolicyAssignmentDetails(asset_id=volume.id, policy_id=gold.id)
    made = clients.blocks.create_volume_backup_policy_assignment(details).data
    found = clients.blocks.get_volume_backup_policy_asset_assignment(volume.id).data
    assert [one.id for one in found] == [made.id]
    assert refusal(clients.blocks.create_volume_backup_policy_assignment, details)[0] == 409
    details.policy_id = "ocid1.volumebackuppolicy.oc1..none"
    clients.blocks.delete_volume_backup_policy_assignment(made.id)
    assert refusal(clients.blocks.create_volume_backup_policy_assignment, details)[0] == 404
    clients.blocks.delete_volume(volume.id)


def test_image_from_an_object(clients: Clients, lab: OciLab) -> None:
    lab.put_object(lab.create_bucket("images", events=False), "disk.qcow2", b"QFI\xfb")
    source = models.ImageSourceViaObjectStorageTupleDetails(
        namespace_name=lab.namespace, bucket_name="images", object_name="disk.qcow2", source_image_type="QCOW2"
    )
    details = models.CreateImageDetails(compartment_id=lab.compartment, image_source_details=source)
    made = clients.compute.create_image(details, opc_retry_token="image")
    clients.await_state(clients.compute.get_image, made.data.id, "AVAILABLE")
    work = clients.work.get_work_request(made.headers["opc-work-request-id"]).data
    assert (work.status, work.percent_complete) == ("SUCCEEDED", 100)
    clients.compute.delete_image(made.data.id)
    clients.await_state(clients.compute.get_image, made.data.id, "DELETED")


def test_ended_things_are_forgotten(clients: Clients, lab: OciLab) -> None:
    volume = clients.volume()
    clients.blocks.delete_volume(volume.id)
    clients.await_state(clients.blocks.get_volume, volume.id, "TERMINATED")
    lab.settings(forget_seconds=0.1)
    try:
        wait_until(lambda: _is_missing(clients, volume.id), "it is forgotten")
    finally:
        lab.settings(forget_seconds=3600.0)


def _is_missing(clients: Clients, volume: str) -> bool:
    try:
        clients.blocks.get_volume(volume)
    except oci.exceptions.ServiceError as error:
        return bool(error.status == 404)
    return False
