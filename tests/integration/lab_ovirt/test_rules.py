"""What an engine refuses, and what it lets happen."""

from __future__ import annotations

import contextlib
import http.client
import ssl
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ovirtsdk4 as sdk
import pytest
from lab.ovirt import OvirtLab
from ovirtsdk4 import types
from tests.integration.lab_ovirt.client import Client, KiB, MiB, checksum, noise, until, witness


@contextlib.contextmanager
def refused(text: str, code: int = 409) -> Any:
    with pytest.raises(sdk.Error, match=text) as caught:
        yield
    assert caught.value.code == code


def download_of(disk: str, backup: str | None = None, **more: Any) -> types.ImageTransfer:
    return types.ImageTransfer(
        disk=types.Disk(id=disk), direction=types.ImageTransferDirection.DOWNLOAD, format=types.DiskFormat.RAW,
        backup=types.Backup(id=backup) if backup else None, **more,
    )  # fmt: skip


def test_one_backup_of_a_vm_at_a_time(lab: OvirtLab, client: Client, new_name: Callable[[], str]) -> None:
    vm = lab.add_vm(new_name(), [{"size": MiB}])
    chosen = "11111111-2222-3333-4444-555555555555"
    service = client.start_backup(vm.id, vm.disks, id=chosen, description="run 1")
    assert (service.get().id, service.get().description) == (chosen, "run 1")
    backups, transfers = client.vm(vm.id).backups_service(), client.system.image_transfers_service()
    with refused("during a backup"):
        backups.add(types.Backup(disks=[types.Disk(id=vm.disks[0])]))
    with refused("already exists"):
        backups.add(types.Backup(id=chosen, disks=[types.Disk(id=vm.disks[0])]))
    with refused("during a backup"):
        client.vm(vm.id).snapshots_service().add(types.Snapshot(description="no", persist_memorystate=False))
    with refused("during a backup"):
        client.vm(vm.id).stop()
    transfer = client.add_transfer(download_of(vm.disks[0], chosen))
    with refused("active image transfers"):
        service.finalize()
    with refused("being transferred"):
        transfers.add(download_of(vm.disks[0], chosen))
    client.end_transfer(transfer)
    client.end_backup(service)
    with refused("backup phase is succeeded"):
        transfers.add(download_of(vm.disks[0], chosen))
    state = lab.state()
    assert (state["open_backups"], state["open_transfers"], state["locked_disks"]) == ({}, {}, [])
    assert chosen in client.system.events_service().list(search=chosen)[0].description


@pytest.mark.parametrize("status", ["paused", "migrating"])
def test_a_vm_that_is_neither_up_nor_down(
    lab: OvirtLab, client: Client, new_name: Callable[[], str], status: str
) -> None:
    vm = lab.add_vm(new_name(), [{"size": MiB}])
    lab.hook("set_vm", vm=vm.id, status=status)
    with refused("Up or Down"):
        client.vm(vm.id).backups_service().add(types.Backup(disks=[types.Disk(id=vm.disks[0])]))


@pytest.mark.parametrize(
    ("disk", "text"),
    [({"lun": True}, "direct LUN"), ({"shareable": True}, "shareable"), ({"active": False}, "not active")],
    ids=["lun", "shareable", "inactive"],
)
def test_disks_that_cannot_be_backed_up(
    lab: OvirtLab, client: Client, new_name: Callable[[], str], disk: dict[str, Any], text: str
) -> None:
    vm = lab.add_vm(new_name(), [{"size": MiB, **disk}])
    with refused(text):
        client.vm(vm.id).backups_service().add(types.Backup(disks=[types.Disk(id=vm.disks[0])]))


def test_an_engine_4_4_mixes_no_modes_and_forgets_only_the_oldest_checkpoint(
    lab: OvirtLab, client: Client, new_name: Callable[[], str]
) -> None:
    vm = lab.add_vm(new_name(), [{"size": MiB}, {"size": MiB, "format": "raw"}])
    lab.hook("settings", version="4.4.10")
    try:
        first = client.start_backup(vm.id, vm.disks)
        assert not [one for one in client.vm(vm.id).snapshots_service().list() if "Auto" in one.description]
        client.end_backup(first)
        since = first.get().to_checkpoint_id
        with refused("mixed backups are not supported"):
            client.start_backup(vm.id, vm.disks, since)
        second = client.start_backup(vm.id, vm.disks[:1], since)
        client.end_backup(second)
        checkpoints = client.vm(vm.id).checkpoints_service()
        with refused("Only the root"):
            checkpoints.checkpoint_service(second.get().to_checkpoint_id).remove()
        checkpoints.checkpoint_service(since).remove()
        with refused("does not exist"):
            client.start_backup(vm.id, vm.disks[:1], since)
    finally:
        lab.hook("settings", version="4.5.5")


def test_a_lost_bitmap_fails_the_transfer_and_a_full_backup_still_works(
    lab: OvirtLab, client: Client, tmp_path: Path, new_name: Callable[[], str]
) -> None:
    vm = lab.add_vm(new_name(), [{"size": 4 * MiB}])
    checkpoint = client.back_up(vm.id, vm.disks[0], tmp_path / "0.qcow2")
    lab.hook("drop_bitmap", disk=vm.disks[0], checkpoint=checkpoint)
    service = client.start_backup(vm.id, vm.disks, checkpoint)
    assert client.modes(service) == {vm.disks[0]: "incremental"}
    transfers = client.system.image_transfers_service()
    transfer = transfers.image_transfer_service(transfers.add(download_of(vm.disks[0], service.get().id)).id)
    client.await_phase(transfer, types.ImageTransferPhase.FINISHED_FAILURE)
    found = [event.description for event in client.system.events_service().list(search=service.get().id)]
    assert any("Bitmap does not exist" in text for text in found)
    client.end_backup(service)
    client.back_up(vm.id, vm.disks[0], tmp_path / "1.qcow2")


def test_a_crash_of_the_host_breaks_the_bitmaps_for_real(
    lab: OvirtLab, client: Client, tmp_path: Path, new_name: Callable[[], str]
) -> None:
    vm = lab.add_vm(new_name(), [{"size": 4 * MiB}])
    checkpoint = client.back_up(vm.id, vm.disks[0], tmp_path / "0.qcow2")
    lab.guest_write(vm.disks[0], 0, noise("x", 64 * KiB))
    lab.hook("crash", vm=vm.id)
    client.vm(vm.id).start()
    client.await_up(vm.id)
    service = client.start_backup(vm.id, vm.disks, checkpoint)
    transfers = client.system.image_transfers_service()
    transfer = transfers.image_transfer_service(transfers.add(download_of(vm.disks[0], service.get().id)).id)
    client.await_phase(transfer, types.ImageTransferPhase.FINISHED_FAILURE)
    client.end_backup(service)
    client.back_up(vm.id, vm.disks[0], tmp_path / "1.qcow2")
    assert checksum(tmp_path / "1.qcow2") == witness(lab, vm.disks[0], tmp_path / "w")


def test_consistency_needs_the_guest_agent(lab: OvirtLab, client: Client, new_name: Callable[[], str]) -> None:
    vm = lab.add_vm(new_name(), [{"size": MiB}])
    backups = client.vm(vm.id).backups_service()
    wish = types.Backup(disks=[types.Disk(id=vm.disks[0])])
    failed = backups.backup_service(backups.add(wish, require_consistency=True).id)
    until(lambda: failed.get().phase == types.BackupPhase.FAILED, "backup failed")
    lab.hook("set_vm", vm=vm.id, fqdn="web.example.com", agent=True)
    service = backups.backup_service(backups.add(wish, require_consistency=True).id)
    until(lambda: service.get().phase == types.BackupPhase.READY, "backup ready")
    client.end_backup(service)


def test_cancelling_an_upload_deletes_its_disk(lab: OvirtLab, client: Client) -> None:
    disk = client.add_disk("cancelled", MiB)
    disks = client.system.disks_service()
    transfer = client.add_transfer(
        types.ImageTransfer(
            disk=types.Disk(id=disk.id), direction=types.ImageTransferDirection.UPLOAD, format=types.DiskFormat.RAW
        )
    )
    assert disks.disk_service(disk.id).get().status == types.DiskStatus.LOCKED
    transfer.pause()
    assert transfer.get().phase == types.ImageTransferPhase.PAUSED_USER
    transfer.resume()
    client.await_phase(transfer, types.ImageTransferPhase.TRANSFERRING)
    transfer.extend()
    transfer.cancel()
    client.await_phase(transfer, types.ImageTransferPhase.FINISHED_CLEANUP)
    with pytest.raises(sdk.NotFoundError):
        disks.disk_service(disk.id).get()


@pytest.mark.parametrize(
    ("direction", "policy", "phase"),
    [
        ("download", "cancel", "finished_failure"),
        ("download", "legacy", "finished_failure"),
        ("download", "pause", "paused_system"),
        ("upload", "legacy", "paused_system"),
    ],
)
def test_a_silent_client(lab: OvirtLab, client: Client, direction: str, policy: str, phase: str) -> None:
    disk = client.add_disk(f"silent-{direction}-{policy}", MiB)
    wish = types.ImageTransfer(
        disk=types.Disk(id=disk.id), direction=types.ImageTransferDirection(direction), format=types.DiskFormat.RAW,
        inactivity_timeout=1, timeout_policy=types.ImageTransferTimeoutPolicy(policy),
    )  # fmt: skip
    client.await_phase(client.add_transfer(wish), types.ImageTransferPhase(phase))


def test_a_transfer_cannot_end_while_a_client_reads(lab: OvirtLab, client: Client) -> None:
    """The client stops in the middle of a download: the daemon will not let the ticket go, the phase stays."""
    disk = client.add_disk("stalled", 256 * MiB)
    transfer = client.add_transfer(download_of(disk.id))
    url = urllib.parse.urlsplit(transfer.get().transfer_url)
    context = ssl.create_default_context(cafile=str(lab.ca))
    connection = http.client.HTTPSConnection("localhost", url.port or 0, context=context, timeout=60)
    connection.request("GET", url.path)
    answer = connection.getresponse()
    transfer.finalize()
    log = lab.directory / "imageio" / "daemon.log"
    until(lambda: "Timeout cancelling transfer" in log.read_text(), "the daemon refuses to remove the ticket")
    assert transfer.get().phase == types.ImageTransferPhase.FINALIZING_SUCCESS
    answer.close()
    connection.close()
    client.await_phase(transfer, types.ImageTransferPhase.FINISHED_SUCCESS)


def test_room_and_quota(lab: OvirtLab, client: Client) -> None:
    lab.hook("domain", name="small", size=64 * MiB)
    small = [types.StorageDomain(name="small")]
    disks = client.system.disks_service()

    def wish(**facts: Any) -> types.Disk:
        return types.Disk(
            name="too-large", provisioned_size=128 * MiB, format=types.DiskFormat.COW, storage_domains=small, **facts
        )

    with refused("Low disk space"):
        disks.add(wish(initial_size=100 * MiB))
    lab.hook("domain", name="small", quota=100 * MiB)
    with refused("Quota"):
        disks.add(wish())
    lab.hook("domain", name="small", status="maintenance")
    with refused("maintenance"):
        disks.add(wish())
    found = client.system.storage_domains_service().list(search="name=small")[0]
    assert (found.available, found.used) == (64 * MiB, 0)
