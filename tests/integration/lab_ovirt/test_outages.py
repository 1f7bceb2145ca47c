"""Faults on demand, and deaths: of the engine, of imageio, of the whole lab."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ovirtsdk4 as sdk
import pytest
from lab.ovirt import OvirtLab
from ovirtsdk4 import types
from tests.integration.lab_ovirt.client import Client, KiB, MiB, checksum, fetch, noise, until, witness

from vmferry.engine.endpoint import EndpointSpec
from vmferry.engine.endpoints import open_target


def test_html_from_a_proxy(lab: OvirtLab, client: Client) -> None:
    lab.fault("html503", {"method": "GET", "path": "/vms$"})
    with pytest.raises(sdk.Error, match="isn't the expected XML") as caught:
        client.system.vms_service().list()
    assert caught.value.code is None
    client.system.vms_service().list()


def test_an_answer_that_is_lost(lab: OvirtLab, client: Client, new_name: Callable[[], str]) -> None:
    """The call was carried out: whoever asks again under the same id finds it."""
    vm = lab.add_vm(new_name(), [{"size": MiB}])
    wish = types.Backup(id="99999999-2222-3333-4444-555555555555", disks=[types.Disk(id=vm.disks[0])])
    lab.fault("lose_answer", {"method": "POST", "path": "/backups$"})
    with pytest.raises(sdk.Error):
        client.vm(vm.id).backups_service().add(wish)
    other = Client(lab)
    service = other.vm(vm.id).backups_service().backup_service(wish.id)
    until(lambda: service.get().phase == types.BackupPhase.READY, "backup ready")
    other.end_backup(service)
    other.close()


@pytest.mark.parametrize(
    ("fault", "value", "code"),
    [("409", None, 409), ("status", 500, 500), ("status", 404, 404)],
    ids=["409", "500", "404"],
)
def test_statuses(lab: OvirtLab, client: Client, fault: str, value: int | None, code: int) -> None:
    lab.fault(fault, {"path": "/vms$"}, value=value, detail="[because]", skip=1)
    client.system.vms_service().list()
    with pytest.raises(sdk.Error, match="because") as caught:
        client.system.vms_service().list()
    assert caught.value.code == code


def test_phases_go_where_a_fault_sends_them(lab: OvirtLab, client: Client, new_name: Callable[[], str]) -> None:
    vm = lab.add_vm(new_name(), [{"size": MiB}])
    lab.fault("failed", {"entity": "backup", "phase": "ready", "vm": vm.id})
    backups = client.vm(vm.id).backups_service()
    wish = types.Backup(disks=[types.Disk(id=vm.disks[0])])
    failed = backups.backup_service(backups.add(wish).id)
    until(lambda: failed.get().phase == types.BackupPhase.FAILED, "backup failed")
    until(lambda: not lab.state()["locked_disks"], "disks unlocked")
    service = client.start_backup(vm.id, vm.disks)
    transfers = client.system.image_transfers_service()
    for action, phase in (("paused", "paused_system"), ("failed", "finished_failure")):
        lab.fault(action, {"entity": "transfer", "phase": "transferring", "disk": vm.disks[0]})
        transfer = transfers.image_transfer_service(
            transfers.add(
                types.ImageTransfer(
                    disk=types.Disk(id=vm.disks[0]), direction=types.ImageTransferDirection.DOWNLOAD,
                    format=types.DiskFormat.RAW, backup=types.Backup(id=service.get().id),
                )
            ).id
        )  # fmt: skip
        client.await_phase(transfer, types.ImageTransferPhase(phase))
        if phase == "paused_system":
            transfer.cancel()
            client.await_phase(transfer, types.ImageTransferPhase.FINISHED_CLEANUP)
    client.end_backup(service)


def test_sizes_and_bitmaps_that_are_wrong(
    lab: OvirtLab, client: Client, tmp_path: Path, new_name: Callable[[], str]
) -> None:
    vm = lab.add_vm(new_name(), [{"size": MiB}])
    checkpoint = client.back_up(vm.id, vm.disks[0], tmp_path / "0.qcow2")
    lab.fault("broken_bitmap", {"entity": "backup", "phase": "frozen", "vm": vm.id})
    service = client.start_backup(vm.id, vm.disks, checkpoint)
    transfers = client.system.image_transfers_service()
    wish = types.ImageTransfer(
        disk=types.Disk(id=vm.disks[0]), direction=types.ImageTransferDirection.DOWNLOAD,
        format=types.DiskFormat.RAW, backup=types.Backup(id=service.get().id),
    )  # fmt: skip
    transfer = transfers.image_transfer_service(transfers.add(wish).id)
    client.await_phase(transfer, types.ImageTransferPhase.FINISHED_FAILURE)
    client.end_backup(service)

    service = client.start_backup(vm.id, vm.disks)
    wish.backup = types.Backup(id=service.get().id)
    lab.fault("wrong_size", {"entity": "transfer", "phase": "initializing"}, value=-64 * KiB)
    transfer = client.add_transfer(wish)
    assert len(fetch(lab, transfer.get().transfer_url)) == MiB - 64 * KiB
    client.end_transfer(transfer)
    client.end_backup(service)
    lab.hook("set_disk", disk=vm.disks[0], reported_size=2 * MiB)
    assert client.system.disks_service().disk_service(vm.disks[0]).get().provisioned_size == 2 * MiB


def test_slow_bytes(lab: OvirtLab, client: Client, new_name: Callable[[], str]) -> None:
    """A real throttle: a client that waits for its bytes is not idle, and the transfer goes on."""
    vm = lab.add_vm(new_name(), [{"size": 4 * MiB}])
    lab.guest_write(vm.disks[0], 0, noise("slow", 4 * MiB))
    lab.fault("slow", {"entity": "backup", "phase": "frozen", "vm": vm.id}, value=2 * MiB)
    service = client.start_backup(vm.id, vm.disks)
    transfer = client.add_transfer(
        types.ImageTransfer(
            disk=types.Disk(id=vm.disks[0]), direction=types.ImageTransferDirection.DOWNLOAD,
            format=types.DiskFormat.RAW, backup=types.Backup(id=service.get().id), inactivity_timeout=1,
        )
    )  # fmt: skip
    assert fetch(lab, transfer.get().transfer_url) == noise("slow", 4 * MiB)
    client.end_transfer(transfer)
    client.end_backup(service)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OvirtLab]:
    with OvirtLab(tmp_path / "own", "own", delay=0.05) as made:
        yield made


def open_backup(lab: OvirtLab, disk_bytes: int = 4 * MiB) -> tuple[Any, Any, Client, Any]:
    """A backup in the middle of a download."""
    vm, client = lab.add_vm("web01", [{"size": disk_bytes}]), Client(lab)
    lab.guest_write(vm.disks[0], MiB, noise("data", MiB))
    service = client.start_backup(vm.id, vm.disks)
    transfer = client.add_transfer(
        types.ImageTransfer(
            disk=types.Disk(id=vm.disks[0]), direction=types.ImageTransferDirection.DOWNLOAD,
            format=types.DiskFormat.RAW, backup=types.Backup(id=service.get().id),
        )
    )  # fmt: skip
    return vm, service.get(), client, transfer.get()


def test_orphans_are_there_after_the_engine_was_killed(own: OvirtLab, tmp_path: Path) -> None:
    vm, backup, client, transfer = open_backup(own)
    frozen = witness(own, vm.disks[0], tmp_path / "w")
    own.kill_engine()
    with pytest.raises(sdk.Error):
        client.vm(vm.id).get()
    got = tmp_path / "got.raw"
    got.write_bytes(fetch(own, transfer.transfer_url))
    assert checksum(got) == frozen, "the host goes on without the engine"
    own.start_engine()
    client.close_quietly()
    client = Client(own)
    backups = client.vm(vm.id).backups_service()
    assert [(one.id, one.phase) for one in backups.list()] == [(backup.id, types.BackupPhase.READY)]
    transfers = client.system.image_transfers_service()
    assert [one.id for one in transfers.list()] == [transfer.id]
    own.guest_write(vm.disks[0], 0, noise("after", 64 * KiB))
    client.end_transfer(transfers.image_transfer_service(transfer.id))
    client.end_backup(backups.backup_service(backup.id))
    parent = tmp_path / "0.qcow2"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(got), str(parent)], check=True)
    client.back_up(vm.id, vm.disks[0], tmp_path / "1.qcow2", backup.to_checkpoint_id, parent)
    assert checksum(tmp_path / "1.qcow2") == witness(own, vm.disks[0], tmp_path / "w")
    client.close()


@pytest.mark.parametrize(
    ("entity", "phase"),
    [("backup", "ready"), ("backup", "succeeded"), ("snapshot", "ok"), ("snapshot", "locked")],
    ids=lambda value: value,
)
def test_nothing_is_lost_when_the_engine_dies_at(own: OvirtLab, tmp_path: Path, entity: str, phase: str) -> None:
    """It dies between what it had qemu do and what it wrote down."""
    vm, client = own.add_vm("web01", [{"size": 8 * MiB}]), Client(own)
    disk = vm.disks[0]
    checkpoint = client.back_up(vm.id, disk, tmp_path / "0.qcow2")
    own.guest_write(disk, MiB, noise("one", 64 * KiB))
    own.fault("kill_engine", {"entity": entity, "phase": phase})
    with contextlib.suppress(sdk.Error, AssertionError):
        work(client, vm.id, disk, entity)
    own.await_engine_death()
    client.close_quietly()
    write_as_guest(vm.guest_urls[disk], 2 * MiB)
    own.start_engine()
    client = Client(own)
    settle(client, own, vm.id)
    own.guest_write(disk, 3 * MiB, noise("two", 64 * KiB))
    client.back_up(vm.id, disk, tmp_path / "1.qcow2", checkpoint, tmp_path / "0.qcow2")
    assert checksum(tmp_path / "1.qcow2") == witness(own, disk, tmp_path / "w")
    client.close()


@pytest.mark.parametrize("first", [0, 1], ids=["the one below", "the one on top"])
def test_nothing_is_lost_when_the_engine_dies_after_a_merge(own: OvirtLab, tmp_path: Path, first: int) -> None:
    vm, client = own.add_vm("web01", [{"size": 8 * MiB}]), Client(own)
    disk = vm.disks[0]
    checkpoint = client.back_up(vm.id, disk, tmp_path / "0.qcow2")
    service, snapshots = client.vm(vm.id).snapshots_service(), []
    for number in (1, 2):
        own.guest_write(disk, number * MiB, noise(f"{number}", 64 * KiB))
        snapshots.append(service.add(types.Snapshot(description=f"{number}", persist_memorystate=False)).id)
        until(lambda: not own.state()["locked_disks"], "snapshot taken")
    own.fault("kill_engine", {"entity": "snapshot", "phase": "merged"})
    service.snapshot_service(snapshots[first]).remove()
    own.await_engine_death()
    client.close_quietly()
    write_as_guest(vm.guest_urls[disk], 3 * MiB)
    own.start_engine()
    client = Client(own)
    until(lambda: own.state()["snapshots"] == [snapshots[1 - first]], "merged after all")
    write_as_guest(vm.guest_urls[disk], 4 * MiB)
    client.back_up(vm.id, disk, tmp_path / "1.qcow2", checkpoint, tmp_path / "0.qcow2")
    assert checksum(tmp_path / "1.qcow2") == witness(own, disk, tmp_path / "w")
    client.vm(vm.id).snapshots_service().snapshot_service(snapshots[1 - first]).remove()
    until(lambda: own.state()["snapshots"] == [], "all merged")
    assert checksum(tmp_path / "1.qcow2") == witness(own, disk, tmp_path / "w")
    client.close()


def write_as_guest(url: str, offset: int) -> None:
    """Write without the engine."""
    with contextlib.closing(open_target(EndpointSpec("nbd", url), 0)) as guest:
        connection = guest.connect()
        connection.write(offset, memoryview(noise("the guest goes on", 64 * KiB)))
        connection.flush()
        connection.close()


def work(client: Client, vm: str, disk: str, entity: str) -> None:
    if entity == "backup":
        client.end_backup(client.start_backup(vm, (disk,)))
    else:
        client.vm(vm).snapshots_service().add(types.Snapshot(description="s", persist_memorystate=False))


def settle(client: Client, lab: OvirtLab, vm: str) -> None:
    """End what an earlier run left, as a janitor does."""
    until(lambda: "initializing" not in lab.state()["open_backups"].values(), "backup goes on")
    until(lambda: "starting" not in lab.state()["open_backups"].values(), "backup goes on")
    backups = client.vm(vm).backups_service()
    for one in backups.list():
        if one.phase == types.BackupPhase.READY:
            client.end_backup(backups.backup_service(one.id))
    until(lambda: not lab.state()["open_backups"] and not lab.state()["locked_disks"], "all at rest")


def test_tickets_are_gone_when_imageio_was_killed(own: OvirtLab) -> None:
    vm, backup, client, transfer = open_backup(own)
    own.fault("restart_imageio")
    service = client.system.image_transfers_service().image_transfer_service(transfer.id)
    client.await_phase(service, types.ImageTransferPhase.FINISHED_FAILURE)
    client.end_backup(client.vm(vm.id).backups_service().backup_service(backup.id))
    client.close()


def test_a_site_is_there_again_with_its_bitmaps(tmp_path: Path) -> None:
    with OvirtLab(tmp_path / "site", delay=0.05) as lab:
        vm, client = lab.add_vm("web01", [{"size": 4 * MiB}]), Client(lab)
        checkpoint = client.back_up(vm.id, vm.disks[0], tmp_path / "0.qcow2")
        lab.guest_write(vm.disks[0], MiB, noise("data", 64 * KiB))
        client.close()
        fingerprint, password = lab.fingerprint, lab.password_secret
    with OvirtLab(tmp_path / "site", delay=0.05) as lab:
        assert (lab.fingerprint, lab.password_secret) == (fingerprint, password)
        client = Client(lab)
        client.back_up(vm.id, vm.disks[0], tmp_path / "1.qcow2", checkpoint, tmp_path / "0.qcow2")
        assert checksum(tmp_path / "1.qcow2") == witness(lab, vm.disks[0], tmp_path / "w")
        client.close()


def test_a_process_of_its_own_ends_with_its_parent(tmp_path: Path) -> None:
    inner = [sys.executable, "-m", "lab.ovirt", "--dir", str(tmp_path / "site"), "--name", "alone"]
    outer = "import subprocess, sys, time; subprocess.Popen(sys.argv[1:]); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", outer, *inner], stdout=subprocess.PIPE, env=_environment()) as parent:
        assert parent.stdout
        told = json.loads(parent.stdout.readline())
        assert told["simulator"] is True
        client = sdk.Connection(url=told["url"], username=told["user"], password=told["password"], ca_file=told["ca"])
        assert client.test(raise_exception=True)
        os.kill(parent.pid, signal.SIGKILL)
        assert parent.stdout.read() == b"", "the pipe closes when the last process that holds it has ended"


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
