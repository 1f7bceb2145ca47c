"""The demo's guest: real file systems that change under a backup, frozen when the engine asks for it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from lab.ovirt import OvirtLab
from lab.ovirt.guest import LabGuest
from lab.ovirt.volumes import digests
from tests.integration.lab_ovirt.client import Client

from vmferry.engine.filesystems.fsck import check_disk
from vmferry.engine.filesystems.verdict import Verdict

KINDS = ("ext4", "xfs", "ntfs")


def test_a_backup_has_the_files_of_the_frozen_moment(
    lab: OvirtLab, client: Client, tmp_path: Path, new_name: Callable[[], str]
) -> None:
    guest = LabGuest(lab, tmp_path, new_name(), kinds=KINDS)
    disks = [(disk, tmp_path / f"{number}.qcow2") for number, disk in enumerate(guest.vm.disks)]
    with guest.writing():
        checkpoint = client.back_up(guest.vm.id, disks[0][0], tmp_path / "full.qcow2")
        guest.change_files()
        client.back_up(guest.vm.id, disks[0][0], disks[0][1], checkpoint, tmp_path / "full.qcow2")
        moment = guest.moments[-1]
        guest.change_files()
    for number, (disk, image) in enumerate(disks):
        raw = tmp_path / f"{number}.raw"
        if number:
            lab.copy_disk(disk, raw)
        else:
            subprocess.run(["qemu-img", "convert", "-O", "raw", str(image), str(raw)], check=True)
        expected = guest.volumes[number].manifest() if number else moment.manifests[0]
        assert digests(guest.volumes[number].read_files(raw, tmp_path)) == expected
        assert check_disk(raw).verdict == Verdict.CLEAN
    guest.close()
    assert moment.manifests[0] != guest.volumes[0].manifest()
    assert disks[0][1].stat().st_size < (tmp_path / "full.qcow2").stat().st_size
    assert client.vm(guest.vm.id).get().fqdn.startswith(guest.vm.name)


def test_a_database_on_ext4_is_written_where_its_file_is(
    lab: OvirtLab, tmp_path: Path, new_name: Callable[[], str]
) -> None:
    guest = LabGuest(lab, tmp_path, new_name())
    (volume,) = guest.volumes
    before = volume.manifest()
    for _ in range(60):
        volume.write_database(20)
        volume.change_files(2)
    raw = lab.copy_disk(guest.root_disk, tmp_path / "now.raw")
    assert digests(volume.read_files(raw, tmp_path)) == volume.manifest() != before
    guest.close()


def test_a_guest_writes_again_after_its_engine_died_in_the_middle_of_a_freeze(tmp_path: Path) -> None:
    with OvirtLab(tmp_path / "site", "prod", delay=0.01) as lab:
        guest = LabGuest(lab, tmp_path, "web01")
        guest.freeze()
        lab.kill_engine()
        guest.thaw()
        guest.thaw()
        assert guest.change_files(1) > 0
        guest.close()
        lab.lose_power()
        assert lab.process_ids == {}
