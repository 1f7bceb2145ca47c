# SPDX-License-Identifier: Apache-2.0
"""What `check_disk` does around its checkers: images, journals, missing tools, disks in use, damaged tables."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lab.disk_damage import damage
from lab.disks import LabDisk, flip_bit

from vmferry.engine.errors import BadInput, RefusedImage, TargetInUse
from vmferry.engine.filesystems import exposure
from vmferry.engine.filesystems.fsck import check_disk
from vmferry.engine.filesystems.loop import NoLoopDevice, loop_device
from vmferry.engine.filesystems.verdict import Verdict, VolumeVerdict

pytestmark = pytest.mark.root
DiskMaker = Callable[[str, str], LabDisk]


def _is_attached(path: Path) -> bool:
    inode = path.stat().st_ino
    files = Path("/sys/block").glob("loop*/loop/backing_file")
    for one in files:
        try:
            named = Path(one.read_text().strip())
            if named.exists() and named.stat().st_ino == inode:
                return True
        except OSError:
            continue  # detached while we looked
    return False


def _wait_until(condition: Callable[[], bool], timeout_s: float = 30.0) -> bool:
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            return False
        os.sched_yield()
    return True


@contextmanager
def _as_device(path: Path) -> Iterator[Path]:
    fd = os.open(path, os.O_RDWR)
    try:
        with loop_device(fd, 0, path.stat().st_size, writable=True) as device:
            yield device
    finally:
        os.close(fd)


def test_a_qcow2_is_checked_as_a_copy_but_not_repaired(make_lab_disk: DiskMaker, tmp_path: Path) -> None:
    disk = make_lab_disk("ext4", "gpt")
    damage(disk, "block-bitmap")
    image = tmp_path / "disk.qcow2"
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", str(disk.path), str(image)], check=True)
    found = check_disk(image)
    assert found.verdict is Verdict.DAMAGED
    assert found.notes == ("qcow2 was checked as a temporary raw copy",)
    with pytest.raises(BadInput, match="only raw images and devices can be repaired"):
        check_disk(image, "repair")


def test_a_hostile_image_is_refused_before_anything_runs(tmp_path: Path) -> None:
    image = tmp_path / "x.qcow2"
    backing = ["-u", "-b", "/etc/hostname", "-F", "raw"]
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *backing, str(image), "1M"], check=True)
    with pytest.raises(RefusedImage, match="/etc/hostname"):
        check_disk(image)


def test_a_device_is_checked_and_repaired(make_lab_disk: DiskMaker) -> None:
    disk = make_lab_disk("vfat", "mbr")
    damage(disk, "first-fat")
    with _as_device(disk.path) as device:
        assert check_disk(device).verdict is Verdict.DAMAGED
        assert check_disk(device, "repair").verdict is Verdict.REPAIRED
    assert check_disk(disk.path).verdict is Verdict.CLEAN


def test_a_device_that_somebody_holds_is_left_alone(make_lab_disk: DiskMaker) -> None:
    with _as_device(make_lab_disk("ext4", "bare").path) as device:
        holder = os.open(device, os.O_RDONLY | os.O_EXCL)
        try:
            with pytest.raises(TargetInUse, match="open in another program"):
                check_disk(device)
        finally:
            os.close(holder)


def test_an_ext4_that_was_copied_while_mounted_is_judged_after_its_journal(make_lab_disk: DiskMaker) -> None:
    """A journal with a transaction that is not in place yet: debugfs writes one, as a running kernel would leave it."""
    disk = make_lab_disk("ext4", "bare")
    raw = disk.path.read_bytes()
    block = 1024 << raw[0x418]
    bitmap = int.from_bytes(raw[max(2048, block) :][:4], "little")
    right = disk.path.with_suffix(".block")
    right.write_bytes(raw[bitmap * block :][:block])
    commands = f"jo\njw -b {bitmap} {right}\njc\n"
    subprocess.run(["/usr/sbin/debugfs", "-w", "-f", "-", str(disk.path)], input=commands.encode(), check=True)
    flip_bit(disk.path, bitmap * block + 5)
    item = check_disk(disk.path).items[0]
    assert item.verdict is Verdict.CLEAN, item.meaning
    assert "after replaying its journal on a temporary copy" in item.meaning


def test_a_fat_that_was_not_unmounted_is_not_damaged_for_that(make_lab_disk: DiskMaker) -> None:
    disk = make_lab_disk("vfat", "bare")
    flip_bit(disk.path, 0x41)
    item = check_disk(disk.path).items[0]
    assert (item.verdict, "in use when it was copied" in item.meaning) == (Verdict.CLEAN, True)


def test_a_missing_checker_is_unknown_and_names_the_package(
    make_lab_disk: DiskMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vmferry.engine.filesystems.fsck.find_program", lambda _: None)
    item = check_disk(make_lab_disk("ntfs", "gpt").path).items[0]
    assert (item.verdict, item.fix) == (Verdict.UNKNOWN, "install the package ntfs-3g")


def test_a_checker_that_takes_too_long_is_unknown(make_lab_disk: DiskMaker) -> None:
    item = check_disk(make_lab_disk("btrfs", "bare").path, timeout_s=0.0).items[0]
    assert item.verdict is Verdict.UNKNOWN
    assert "took too long" in item.meaning


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "ntfs", "vfat"])
def test_without_loop_devices_a_copy_is_checked(
    make_lab_disk: DiskMaker, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise NoLoopDevice(1, "no loop device: Operation not permitted")

    disk = make_lab_disk(kind, "mbr")
    monkeypatch.setattr(exposure, "loop_device", refuse)
    assert check_disk(disk.path).verdict is Verdict.CLEAN
    flip_bit(disk.path, disk.offset_of(0x10000 + 0x50 if kind == "btrfs" else 0x400 + 5 if kind == "ext4" else 15))
    assert check_disk(disk.path).verdict is Verdict.DAMAGED


@pytest.mark.parametrize("where", ["first", "backup"])
def test_a_gpt_of_which_one_copy_is_damaged_is_read_but_does_not_pass(make_lab_disk: DiskMaker, where: str) -> None:
    disk = make_lab_disk("ext4", "gpt")
    flip_bit(disk.path, 512 + 24 if where == "first" else disk.path.stat().st_size - 512 + 24)
    found = check_disk(disk.path)
    assert [item.verdict for item in found.items] == [Verdict.CLEAN]
    assert found.verdict is Verdict.DAMAGED
    assert where in found.table.problems[0]


def test_a_damaged_lvm_does_not_pass(make_lab_disk: DiskMaker) -> None:
    disk = make_lab_disk("ext4", "lvm")
    flip_bit(disk.path, (1 << 20) + 512 + 40)
    item = check_disk(disk.path).items[0]
    assert (item.type, item.verdict, item.meaning) == ("LVM2_member", Verdict.DAMAGED, "the LVM label is damaged")


@pytest.mark.parametrize(
    ("content", "meaning"),
    [
        pytest.param(b"LUKS\xba\xbe\0\x02" + bytes(4096), "it is encrypted (LUKS) and there is no key", id="luks"),
        pytest.param(b"x" * (1 << 20), "no file system was found", id="unknown-bytes"),
        pytest.param(bytes(1 << 20), "no file system was found", id="zeros"),
    ],
)
def test_what_nobody_can_read_is_never_clean(tmp_path: Path, content: bytes, meaning: str) -> None:
    (tmp_path / "disk.raw").write_bytes(content)
    item = check_disk(tmp_path / "disk.raw").items[0]
    assert (item.verdict, item.meaning) == (Verdict.UNKNOWN, meaning)


def test_verdicts_are_reported_as_they_come_and_become_plain_data(make_lab_disk: DiskMaker) -> None:
    heard: list[VolumeVerdict] = []
    found = check_disk(make_lab_disk("ext4", "gpt").path, report=heard.append)
    assert tuple(heard) == found.items
    assert found.to_json()["items"][0]["verdict"] == "clean"
    with pytest.raises(BadInput, match="'mend' is no policy"):
        check_disk("x", "mend")


def test_no_loop_device_is_left_behind(make_lab_disk: DiskMaker) -> None:
    disk = make_lab_disk("ext4", "gpt")
    check_disk(disk.path, "repair")
    assert _wait_until(lambda: not _is_attached(disk.path))


def test_kill_9_leaves_no_loop_device(make_lab_disk: DiskMaker) -> None:
    disk = make_lab_disk("ext4", "gpt")
    script = (
        "import os, sys\n"
        "from vmferry.engine.filesystems.loop import loop_device\n"
        "fd = os.open(sys.argv[1], os.O_RDONLY)\n"
        "with loop_device(fd, 1 << 20, 8 << 20, writable=False):\n"
        "    print('ready', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    provider = Path(exposure.__file__).parents[3]
    command = ["python3", "-c", script, str(disk.path)]
    environment = {**os.environ, "PYTHONPATH": str(provider)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        assert _is_attached(disk.path)
        child.kill()
        child.wait()
    assert _wait_until(lambda: not _is_attached(disk.path))
