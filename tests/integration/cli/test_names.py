"""Files and disks with any name a file system takes: none is taken for an option, a URL, a format or a protocol."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.cli.conftest import Run

NAMES = [
    "a:b",
    "nbd:disk",
    "json:{}",
    "file:disk",
    "-o",
    "with space",
    "qu'o\"ted",
    "new\nline",
    "c,omma=driver",
    "per%20cent?x#y",
    "ünï日本",
    "..",
    "a://b",
]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name).strip("'"))
def test_a_disk_of_any_name_comes_back(tmp_path: Path, disk: Path, vmferry: Run, name: str) -> None:
    content = disk.read_bytes()
    (tmp_path / "a:").mkdir()
    source, image, back = (Path(f"./{name}.{end}") for end in ("raw", "qcow2", "back.qcow2"))
    disk.rename(tmp_path / source)
    vmferry("disk", "copy", f"./{name}.raw", f"./{name}.qcow2")
    vmferry("vault", "add", "vault", f"vm{name}", f"root=./{name}.qcow2")
    vmferry("vault", "verify", "vault")
    vmferry("vault", "restore", "vault", f"vm{name}", f"root=./{name}.back.qcow2")
    for path in (image, back):
        raw = tmp_path / "raw"
        node = f"file:{tmp_path / path}"
        subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", node, raw], check=True)
        assert raw.read_bytes()[: len(content)] == content


def test_a_name_that_is_no_text_is_a_name_all_the_same(tmp_path: Path, disk: Path) -> None:
    source, target = (tmp_path / os.fsdecode(name) for name in (b"\xff.raw", b"new\xfe.raw"))
    disk.rename(source)
    program = Path(sys.executable).with_name("vmferry")
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}

    def copy_to(path: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, "disk", "copy", source, path], env=environment, capture_output=True, text=True, check=False
        )

    assert copy_to(target).returncode == 0
    assert target.read_bytes() == source.read_bytes()
    refused = copy_to(target.with_suffix(".qcow2"))
    assert refused.returncode == 2
    assert "UTF-8" in refused.stderr


def test_a_trusted_image_needs_no_format_said(tmp_path: Path, disk: Path, vmferry: Run) -> None:
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-b", disk, "-F", "raw", tmp_path / "layer.qcow2", "10M"],
        check=True,
    )
    vmferry("disk", "copy", "layer.qcow2", "new.raw", "--trust-backing")
    content = disk.read_bytes()
    assert (tmp_path / "new.raw").read_bytes() == content.ljust(10 << 20, b"\0")
