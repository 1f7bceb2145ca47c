"""The unmodified SDK and imageio client against the simulated engine, used as oVirt's own examples use them."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import ssl
import time
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ovirtsdk4 as sdk
from lab.ovirt import OvirtLab
from ovirt_imageio import client as imageio
from ovirtsdk4 import types

WAIT_S = 60.0
KiB, MiB = 1 << 10, 1 << 20


def until(holds: Callable[[], Any], what: str) -> Any:
    """Poll until something holds."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        found = holds()
        if found:
            return found
        time.sleep(0.03)
    raise AssertionError(f"this did not happen: {what}")


@contextlib.contextmanager
def leaks_allowed() -> Iterator[None]:
    """The imageio client leaves a socket to its qemu-nbd open; that is not what we test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


class Client:
    """One log-in."""

    def __init__(self, lab: OvirtLab, user: str | None = None, password: str | None = None) -> None:
        self.lab = lab
        self.connection = sdk.Connection(
            url=lab.url, username=user or lab.user, password=password or lab.password_secret, ca_file=str(lab.ca),
            timeout=60,
        )  # fmt: skip
        self.system = self.connection.system_service()

    def close(self) -> None:
        self.connection.close()

    def close_quietly(self) -> None:
        """Close a log-in whose engine is gone: logging out would raise a bare pycurl.error."""
        self.connection.close(logout=False)

    def fetch_image(self, transfer: Any, path: Path) -> None:
        """Download what a transfer offers, as raw."""
        with leaks_allowed():
            imageio.download(transfer.get().transfer_url, str(path), str(self.lab.ca), fmt="raw")

    def vm(self, id: str) -> Any:
        return self.system.vms_service().vm_service(id)

    def start_backup(self, vm: str, disks: tuple[str, ...], since: str | None = None, **more: Any) -> Any:
        """Start a backup and wait until it is ready."""
        wish = types.Backup(disks=[types.Disk(id=disk) for disk in disks], from_checkpoint_id=since, **more)
        made = self.vm(vm).backups_service().add(wish)
        service = self.vm(vm).backups_service().backup_service(made.id)
        until(lambda: service.get().phase == types.BackupPhase.READY, "backup ready")
        return service

    def end_backup(self, service: Any) -> None:
        service.finalize()
        until(lambda: service.get().phase == types.BackupPhase.SUCCEEDED, "backup succeeded")

    def modes(self, service: Any) -> dict[str, str]:
        return {disk.id: disk.backup_mode.value for disk in service.disks_service().list()}

    def add_transfer(self, wish: Any) -> Any:
        """Start a transfer and wait until it can be used."""
        service = self.system.image_transfers_service()
        made = service.image_transfer_service(service.add(wish).id)
        until(lambda: made.get().phase == types.ImageTransferPhase.TRANSFERRING, "transferring")
        return made

    def end_transfer(self, service: Any) -> None:
        service.finalize()
        until(lambda: service.get().phase == types.ImageTransferPhase.FINISHED_SUCCESS, "transfer finished")

    def await_down(self, vm: str) -> None:
        until(lambda: self.vm(vm).get().status == types.VmStatus.DOWN, "vm down")

    def await_up(self, vm: str) -> None:
        until(lambda: self.vm(vm).get().status == types.VmStatus.UP, "vm up")

    def await_phase(self, service: Any, phase: Any) -> None:
        until(lambda: service.get().phase == phase, str(phase))

    def download(self, disk: str, path: Path, backup: str | None = None, **more: Any) -> None:
        """Download a disk, or a backup's disk, with oVirt's own client."""
        wish = types.ImageTransfer(
            disk=types.Disk(id=disk), direction=types.ImageTransferDirection.DOWNLOAD, format=types.DiskFormat.RAW,
            backup=types.Backup(id=backup) if backup else None,
        )  # fmt: skip
        transfer = self.add_transfer(wish)
        try:
            with leaks_allowed():
                imageio.download(transfer.get().transfer_url, str(path), str(self.lab.ca), **more)
        finally:
            self.end_transfer(transfer)

    def back_up(self, vm: str, disk: str, path: Path, since: str | None = None, parent: Path | None = None) -> str:
        """Back one disk up as oVirt's backup_vm.py does; return the checkpoint."""
        service = self.start_backup(vm, (disk,), since)
        backup = service.get()
        is_incremental = self.modes(service)[disk] == "incremental"
        assert is_incremental == (since is not None)
        more = {"backing_file": str(parent), "backing_format": "qcow2"} if parent else {}
        self.download(disk, path, backup.id, incremental=is_incremental, **more)
        self.end_backup(service)
        return str(backup.to_checkpoint_id)

    def upload_disk(self, source: Path, name: str, **facts: Any) -> Any:
        """Make a disk and fill it."""
        with leaks_allowed():
            size = imageio.info(str(source))["virtual-size"]
        disk = self.add_disk(name, size, **facts)
        transfer = self.add_transfer(
            types.ImageTransfer(
                disk=types.Disk(id=disk.id), direction=types.ImageTransferDirection.UPLOAD, format=types.DiskFormat.RAW
            )
        )
        with leaks_allowed():
            imageio.upload(str(source), transfer.get().transfer_url, str(self.lab.ca), disk_is_zero=True)
        self.end_transfer(transfer)
        return disk

    def add_disk(self, name: str, size: int, **facts: Any) -> Any:
        service = self.system.disks_service()
        wish = types.Disk(
            name=name, provisioned_size=size, format=facts.pop("format", types.DiskFormat.COW), sparse=True,
            storage_domains=[types.StorageDomain(name=f"{self.lab.name}-data")], **facts,
        )  # fmt: skip
        made = service.add(wish)
        until(lambda: service.disk_service(made.id).get().status == types.DiskStatus.OK, "disk ok")
        return made


def checksum(path: Path) -> str:
    """Digest what a guest would read from an image, by imageio's own client."""
    with leaks_allowed():
        return str(imageio.checksum(str(path))["checksum"])


def witness(lab: OvirtLab, disk: str, path: Path) -> str:
    """Digest what a disk holds now, copied by qemu-img and not by imageio."""
    digest = checksum(lab.copy_disk(disk, path))
    path.unlink()
    return digest


def fetch(lab: OvirtLab, url: str) -> bytes:
    """Fetch a URL, trusting the lab's authority."""
    with urllib.request.urlopen(url, context=ssl.create_default_context(cafile=str(lab.ca)), timeout=60) as answer:
        found: bytes = answer.read()
        return found


def put(lab: OvirtLab, url: str, content: bytes) -> None:
    """Write content to a URL."""
    request = urllib.request.Request(url, data=content, method="PUT")
    with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=str(lab.ca)), timeout=60) as answer:
        answer.read()


def fetch_json(lab: OvirtLab, url: str) -> Any:
    return json.loads(fetch(lab, url))


def noise(seed: str, length: int) -> bytes:
    """Bytes that do not compress, the same ones each time."""
    return hashlib.shake_128(seed.encode()).digest(length)
