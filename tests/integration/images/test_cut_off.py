"""Images that were cut off are refused; the same images, whole, are not."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from vmferry.engine.errors import EngineError
from vmferry.engine.images.completeness import check_complete
from vmferry.engine.images.facts import DEFAULT_LIMITS
from vmferry.engine.images.inspect import inspect
from vmferry.engine.images.reader import FileReader

MiB = 1 << 20
KINDS = {
    "qcow2": ["-O", "qcow2"],
    "qcow2-zstd": ["-O", "qcow2", "-c", "-o", "compression_type=zstd"],
    "qcow2-extended": ["-O", "qcow2", "-o", "extended_l2=on"],
    "qcow2-small-clusters": ["-O", "qcow2", "-o", "cluster_size=512"],
    "qcow2-v2": ["-O", "qcow2", "-o", "compat=0.10"],
    "vdi": ["-O", "vdi"],
    "vpc": ["-O", "vpc"],
    "vmdk-sparse": ["-O", "vmdk"],
    "vmdk-stream": ["-O", "vmdk", "-o", "subformat=streamOptimized"],
}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    with path.open("wb") as file:
        for start in range(0, 40 * MiB, 5 * MiB):
            file.seek(start)
            file.write(os.urandom(MiB))
        file.truncate(64 * MiB)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_image_is_refused_and_the_whole_one_is_not(tmp_path: Path, raw: Path, kind: str) -> None:
    suffix = {"vpc": "vhd"}.get(kind.split("-")[0], kind.split("-")[0])
    image = tmp_path / f"disk.{suffix}"
    subprocess.run(["qemu-img", "convert", "-f", "raw", *KINDS[kind], raw, image], check=True)
    inspect(image)
    size = image.stat().st_size
    for left in (size * 9 // 10, size // 2, size // 5):
        os.truncate(image, left)
        with pytest.raises(EngineError):
            inspect(image, second_opinion=False)


def test_a_fresh_and_a_growing_image_are_whole(tmp_path: Path) -> None:
    image = tmp_path / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "1T"], check=True)
    for place in ("0 1", "700G 3", "1023G 65536"):
        subprocess.run(["qemu-io", "-f", "qcow2", "-c", f"write {place}", image], check=True, capture_output=True)
        with FileReader(image) as reader:
            check_complete(reader, inspect(image, limits=DEFAULT_LIMITS))
