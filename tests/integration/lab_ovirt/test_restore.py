"""A VM from its OVF, the traps of that, and snapshots of real volumes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ovirtsdk4 as sdk
import pytest
from lab.ovirt import OvirtLab
from ovirtsdk4 import types
from tests.integration.lab_ovirt.client import Client, KiB, MiB, checksum, noise, until, witness


@pytest.fixture(scope="module")
def dr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OvirtLab]:
    with OvirtLab(tmp_path_factory.mktemp("dr"), "dr", delay=0.05) as made:
        yield made


@pytest.fixture
def target(dr: OvirtLab) -> Iterator[Client]:
    made = Client(dr)
    yield made
    made.close()


def vm_from(ovf: str, name: str) -> types.Vm:
    configuration = types.Configuration(type=types.ConfigurationType.OVF, data=ovf)
    initialization = types.Initialization(configuration=configuration)
    return types.Vm(name=name, cluster=types.Cluster(name="Default"), initialization=initialization)


def ovf_of(client: Client, vm: str) -> str:
    return str(client.vm(vm).get(all_content=True).initialization.configuration.data)


def test_sites_trust_nothing_of_each_other(lab: OvirtLab, dr: OvirtLab) -> None:
    assert lab.fingerprint != dr.fingerprint
    stranger = sdk.Connection(url=dr.url, username=dr.user, password=dr.password_secret, ca_file=str(lab.ca))
    with pytest.raises(sdk.Error, match=r"SSL|certificate"):
        stranger.test(raise_exception=True)


def test_disks_of_the_same_ids_are_attached_as_they_were(
    lab: OvirtLab, client: Client, dr: OvirtLab, target: Client, tmp_path: Path, new_name: Callable[[], str]
) -> None:
    vm = lab.add_vm(new_name(), [{"size": 2 * MiB}, {"size": MiB, "interface": "sata"}], fqdn="w.example.com", cores=2)
    lab.guest_write(vm.disks[0], MiB, noise("root", 100 * KiB))
    ovf = ovf_of(client, vm.id)
    for number, disk in enumerate(vm.disks):
        source = tmp_path / f"{number}.qcow2"
        client.back_up(vm.id, disk, source)
        target.upload_disk(source, f"{vm.name}-{number}", id=disk, backup=types.DiskBackup.INCREMENTAL)
    target.system.vms_service().add(vm_from(ovf, vm.name))
    restored = target.vm(vm.id)
    attachments = {one.disk.id: one for one in restored.disk_attachments_service().list()}
    assert [attachments[disk].interface.value for disk in vm.disks] == ["virtio_scsi", "sata"]
    assert [attachments[disk].bootable for disk in vm.disks] == [True, False]
    assert restored.get().cpu.topology.cores == 2
    restored.start()
    target.await_up(vm.id)
    for disk in vm.disks:
        assert witness(dr, disk, tmp_path / "a") == witness(lab, disk, tmp_path / "b")
    dr.guest_write(vm.disks[0], 0, b"it lives")


def test_disks_that_are_not_there_are_only_an_event(
    lab: OvirtLab, client: Client, target: Client, new_name: Callable[[], str]
) -> None:
    vm = lab.add_vm(new_name(), [{"size": MiB}])
    target.system.vms_service().add(vm_from(ovf_of(client, vm.id), vm.name))
    assert target.vm(vm.id).disk_attachments_service().list() == []
    events = target.system.events_service().list(search=f"event_vm={vm.id}")
    assert f"failed to attach: {vm.name}_Disk1" in events[0].description


def test_a_clone_lives_beside_its_original(lab: OvirtLab, client: Client, new_name: Callable[[], str]) -> None:
    vm, vms = lab.add_vm(new_name(), [{"size": MiB}]), client.system.vms_service()
    ovf = ovf_of(client, vm.id)
    with pytest.raises(sdk.Error, match="name is already in use"):
        vms.add(vm_from(ovf, vm.name))
    with pytest.raises(sdk.Error, match="same identifier"):
        vms.add(vm_from(ovf, f"{vm.name}_restored"))
    clone = vms.add(vm_from(ovf, f"{vm.name}_restored"), clone=True)
    mac = client.vm(vm.id).nics_service().list()[0].mac.address
    nics = client.vm(clone.id).nics_service()
    assert clone.id != vm.id
    assert nics.list()[0].mac.address != mac
    profile = lab.hook("network", name=f"isolated-{vm.name}")["profile"]
    nics.nic_service(nics.list()[0].id).update(types.Nic(vnic_profile=types.VnicProfile(id=profile), linked=False))
    assert (nics.list()[0].vnic_profile.id, nics.list()[0].linked) == (profile, False)
    with pytest.raises(sdk.Error, match="MAC Address"):
        nics.add(types.Nic(name="nic9", mac=types.Mac(address=mac)))
    client.vm(clone.id).remove()


def test_a_mac_in_use_stops_an_import(lab: OvirtLab, client: Client, dr: OvirtLab, target: Client,
                                      new_name: Callable[[], str]) -> None:  # fmt: skip
    vm = lab.add_vm(new_name(), [], nics=[{"mac": "56:6f:aa:aa:aa:01"}])
    dr.add_vm(new_name(), [], nics=[{"mac": "56:6f:aa:aa:aa:01"}])
    with pytest.raises(sdk.Error, match="MAC Address 56:6f:aa:aa:aa:01 is already in use"):
        target.system.vms_service().add(vm_from(ovf_of(client, vm.id), vm.name))


def test_disks_outlive_a_vm_when_asked(lab: OvirtLab, client: Client, new_name: Callable[[], str]) -> None:
    vm = lab.add_vm(new_name(), [{"size": MiB}])
    with pytest.raises(sdk.Error, match="is running"):
        client.vm(vm.id).remove()
    client.vm(vm.id).stop()
    client.await_down(vm.id)
    client.vm(vm.id).remove(detach_only=True)
    disk = client.system.disks_service().disk_service(vm.disks[0])
    assert disk.get().status == types.DiskStatus.OK
    disk.remove()
    with pytest.raises(sdk.NotFoundError):
        disk.get()


def take_snapshot(client: Client, vm: str, name: str) -> Any:
    service = client.vm(vm).snapshots_service()
    made = service.snapshot_service(service.add(types.Snapshot(description=name, persist_memorystate=False)).id)
    until(lambda: made.get().snapshot_status == types.SnapshotStatus.OK, "snapshot ok")
    return made


def drop_snapshot(made: Any) -> None:
    made.remove()

    def is_gone() -> bool:
        try:
            made.get()
        except sdk.NotFoundError:
            return True
        return False

    until(is_gone, "snapshot merged")


def test_changes_are_tracked_across_snapshots(
    lab: OvirtLab, client: Client, tmp_path: Path, new_name: Callable[[], str]
) -> None:
    """What is written before, under and after two snapshots is in the incremental, merged or not."""
    vm = lab.add_vm(new_name(), [{"size": 8 * MiB}])
    disk = vm.disks[0]
    checkpoint = client.back_up(vm.id, disk, tmp_path / "0.qcow2")
    lab.guest_write(disk, 1 * MiB, noise("before", 64 * KiB))
    one = take_snapshot(client, vm.id, "one")
    lab.guest_write(disk, 2 * MiB, noise("on one", 64 * KiB))
    two = take_snapshot(client, vm.id, "two")
    lab.guest_write(disk, 3 * MiB, noise("on two", 64 * KiB))
    checkpoint = client.back_up(vm.id, disk, tmp_path / "1.qcow2", checkpoint, tmp_path / "0.qcow2")
    assert checksum(tmp_path / "1.qcow2") == witness(lab, disk, tmp_path / "w")
    lab.guest_write(disk, 4 * MiB, noise("after", 64 * KiB))
    drop_snapshot(one)
    lab.guest_write(disk, 5 * MiB, noise("between", 64 * KiB))
    drop_snapshot(two)
    lab.guest_write(disk, 6 * MiB, noise("late", 64 * KiB))
    client.back_up(vm.id, disk, tmp_path / "2.qcow2", checkpoint, tmp_path / "1.qcow2")
    assert checksum(tmp_path / "2.qcow2") == witness(lab, disk, tmp_path / "w")
    assert lab.state()["disks"][disk]["layers"] == 1


def test_a_snapshot_is_downloaded_while_the_guest_writes(
    lab: OvirtLab, client: Client, tmp_path: Path, new_name: Callable[[], str]
) -> None:
    """The old way: no backup API, the bytes come from a disk snapshot."""
    vm = lab.add_vm(new_name(), [{"size": 4 * MiB}])
    disk = vm.disks[0]
    lab.guest_write(disk, 0, noise("frozen", 64 * KiB))
    frozen = witness(lab, disk, tmp_path / "w")
    snapshot = take_snapshot(client, vm.id, "for a backup")
    lab.guest_write(disk, 0, noise("later", 64 * KiB))
    domain = client.system.storage_domains_service().list(search="name=prod-data")[0]
    volumes = client.system.storage_domains_service().storage_domain_service(domain.id).disk_snapshots_service().list()
    volume = next(one for one in volumes if one.snapshot and one.snapshot.id == snapshot.get().id)
    transfer = client.add_transfer(
        types.ImageTransfer(
            snapshot=types.DiskSnapshot(id=volume.id), direction=types.ImageTransferDirection.DOWNLOAD,
            format=types.DiskFormat.RAW,
        )
    )  # fmt: skip
    got = tmp_path / "got.raw"
    client.fetch_image(transfer, got)
    client.end_transfer(transfer)
    assert checksum(got) == frozen
    drop_snapshot(snapshot)
    assert witness(lab, disk, tmp_path / "w") != frozen
