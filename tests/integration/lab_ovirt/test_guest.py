"""The demo's guest: a real file system that changes under a backup."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from lab.ovirt import OvirtLab
from lab.ovirt.guest import LabGuest
from tests.integration.lab_ovirt.client import Client


def test_files_are_what_the_guest_wrote(
    lab: OvirtLab, client: Client, tmp_path: Path, new_name: Callable[[], str]
) -> None:
    guest = LabGuest(lab, tmp_path, new_name(), ntfs=True)
    disk = guest.root_disk
    with guest.database_running():
        checkpoint = client.back_up(guest.vm.id, disk, tmp_path / "0.qcow2")
        written = guest.change_files()
        client.back_up(guest.vm.id, disk, tmp_path / "1.qcow2", checkpoint, tmp_path / "0.qcow2")
    assert written > 0
    raw = tmp_path / "restored.raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", str(tmp_path / "1.qcow2"), str(raw)], check=True)
    assert guest.read_files(raw, tmp_path) == guest.digests()
    assert (tmp_path / "1.qcow2").stat().st_size < (tmp_path / "0.qcow2").stat().st_size
    assert client.vm(guest.vm.id).get().fqdn.startswith(guest.vm.name)
