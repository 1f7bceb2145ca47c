"""Whole imports of every format into the simulated region: the volume holds what the image holds, nothing is left."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.integration.oci.conftest import Region

from vmferry.engine.errors import BadInput, NotADiskImage, RefusedImage
from vmferry.engine.units import MiB
from vmferry.operations.disk_import.ending import DamagedFileSystem
from vmferry.operations.disk_import.uploads import list_new_uploads
from vmferry.operations.disk_import.whole import import_disk
from vmferry.platforms.oci import OciSite
from vmferry.platforms.oci.failures import ObjectChanged
from vmferry.platforms.oci.objects import ObjectRef
from vmferry.platforms.runs import RunId
from vmferry.policy.imports import ImportPolicy

SIZE = 24 * MiB
CONVERSIONS = {
    "disk.qcow2": ["-O", "qcow2", "-c"],
    "disk.vmdk": ["-O", "vmdk", "-o", "subformat=streamOptimized"],
    "sparse.vmdk": ["-O", "vmdk"],
    "disk.vhd": ["-O", "vpc", "-o", "force_size=on"],
    "disk.vhdx": ["-O", "vhdx"],
    "disk.vdi": ["-O", "vdi"],
}
COMPRESSIONS = {"disk.raw.gz": ["gzip"], "disk.raw.xz": ["xz", "-T1"], "disk.raw.zst": ["zstd", "-q"]}


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk with an ext4 on it, files in that, and holes."""
    directory = tmp_path_factory.mktemp("disk")
    files = directory / "files"
    files.mkdir()
    dice = random.Random(4)
    for number in range(6):
        (files / f"file{number}").write_bytes(dice.randbytes(700_000))
    path = directory / "disk.raw"
    with path.open("wb") as made:
        made.truncate(SIZE)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-d", str(files), str(path)], check=True, stdin=subprocess.DEVNULL)
    return path


def make_image(disk: Path, name: str, directory: Path) -> Path:
    target = directory / name
    if name in COMPRESSIONS:
        with disk.open("rb") as source, target.open("wb") as out:
            subprocess.run([*COMPRESSIONS[name], "-c"], stdin=source, stdout=out, check=True)
    elif name in CONVERSIONS:
        argv = ["qemu-img", "convert", "-f", "raw", *CONVERSIONS[name], str(disk), str(target)]
        subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    else:
        target.write_bytes(disk.read_bytes())
    return target


Upload = Callable[..., ObjectRef]


@pytest.fixture
def upload(region: Region) -> Upload:
    region.lab.create_bucket("uploads", events=False)

    def store(name: str, content: bytes | Path, **metadata: str) -> ObjectRef:
        etag = region.lab.put_object("uploads", name, content, metadata)
        return ObjectRef(region.lab.namespace, "uploads", name, etag)

    return store


def rule(region: Region, **changes: Any) -> ImportPolicy:
    plain = {"compartment": region.lab.compartment, "subnet": region.lab.subnet, "image": region.lab.image}
    return ImportPolicy("uploads", "oci", "uploads", **{**plain, **changes})


def content_of(region: Region, volume: str, size: int) -> str:
    with region.lab.volume_path(volume).open("rb") as opened:
        found = hashlib.sha256(opened.read(size)).hexdigest()
        with pytest.raises(OSError, match="No such device or address"):
            os.lseek(opened.fileno(), -(-size // MiB) * MiB, os.SEEK_DATA)  # nothing was written behind the disk
        return found


def require_nothing_left(region: Region, site: OciSite, owner: RunId) -> None:
    assert not [lease for lease in site.leases() if lease.owner == owner.text]
    attached = [one for one in region.lab.state()["volumeattachment"].values() if one["lifecycleState"] != "DETACHED"]
    assert not attached


@pytest.mark.parametrize("name", [*CONVERSIONS, *COMPRESSIONS, "disk.raw", "disk.img"])
def test_every_format(
    region: Region, site: OciSite, owner: RunId, disk: Path, tmp_path: Path, upload: Upload, name: str
) -> None:
    image = make_image(disk, name, tmp_path)
    done = import_disk(site, rule(region), upload(name, image, team="web"), owner)
    assert content_of(region, done["volume"], SIZE) == hashlib.sha256(disk.read_bytes()).hexdigest()
    assert (done["size_gb"], done["vpus_per_gb"], done["file_systems"]) == (50, 10, "clean")
    tags = region.lab.state()["volume"][done["volume"]]["freeformTags"]
    assert (tags["team"], tags["vmferry-root"]) == ("web", done["root"])
    assert (tags["vmferry-object"], tags["vmferry-etag"]) == (f"uploads/{name}", done["etag"])
    assert done["etag"] not in [ref.etag for ref in list_new_uploads(site, rule(region))]
    require_nothing_left(region, site, owner)


HOSTILE = [
    "a b'\"c.raw",
    "$(reboot).raw",
    "`id`;true.raw",
    "line\nbreak.raw",
    "диск № 1.raw",
    "-rf.raw",
    "x" * 996 + ".raw",
]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_names_are_only_names(region: Region, site: OciSite, owner: RunId, upload: Upload, name: str) -> None:
    content = random.Random(1).randbytes(200_000) + bytes(65536)
    done = import_disk(site, rule(region, fs_check="skip"), upload(name, content), owner)
    assert content_of(region, done["volume"], len(content)) == hashlib.sha256(content).hexdigest()
    require_nothing_left(region, site, owner)


@pytest.mark.parametrize(
    ("metadata", "named"),
    [
        ({"ad_number": "four"}, "ad_number"),
        ({"ad_number": "4"}, "1 to 3"),
        ({"vpus": "15"}, "steps of 10"),
        ({"size_gb": "1.5", "sha256": "abc"}, "size_gb.*sha256"),
        ({"compartment": "ocid1.compartment.oc1..other"}, "not allowed"),
        ({"fs_check": "perhaps"}, "check, repair, skip"),
        ({"target": "floppy"}, "volume, boot_volume"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_bad_metadata_makes_nothing(
    region: Region, site: OciSite, owner: RunId, upload: Upload, metadata: dict[str, str], named: str
) -> None:
    before = len(region.lab.log())
    with pytest.raises(BadInput, match=named):
        import_disk(site, rule(region), upload("a.raw", b"x" * 1024, **metadata), owner)
    assert not [call for call in region.lab.log()[before:] if call["method"] == "POST"]
    require_nothing_left(region, site, owner)


def test_wrong_checksum(region: Region, site: OciSite, owner: RunId, disk: Path, upload: Upload) -> None:
    with pytest.raises(RefusedImage, match="SHA-256"):
        import_disk(site, rule(region), upload("a.raw", disk, sha256="0" * 64), owner)
    require_nothing_left(region, site, owner)


def test_right_checksum(region: Region, site: OciSite, owner: RunId, disk: Path, upload: Upload) -> None:
    promised = hashlib.sha256(disk.read_bytes()).hexdigest()
    done = import_disk(site, rule(region), upload("a.raw", disk, sha256=promised), owner)
    assert region.lab.state()["volume"][done["volume"]]["freeformTags"]["vmferry-sha256"] == promised


@pytest.mark.parametrize("name", ["backing.qcow2", "torn.qcow2", "lie.qcow2", "text.vmdk", "notes.txt", "empty.raw"])
def test_bad_images(
    region: Region, site: OciSite, owner: RunId, disk: Path, tmp_path: Path, upload: Upload, name: str
) -> None:
    image = tmp_path / name
    if name == "backing.qcow2":
        argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", "/etc/hostname", "-F", "raw", str(image), "1M"]
        subprocess.run(argv, check=True)
    elif name == "torn.qcow2":
        whole = make_image(disk, "disk.qcow2", tmp_path).read_bytes()
        image.write_bytes(whole[: len(whole) // 2])
    else:
        image.write_bytes({"lie.qcow2": b"\xff" * 4096, "text.vmdk": b"hello" * 1000}.get(name, b""))
    with pytest.raises((NotADiskImage, RefusedImage)):
        import_disk(site, rule(region), upload(name, image), owner)
    require_nothing_left(region, site, owner)


def test_too_large(region: Region, site: OciSite, owner: RunId, disk: Path, tmp_path: Path, upload: Upload) -> None:
    image = make_image(disk, "disk.qcow2", tmp_path)
    with pytest.raises(RefusedImage, match="MiB"):
        import_disk(site, rule(region, max_size_bytes=SIZE - 1), upload("a.qcow2", image), owner)
    require_nothing_left(region, site, owner)


def test_overwritten_since(region: Region, site: OciSite, owner: RunId, upload: Upload) -> None:
    old = upload("a.raw", b"x" * 1024)
    upload("a.raw", b"y" * 1024)
    with pytest.raises(ObjectChanged):
        import_disk(site, rule(region), old, owner)


def test_boot_volume_and_moved_object(region: Region, site: OciSite, owner: RunId, disk: Path, upload: Upload) -> None:
    ref = upload("boot.raw", disk)
    done = import_disk(site, rule(region, target="boot_volume", keep_object=False), ref, owner)
    assert done["volume"].startswith("ocid1.bootvolume")
    assert "imported/boot.raw" in [one.name for one, _ in site.list_uploads(ref.namespace, ref.bucket)]
    require_nothing_left(region, site, owner)


@pytest.mark.parametrize("policy", ["check", "repair"])
def test_damaged_file_system(
    region: Region, site: OciSite, owner: RunId, disk: Path, upload: Upload, policy: str
) -> None:
    broken = bytearray(disk.read_bytes())
    broken[1024 + 12] ^= 0xFF  # the superblock's count of free blocks
    if policy == "repair":
        done = import_disk(site, rule(region, fs_check="repair"), upload("a.raw", bytes(broken)), owner)
        assert done["file_systems"] == "repaired"
        return
    with pytest.raises(DamagedFileSystem, match="ext4"):
        import_disk(site, rule(region), upload("a.raw", bytes(broken)), owner)
    [kept] = [lease for lease in site.leases() if lease.owner == owner.text]
    assert kept.holds_verified_bytes


def test_again_after_it_is_done(region: Region, site: OciSite, owner: RunId, disk: Path, upload: Upload) -> None:
    ref = upload("a.raw", disk)
    first = import_disk(site, rule(region), ref, owner)
    second = import_disk(site, rule(region), ref, owner)
    assert second["volume"] == first["volume"]
