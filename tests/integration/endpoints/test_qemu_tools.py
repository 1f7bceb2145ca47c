# SPDX-License-Identifier: Apache-2.0
"""qemu-img through our typed functions."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from tests.contract.endpoint_kinds import run

from vmferry.engine.errors import EngineError, NoSpace, NotADiskImage, TargetInUse, Unreadable
from vmferry.engine.qemu.images import CheckResult, ImageInfo, check_image, measure_image, read_info, resize_image
from vmferry.engine.qemu.tools import explain
from vmferry.engine.units import KiB, MiB


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    raw = tmp_path / "base.raw"
    raw.write_bytes(random.Random(1).randbytes(MiB))
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", tmp_path / "disk.qcow2", "4M")
    run("qemu-io", "-f", "qcow2", "-c", "write -P 7 2M 256k", tmp_path / "disk.qcow2")
    return tmp_path / "disk.qcow2"


def test_info_has_size_backing_file_and_bitmaps(disk: Path) -> None:
    run("qemu-img", "bitmap", "--add", disk, "day1")
    assert read_info(str(disk), "qcow2") == ImageInfo(4 * MiB, "base.raw", ("day1",))


def test_a_leak_is_found_and_mended(disk: Path) -> None:
    assert check_image(str(disk), "qcow2") == CheckResult(0, 0, 0)
    with disk.open("r+b") as file:  # the first data cluster's count of references: 1 becomes 3
        at = 128 * KiB + 2 * (_end_of_clusters(disk) // (64 * KiB) - 1) + 1
        value = os.pread(file.fileno(), 1, at)[0]
        assert value == 1
        os.pwrite(file.fileno(), bytes([value ^ 2]), at)
    assert check_image(str(disk), "qcow2").leaks == 1
    assert check_image(str(disk), "qcow2", repair="leaks").repaired == 1
    assert check_image(str(disk), "qcow2") == CheckResult(0, 0, 0)


def _end_of_clusters(disk: Path) -> int:
    """Where the last used cluster ends."""
    return disk.stat().st_size // (64 * KiB) * (64 * KiB)


def test_what_is_no_qcow2_cannot_be_checked(disk: Path) -> None:
    with pytest.raises(NotADiskImage, match=r"base\.raw"):
        check_image(str(disk.with_name("base.raw")), "qcow2")


def test_measure_and_resize(disk: Path) -> None:
    assert MiB < measure_image(str(disk), "qcow2") < 3 * MiB
    resize_image(str(disk), "qcow2", 3 * MiB)
    assert read_info(str(disk), "qcow2").virtual_size_bytes == 3 * MiB


@pytest.mark.parametrize(
    ("stderr", "kind"),
    [
        ('qemu-img: x: Failed to get "write" lock\nIs another process using the image [x]?\n', TargetInUse),
        ("qemu-img: x: Could not open 'y': No such file or directory\nCould not open backing image.\n", Unreadable),
        ("qemu-nbd: Failed to blk_new_open 'json:{\"a\": 1}': Image is not in qcow2 format\n", NotADiskImage),
        ("qemu-img: x: error while writing: No space left on device\n", NoSpace),
        ("qemu-img: warning: old\nqemu-img: who knows\n", EngineError),
        ("", EngineError),
    ],
    ids=["lock", "backing", "format", "full", "unknown", "silent"],
)
def test_complaints_get_the_right_error_in_one_line(stderr: str, kind: type[EngineError]) -> None:
    error = explain(stderr, "x: qemu-img failed")
    assert type(error) is kind
    assert error.what.startswith("x: qemu-img failed: ")
    assert "\n" not in error.what
    assert "json:" not in error.what
