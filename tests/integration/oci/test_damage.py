"""Images with real damaged file systems on GPT partitions: a run fails or mends them as its policy says; none is green.

The ancestor of this import ran `fsck -n` over the whole disk and never looked at its exit code: any GPT disk came out
green, sound or not.
"""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from lab.disk_damage import damage
from lab.disks import LabDisk, copy_disk, flip_bit, make_disk, make_file_system
from tests.integration.oci.conftest import Region

from vmferry.operations.disk_import.ending import DamagedFileSystem
from vmferry.operations.disk_import.whole import import_disk
from vmferry.platforms.oci import OciSite
from vmferry.platforms.oci.objects import ObjectRef
from vmferry.platforms.runs import RunId
from vmferry.policy.imports import ImportPolicy

DAMAGE = {
    "ext4": "block-bitmap",
    "xfs": "free-space-tree",
    "btrfs": "root-tree-both-copies",
    "ntfs": "backup-boot-sector",
    "vfat": "first-fat",
}
"""What is hit: each can be read on, so a careless import would not notice."""
BEYOND_REPAIR = {"btrfs"}
"""Never repaired: its own makers warn of btrfs check --repair."""
WITNESS = {
    "ext4": ["e2fsck", "-f", "-n"],
    "xfs": ["xfs_repair", "-n", "-f"],
    "ntfs": ["ntfsfix", "-n"],
    "vfat": ["fsck.vfat", "-n"],
}
"""The makers' own checkers."""
Maker = Callable[[str], LabDisk]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    """Make sound GPT disks, each once."""
    folder, made = tmp_path_factory.mktemp("sound"), {}

    def make(kind: str) -> LabDisk:
        if kind not in made:
            made[kind] = make_disk(folder / f"{kind}.raw", "gpt", make_file_system(folder / f"{kind}.fs", kind), kind)
        return made[kind]

    return make


@pytest.fixture
def broken(sound: Maker, tmp_path: Path) -> Maker:
    """Make damaged ones."""

    def make(kind: str) -> LabDisk:
        disk = copy_disk(sound(kind), tmp_path / "broken.raw")
        damage(disk, DAMAGE[kind])
        return disk

    return make


def upload(region: Region, path: Path, **metadata: str) -> ObjectRef:
    """Upload it as qcow2, which holds no holes."""
    image = path.with_suffix(".qcow2")
    argv = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(path), str(image)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    region.lab.create_bucket("uploads", events=False)
    etag = region.lab.put_object("uploads", "disk.qcow2", image, metadata)
    return ObjectRef(region.lab.namespace, "uploads", "disk.qcow2", etag)


def rule(region: Region, fs_check: str) -> ImportPolicy:
    lab = region.lab
    return ImportPolicy(
        "uploads", "oci", "uploads", compartment=lab.compartment, subnet=lab.subnet, image=lab.image, fs_check=fs_check
    )


def require_kept(region: Region, site: OciSite, owner: RunId, disk: LabDisk) -> None:
    """Only the volume is left, and it holds what the image holds."""
    [lease] = [one for one in site.leases() if one.owner == owner.text]
    assert lease.holds_verified_bytes
    [volume] = [one for one in region.lab.state()["volume"].values() if owner_of(one) == owner.tag("verified")]
    assert volume["freeformTags"]["vmferry-fs"] == "damaged"
    require_same(region, volume["id"], disk.path)


def owner_of(volume: dict[str, dict[str, str]]) -> str:
    return volume["freeformTags"].get("vmferry", "")


def require_same(region: Region, volume: str, disk: Path) -> None:
    argv = ["qemu-img", "compare", "-f", "raw", "-F", "raw", str(disk), str(region.lab.volume_path(volume))]
    assert subprocess.run(argv, capture_output=True, check=False).returncode == 0


def check_by_witness(region: Region, volume: str, disk: LabDisk, tmp_path: Path) -> int:
    """Let the file system's own checker look at the partition on the volume; gives its exit code."""
    partition = tmp_path / "partition"
    [(start, length)] = disk.runs
    with region.lab.volume_path(volume).open("rb") as opened, partition.open("wb") as out:
        out.truncate(length)
        for at in range(0, length, 1 << 20):
            block = os.pread(opened.fileno(), 1 << 20, start + at)
            if block.strip(b"\0"):
                out.seek(at)
                out.write(block)
    environment = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
    argv = [*WITNESS[disk.file_system], str(partition)]
    return subprocess.run(argv, capture_output=True, env=environment, check=False).returncode


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_fails_the_import_and_keeps_the_volume(
    region: Region, site: OciSite, owner: RunId, broken: Maker, kind: str
) -> None:
    disk = broken(kind)
    with pytest.raises(DamagedFileSystem, match=rf"partition 1 \({kind}\): damaged.*fs_check to repair"):
        import_disk(site, rule(region, "check"), upload(region, disk.path), owner)
    require_kept(region, site, owner, disk)


@pytest.mark.parametrize("kind", DAMAGE)
def test_repair_mends_or_fails(
    region: Region, site: OciSite, owner: RunId, broken: Maker, tmp_path: Path, kind: str
) -> None:
    disk = broken(kind)
    ref = upload(region, disk.path, fs_check="repair")
    if kind in BEYOND_REPAIR:
        with pytest.raises(DamagedFileSystem, match=rf"partition 1 \({kind}\).*could not be mended without a person"):
            import_disk(site, rule(region, "check"), ref, owner)
        require_kept(region, site, owner, disk)
        return
    done = import_disk(site, rule(region, "check"), ref, owner)
    assert done["file_systems"] == "repaired"
    assert check_by_witness(region, done["volume"], disk, tmp_path) == 0
    assert not [lease for lease in site.leases() if lease.owner == owner.text]


@pytest.mark.parametrize("kind", DAMAGE)
def test_nobody_calls_clean_what_was_not_looked_at(
    region: Region, site: OciSite, owner: RunId, broken: Maker, kind: str
) -> None:
    disk = broken(kind)
    done = import_disk(site, rule(region, "skip"), upload(region, disk.path), owner)
    assert done["file_systems"] == "skipped"
    require_same(region, done["volume"], disk.path)


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_what_the_ancestor_called_green(
    region: Region, site: OciSite, owner: RunId, sound: Maker, broken: Maker, kind: str
) -> None:
    """Its command says the same of a sound disk and of a damaged one; ours does not."""
    ancestor = [["fsck", "-n", str(path)] for path in (sound(kind).path, broken(kind).path)]
    environment = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
    said = [subprocess.run(one, capture_output=True, env=environment, check=False).returncode for one in ancestor]
    assert said == [8, 8]  # "Bad magic number in super-block"; its task was green all the same
    done = import_disk(site, rule(region, "check"), upload(region, sound(kind).path), owner)
    assert done["file_systems"] == "clean"
    with pytest.raises(DamagedFileSystem):
        import_disk(site, rule(region, "check"), upload(region, broken(kind).path), RunId.of("test", f"broken {kind}"))


@pytest.mark.parametrize("policy", ["check", "repair", "skip"])
def test_damaged_table(region: Region, site: OciSite, owner: RunId, sound: Maker, tmp_path: Path, policy: str) -> None:
    disk = copy_disk(sound("ext4"), tmp_path / "table.raw")
    flip_bit(disk.path, 512 + 24)  # which sector the first header says that it lies in
    ref = upload(region, disk.path)
    if policy == "skip":
        done = import_disk(site, rule(region, policy), ref, owner)
        assert done["file_systems"] == "damaged"  # it was not asked for, and it is told all the same
        return
    # The backup is sound, but it lies at the end of the image, not of the larger volume, where it is looked for.
    with pytest.raises(DamagedFileSystem, match="GPT are damaged"):
        import_disk(site, rule(region, policy), ref, owner)
    require_kept(region, site, owner, disk)


def test_one_bad_partition_among_good_ones(
    region: Region, site: OciSite, owner: RunId, sound: Maker, tmp_path: Path
) -> None:
    """A vfat that is sound and an ext4 that is not, as on a disk that boots by EFI; told apart, and named."""
    parts = [(kind, replace(sound(kind), path=tmp_path / kind)) for kind in ("vfat", "ext4")]
    disk, start = tmp_path / "two.raw", 2048
    with disk.open("wb") as made:
        made.truncate(128 << 20)
    for number, (kind, part) in enumerate(parts, 1):
        [(offset, length)] = part.runs
        argv = ["sgdisk", "-n", f"{number}:{start}:{start + length // 512 - 1}", str(disk)]
        environment = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
        subprocess.run(argv, check=True, capture_output=True, env=environment)
        with sound(kind).path.open("rb") as source, disk.open("r+b") as target:
            os.pwrite(target.fileno(), os.pread(source.fileno(), length, offset), start * 512)
        start += length // 512 + 2048
    flip_bit(disk, (start - 2048) * 512 - length + 0x400 + 4, random.Random(3).randrange(8))  # its count of blocks
    with pytest.raises(DamagedFileSystem, match=r"partition 2 \(ext4\)") as caught:
        import_disk(site, rule(region, "check"), upload(region, disk), owner)
    assert "partition 1" not in str(caught.value)
