"""Log-in, lists and the small rules, as the unmodified SDK sees them."""

from __future__ import annotations

import hashlib
import ssl
import urllib.request
from collections.abc import Callable

import ovirtsdk4 as sdk
import pytest
from lab.ovirt import OvirtLab
from ovirtsdk4 import types
from tests.integration.lab_ovirt.client import Client, MiB, until


def test_log_in_and_out(lab: OvirtLab) -> None:
    before = lab.hook("tokens")["valid"]
    client = Client(lab)
    assert client.connection.test(raise_exception=True)
    version = client.system.get().product_info.version
    assert (version.major, version.minor) == (4, 5)
    assert lab.hook("tokens")["valid"] == before + 1
    client.close()
    assert lab.hook("tokens")["valid"] == before
    assert lab.password_secret not in str(lab.log())


def test_a_wrong_password_is_an_auth_error(lab: OvirtLab) -> None:
    with pytest.raises(sdk.AuthError, match="Cannot authenticate user"):
        Client(lab, password="wrong").connection.test(raise_exception=True)


def test_the_sdk_logs_in_again_when_its_token_is_gone(lab: OvirtLab, client: Client) -> None:
    client.connection.test(raise_exception=True)
    lab.hook("expire_tokens")
    assert client.connection.test(raise_exception=True)


def test_the_authority_can_be_fetched_and_pinned_before_it_is_trusted(lab: OvirtLab) -> None:
    url = f"{lab.address}/ovirt-engine/services/pki-resource?resource=ca-certificate&format=X509-PEM-CA"
    blind = ssl.create_default_context()
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
    with urllib.request.urlopen(url, context=blind) as answer:
        found = answer.read().decode()
    assert hashlib.sha256(ssl.PEM_cert_to_DER_cert(found)).hexdigest() == lab.fingerprint


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("name=find-a", {"find-a"}),
        ("name=find-*", {"find-a", "find-b", "find-c"}),
        ("name=FIND-a or name=find-c", {"find-a", "find-c"}),
        ("name=find-* and status=down", {"find-c"}),
        ("tag=daily", {"find-a", "find-b"}),
        ("tag=daily and name!=find-a", {"find-b"}),
        ('name="find-b"', {"find-b"}),
        ("name=find-* sortby name desc page 2", set()),
        ("id={find-b}", {"find-b"}),
    ],
)
def test_search(searched: dict[str, str], client: Client, query: str, expected: set[str]) -> None:
    found = client.system.vms_service().list(search=query.replace("{find-b}", searched["find-b"]))
    assert {vm.name for vm in found} == expected


@pytest.fixture(scope="module")
def searched(lab: OvirtLab) -> dict[str, str]:
    made = {
        "find-a": lab.add_vm("find-a", [], tags=["daily"]),
        "find-b": lab.add_vm("find-b", [], tags=["daily", "web"]),
        "find-c": lab.add_vm("find-c", [], status="down"),
    }
    return {name: vm.id for name, vm in made.items()}


def test_an_invalid_search_is_refused(client: Client) -> None:
    with pytest.raises(sdk.Error, match="search is not valid"):
        client.system.vms_service().list(search="colour=red")


def test_a_thousand_vms_in_one_light_call(lab: OvirtLab, client: Client) -> None:
    before = lab.process_ids
    lab.hook("vms", count=1000, prefix="many-")
    lab.hook("log", clear=True)
    vms = client.system.vms_service().list(search="name=many-*")
    assert len({vm.id for vm in vms}) == 1000
    assert len(client.system.vms_service().list(search="name=many-* sortby name page 10")) == 100
    assert len(client.system.vms_service().list(search="name=many-*", max=7)) == 7
    assert [call["path"] for call in lab.log()].count("/ovirt-engine/api/vms") == 3
    assert vms[0].initialization is None
    assert lab.process_ids == before, "nobody looked at their disks, so no qemu runs for them"


def test_all_of_a_vm_in_one_call(lab: OvirtLab, client: Client, new_name: Callable[[], str]) -> None:
    vm = lab.add_vm(
        new_name(), [{"size": MiB, "interface": "sata"}, {"lun": True}, {"shareable": True, "active": False}],
        fqdn="web.example.com", ips=["192.0.2.7"], memory=3 << 30, cores=2,
    )  # fmt: skip
    found = client.vm(vm.id).get(all_content=True, follow="disk_attachments.disk,nics,reported_devices")
    attachments = {one.disk.id: one for one in found.disk_attachments}
    kinds = [(attachments[id].disk.storage_type.value, attachments[id].disk.shareable) for id in vm.disks]
    assert kinds == [("image", False), ("lun", False), ("image", True)]
    assert attachments[vm.disks[0]].interface == types.DiskInterface.SATA
    assert not attachments[vm.disks[2]].active
    assert found.fqdn == "web.example.com"
    assert found.reported_devices[0].ips[0].address == "192.0.2.7"
    assert (found.memory, found.cpu.topology.cores, len(found.nics)) == (3 << 30, 2, 1)
    assert f'ovf:id="{vm.id}"' in found.initialization.configuration.data


def test_a_job_is_found_by_its_correlation_id(lab: OvirtLab, client: Client, new_name: Callable[[], str]) -> None:
    vm = lab.add_vm(new_name(), [{"size": MiB}])
    client.vm(vm.id).snapshots_service().add(
        types.Snapshot(description="by a run", persist_memorystate=False), query={"correlation_id": "run-7"}
    )
    jobs = client.system.jobs_service()

    def statuses() -> set[str]:
        return {job.status.value for job in jobs.list(search="correlation_id=run-7")}

    until(lambda: statuses() == {"finished"}, "job finished")
    assert jobs.list(search="correlation_id=run-8") == []


def test_who_may_not_back_up_is_told_so(lab: OvirtLab, new_name: Callable[[], str]) -> None:
    lab.hook("user", name="reader@internal", password="reads", permits=["read"])
    vm, reader = lab.add_vm(new_name(), [{"size": MiB}]), Client(lab, "reader@internal", "reads")
    assert reader.vm(vm.id).get().name == vm.name
    with pytest.raises(sdk.AuthError, match="not authorized") as caught:
        reader.vm(vm.id).backups_service().add(types.Backup(disks=[types.Disk(id=vm.disks[0])]))
    assert caught.value.code == 403
    reader.close()


def test_who_may_not_see_a_vm_is_told_that_there_is_none(lab: OvirtLab, new_name: Callable[[], str]) -> None:
    seen, hidden = lab.add_vm(new_name(), []), lab.add_vm(new_name(), [])
    lab.hook("user", name="tenant@internal", password="rents", permits=["*"], vms=[seen.name])
    tenant = Client(lab, "tenant@internal", "rents")
    assert [vm.name for vm in tenant.system.vms_service().list()] == [seen.name]
    assert tenant.vm(seen.id).get().name == seen.name
    for ask in (tenant.vm(hidden.id).get, tenant.vm(hidden.id).backups_service().list, tenant.vm(hidden.id).start):
        with pytest.raises(sdk.NotFoundError):
            ask()
    tenant.close()


def test_an_old_engine_has_no_backups(lab: OvirtLab, client: Client, new_name: Callable[[], str]) -> None:
    vm = lab.add_vm(new_name(), [{"size": MiB}])
    lab.hook("settings", version="4.3.10")
    try:
        with pytest.raises(sdk.NotFoundError):
            client.vm(vm.id).backups_service().list()
        assert client.system.disks_service().disk_service(vm.disks[0]).get().backup is None
    finally:
        lab.hook("settings", version="4.5.5")
