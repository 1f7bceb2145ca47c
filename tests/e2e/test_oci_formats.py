"""Every format, all uploaded at once: events, the real function, a real Airflow, and volumes that are equal.

What a volume has to hold is said by programs that are not ours: qemu-img, gzip, xz and zstd make the images, turn them
back into raw disks, and qemu-img compares these with the volumes.
"""

from __future__ import annotations

import hashlib
import random
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from lab.airflow.oci_installation import IMPORT, OciInstallation
from lab.disks import make_disk, make_file_system
from lab.witness import root_of
from tests.e2e.oci_uploads import RUN_S, answer_to, installation_for_many, left_over, most_at_once, require_same

pytestmark = [pytest.mark.e2e, pytest.mark.root]
QEMU = {
    "plain.qcow2": ("qcow2", ()),
    "compressed.qcow2": ("qcow2", ("-c",)),
    "sparse.vmdk": ("vmdk", ()),
    "stream.vmdk": ("vmdk", ("-o", "subformat=streamOptimized")),
    "dynamic.vhd": ("vpc", ("-o", "force_size=on")),
    "fixed.vhd": ("vpc", ("-o", "subformat=fixed,force_size=on")),
    "disk.vhdx": ("vhdx", ()),
    "disk.vdi": ("vdi", ()),
    "cloud.img": ("qcow2", ()),
    "disk.raw": ("raw", ()),
}
"""Name of the object -> how qemu-img calls the format, and how it is told to make it."""
PACKED = {"disk.raw.gz": ("gzip",), "disk.raw.xz": ("xz", "-T1"), "disk.raw.zst": ("zstd", "-q")}
NAMES = [*QEMU, *PACKED]


@dataclass(frozen=True)
class Uploads:
    """What was uploaded, and the runs that came of it."""

    made: OciInstallation
    disk: Path
    images: dict[str, Path]
    etags: dict[str, str]
    runs: dict[str, str]


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Uploads]:
    folder = tmp_path_factory.mktemp("formats")
    disk = make_gpt_disk(folder)
    images = {name: make_image(disk, folder / name) for name in NAMES}
    with installation_for_many(tmp_path_factory.mktemp("oci")) as made:
        etags = {name: made.upload(name, image, team="web") for name, image in images.items()}
        answers = {name: answer_to(made, etag) for name, etag in etags.items()}
        assert {one["status"] for one in answers.values()} == {"started"}
        yield Uploads(made, disk, images, etags, {name: one["run"] for name, one in answers.items()})


def make_gpt_disk(folder: Path) -> Path:
    """A disk with a GPT and an ext4 that is full of files, as a guest's is."""
    dice = random.Random(11)
    files = {f"file{number:02}": dice.randbytes(dice.randrange(300_000, 900_000)) for number in range(24)}
    return make_disk(folder / "made.raw", "gpt", make_file_system(folder / "fs.img", "ext4", files), "ext4").path


def make_image(disk: Path, target: Path) -> Path:
    if target.name in PACKED:
        with disk.open("rb") as source, target.open("wb") as out:
            subprocess.run([*PACKED[target.name], "-c"], stdin=source, stdout=out, check=True)
        return target
    kind, options = QEMU[target.name]
    argv = ["qemu-img", "convert", "-f", "raw", "-O", kind, *options, str(disk), str(target)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    return target


def unpack(image: Path, target: Path) -> Path:
    """Turn an image back into a raw disk, by a program that is not ours."""
    if image.name in PACKED:
        with image.open("rb") as source, target.open("wb") as out:
            subprocess.run([PACKED[image.name][0], "-dc"], stdin=source, stdout=out, check=True)
        return target
    argv = ["qemu-img", "convert", "-f", QEMU[image.name][0], "-O", "raw", str(image), str(target)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    return target


@pytest.mark.timeout(RUN_S + 900)
@pytest.mark.parametrize("name", NAMES)
def test_volume_is_what_the_image_holds(uploads: Uploads, tmp_path: Path, name: str) -> None:
    made, run = uploads.made, uploads.runs[name]
    assert made.api.wait_for_run(IMPORT, run, timeout_s=RUN_S) == "success", made.api.explain(IMPORT, run)
    done = made.api.xcom(IMPORT, run, "publish")

    witness = unpack(uploads.images[name], tmp_path / "witness.raw")
    assert hashlib.sha256(witness.read_bytes()).digest() == hashlib.sha256(uploads.disk.read_bytes()).digest()
    require_same(made, done["volume"], witness)

    tags = made.lab.state()["volume"][done["volume"]]["freeformTags"]
    assert (done["root"], tags["vmferry-root"]) == (root_of(witness), root_of(witness))
    assert (tags["vmferry-object"], tags["vmferry-etag"]) == (f"uploads/{name}", uploads.etags[name])
    assert (tags["team"], done["file_systems"], done["size_gb"]) == ("web", "clean", 50)


@pytest.mark.timeout(RUN_S + 900)
def test_all_at_once_leave_nothing_but_their_volumes(uploads: Uploads) -> None:
    made, runs = uploads.made, list(uploads.runs.values())
    assert {made.api.wait_for_run(IMPORT, run, timeout_s=RUN_S) for run in runs} == {"success"}
    assert left_over(made) == []
    living = [one for one in made.lab.state()["volume"].values() if one["lifecycleState"] != "TERMINATED"]
    assert len(living) == len(NAMES)
    assert 1 < most_at_once(made, runs) <= 8  # the DAG's max_active_runs
