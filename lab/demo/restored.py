"""What the restored disks hold, found out by programs that are not ours: qemu-img, hashlib, fsck's, debugfs, xfs_db."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lab.demo.teller import Teller
from lab.ovirt import OvirtLab
from lab.ovirt.guest import FrozenMoment, LabGuest
from lab.ovirt.volumes import digests
from lab.witness import root_of


def check_disks(
    teller: Teller, site: OvirtLab, room: Path, guest: LabGuest, disks: Sequence[str], moment: FrozenMoment
) -> list[str]:
    """Check file systems and files of each restored disk, in the order of the guest's; give the disks' roots."""
    room.mkdir()
    roots = []
    for disk, volume, manifest in zip(disks, guest.volumes, moment.manifests, strict=True):
        raw = site.copy_disk(disk, room / f"{volume.kind}.raw")
        teller.say(f"a witness (qemu-img) copied the {volume.kind} disk from the DR site")
        roots.append(root_of(raw))
        teller.vmferry("disk", "fsck", f"{room.name}/{raw.name}")
        found = digests(volume.read_files(raw, room))
        count, changed = len(found), len(manifest.items() ^ found.items())
        teller.check(not changed, f"{volume.kind}: all {count} files have the digests of the frozen moment")
        raw.unlink()
    return roots
