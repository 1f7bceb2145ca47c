"""Backups and uploads of real bytes, by oVirt's own client through the real imageio daemon."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from lab.ovirt import OvirtLab
from ovirtsdk4 import types
from tests.integration.lab_ovirt.client import Client, KiB, MiB, checksum, fetch, fetch_json, noise, put, witness


def test_incrementals_hold_exactly_what_changed(
    lab: OvirtLab, client: Client, tmp_path: Path, new_name: Callable[[], str]
) -> None:
    vm = lab.add_vm(new_name(), [{"size": 16 * MiB}])
    disk = vm.disks[0]
    lab.guest_write(disk, 1 * MiB, noise("a", 200 * KiB))
    checkpoint = client.back_up(vm.id, disk, tmp_path / "0.qcow2")
    assert checksum(tmp_path / "0.qcow2") == witness(lab, disk, tmp_path / "w")

    lab.guest_write(disk, 8 * MiB, noise("b", 70 * KiB))
    lab.guest_zero(disk, 1 * MiB, 64 * KiB)
    checkpoint = client.back_up(vm.id, disk, tmp_path / "1.qcow2", checkpoint, tmp_path / "0.qcow2")
    assert checksum(tmp_path / "1.qcow2") == witness(lab, disk, tmp_path / "w")

    service = client.start_backup(vm.id, vm.disks, checkpoint)
    transfer = client.add_transfer(_download(disk, service.get().id))
    extents = fetch_json(lab, transfer.get().transfer_url + "/extents?context=dirty")
    client.end_transfer(transfer)
    client.end_backup(service)
    assert not any(one["dirty"] for one in extents)


def test_a_write_during_a_backup_is_in_the_next_one(
    lab: OvirtLab, client: Client, tmp_path: Path, new_name: Callable[[], str]
) -> None:
    vm = lab.add_vm(new_name(), [{"size": 16 * MiB}])
    disk = vm.disks[0]
    lab.guest_write(disk, 0, noise("before", 128 * KiB))
    frozen = witness(lab, disk, tmp_path / "w")
    service = client.start_backup(vm.id, vm.disks)
    lab.guest_write(disk, 64 * KiB, noise("during", 128 * KiB))
    client.download(disk, tmp_path / "0.qcow2", service.get().id)
    client.end_backup(service)
    assert checksum(tmp_path / "0.qcow2") == frozen

    checkpoint = service.get().to_checkpoint_id
    client.back_up(vm.id, disk, tmp_path / "1.qcow2", checkpoint, tmp_path / "0.qcow2")
    assert checksum(tmp_path / "1.qcow2") == witness(lab, disk, tmp_path / "w") != frozen


def test_bitmaps_are_merged_for_an_older_checkpoint(
    lab: OvirtLab, client: Client, tmp_path: Path, new_name: Callable[[], str]
) -> None:
    vm = lab.add_vm(new_name(), [{"size": 16 * MiB}])
    disk = vm.disks[0]
    first = client.back_up(vm.id, disk, tmp_path / "0.qcow2")
    lab.guest_write(disk, 2 * MiB, noise("one", 64 * KiB))
    client.end_backup(client.start_backup(vm.id, vm.disks, first))
    lab.guest_write(disk, 4 * MiB, noise("two", 64 * KiB))
    client.back_up(vm.id, disk, tmp_path / "2.qcow2", first, tmp_path / "0.qcow2")
    assert checksum(tmp_path / "2.qcow2") == witness(lab, disk, tmp_path / "w")


def test_forgetting_a_checkpoint_keeps_what_the_older_ones_know(
    lab: OvirtLab, client: Client, tmp_path: Path, new_name: Callable[[], str]
) -> None:
    vm = lab.add_vm(new_name(), [{"size": 16 * MiB}])
    disk = vm.disks[0]
    first = client.back_up(vm.id, disk, tmp_path / "0.qcow2")
    lab.guest_write(disk, 2 * MiB, noise("one", 64 * KiB))
    middle = client.start_backup(vm.id, vm.disks, first)
    client.end_backup(middle)
    lab.guest_write(disk, 4 * MiB, noise("two", 64 * KiB))
    checkpoints = client.vm(vm.id).checkpoints_service()
    checkpoints.checkpoint_service(middle.get().to_checkpoint_id).remove()
    lab.guest_write(disk, 6 * MiB, noise("three", 64 * KiB))
    client.back_up(vm.id, disk, tmp_path / "2.qcow2", first, tmp_path / "0.qcow2")
    assert checksum(tmp_path / "2.qcow2") == witness(lab, disk, tmp_path / "w")
    checkpoints.checkpoint_service(first).remove()
    assert len(checkpoints.list()) == 1


def test_raw_and_late_disks_are_full_in_an_incremental(
    lab: OvirtLab, client: Client, new_name: Callable[[], str]
) -> None:
    vm = lab.add_vm(new_name(), [{"size": 4 * MiB}, {"size": 4 * MiB, "format": "raw"}])
    service = client.start_backup(vm.id, vm.disks)
    client.end_backup(service)
    late = client.add_disk("late", 4 * MiB, backup=types.DiskBackup.INCREMENTAL)
    client.vm(vm.id).disk_attachments_service().add(
        types.DiskAttachment(disk=types.Disk(id=late.id), interface=types.DiskInterface.VIRTIO, active=True)
    )
    disks = (*vm.disks, late.id)
    service = client.start_backup(vm.id, disks, service.get().to_checkpoint_id)
    assert client.modes(service) == {disks[0]: "incremental", disks[1]: "full", disks[2]: "full"}
    client.end_backup(service)


def test_two_disks_are_frozen_at_one_instant(
    lab: OvirtLab, client: Client, tmp_path: Path, new_name: Callable[[], str]
) -> None:
    """Writes go to disk 1, then to disk 2, each with a number: a later number on disk 2 would be a torn point."""
    vm = lab.add_vm(new_name(), [{"size": 1 * MiB}, {"size": 1 * MiB}])
    one, two = vm.disks
    wish = types.Backup(disks=[types.Disk(id=disk) for disk in vm.disks])
    made = client.vm(vm.id).backups_service().add(wish)
    service = client.vm(vm.id).backups_service().backup_service(made.id)
    number = 0
    while service.get().phase != types.BackupPhase.READY:
        number += 1
        lab.guest_write(one, 0, number.to_bytes(512, "big"))
        lab.guest_write(two, 0, number.to_bytes(512, "big"))
    numbers = []
    for disk in (one, two):
        client.download(disk, tmp_path / disk, service.get().id, fmt="raw")
        numbers.append(int.from_bytes((tmp_path / disk).read_bytes()[:512], "big"))
    client.end_backup(service)
    assert numbers[0] - numbers[1] in (0, 1)


def test_a_stopped_vm_is_backed_up_too(
    lab: OvirtLab, client: Client, tmp_path: Path, new_name: Callable[[], str]
) -> None:
    vm = lab.add_vm(new_name(), [{"size": 8 * MiB}])
    disk = vm.disks[0]
    lab.guest_write(disk, MiB, noise("live", 64 * KiB))
    checkpoint = client.back_up(vm.id, disk, tmp_path / "0.qcow2")
    lab.guest_write(disk, 2 * MiB, noise("last words", 64 * KiB))
    client.vm(vm.id).stop()
    client.await_down(vm.id)
    client.back_up(vm.id, disk, tmp_path / "1.qcow2", checkpoint, tmp_path / "0.qcow2")
    assert checksum(tmp_path / "1.qcow2") == witness(lab, disk, tmp_path / "w")


def test_upload_writes_the_disk(lab: OvirtLab, client: Client, tmp_path: Path) -> None:
    source = tmp_path / "source.raw"
    source.write_bytes(bytes(MiB) + noise("up", MiB) + bytes(2 * MiB))
    disk = client.upload_disk(source, "uploaded")
    assert witness(lab, disk.id, tmp_path / "w") == checksum(source)
    client.download(disk.id, tmp_path / "back.qcow2")
    assert checksum(tmp_path / "back.qcow2") == checksum(source)


@pytest.mark.parametrize("direction", ["download", "upload"])
def test_a_qcow2_goes_as_it_is(lab: OvirtLab, client: Client, tmp_path: Path, direction: str) -> None:
    """Transfers of format cow move the file itself."""
    source = tmp_path / "source.raw"
    source.write_bytes(noise("cow", MiB))
    disk = client.upload_disk(source, f"as-it-is-{direction}")
    transfer = client.add_transfer(
        types.ImageTransfer(
            disk=types.Disk(id=disk.id), direction=types.ImageTransferDirection.DOWNLOAD, format=types.DiskFormat.COW
        )
    )
    got = tmp_path / "got.qcow2"
    got.write_bytes(fetch(lab, transfer.get().transfer_url))
    client.end_transfer(transfer)
    if direction == "upload":
        disk = client.add_disk("fresh", MiB)
        transfer = client.add_transfer(
            types.ImageTransfer(
                disk=types.Disk(id=disk.id), direction=types.ImageTransferDirection.UPLOAD, format=types.DiskFormat.COW
            )
        )
        put(lab, transfer.get().transfer_url, got.read_bytes())
        client.end_transfer(transfer)
        assert witness(lab, disk.id, tmp_path / "w") == checksum(source)
    assert checksum(got) == checksum(source)


def _download(disk: str, backup: str) -> types.ImageTransfer:
    return types.ImageTransfer(
        disk=types.Disk(id=disk), direction=types.ImageTransferDirection.DOWNLOAD, format=types.DiskFormat.RAW,
        backup=types.Backup(id=backup),
    )  # fmt: skip
