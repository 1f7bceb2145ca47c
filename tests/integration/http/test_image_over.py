"""Images in an object storage, read as disks without a temporary file; hostile and changing ones too."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.http import Fault, HttpServer

from vmferry.engine import pump
from vmferry.engine.endpoint import Endpoint, EndpointSpec
from vmferry.engine.endpoints import open_source, open_target
from vmferry.engine.endpoints.image_over import ImageOver
from vmferry.engine.errors import (
    EngineError,
    NotADiskImage,
    RefusedImage,
    SourceChanged,
    SourceError,
    SourceLost,
    Unreadable,
)
from vmferry.engine.journal import Journal
from vmferry.engine.pump.passes import journal_header
from vmferry.engine.units import MiB

DISK_BYTES = 20 * MiB


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with HttpServer() as running:
        yield running


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    with path.open("wb") as file:
        for at in range(0, DISK_BYTES, 5 * MiB):
            file.seek(at)
            file.write(random.Random(at).randbytes(2 * MiB))
        file.truncate(DISK_BYTES)
    return path


def convert(disk: Path, image_format: str, *options: str) -> Path:
    image = disk.parent / f"image.{image_format}"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", image_format, *options, disk, image], check=True)
    return image


def open_over(url: str, image_format: str, **options: Any) -> Endpoint:
    over = EndpointSpec("http", url, options=options).to_json()
    return open_source(EndpointSpec("image", url, image_format, {"over": over}))


def copy(source: Endpoint, folder: Path) -> Path:
    copied = folder / "copied.raw"
    target = open_target(EndpointSpec("file", str(copied)), source.size)
    journal = Journal.open(folder / "journal", journal_header(source, target, pump.CopyOptions()))
    try:
        pump.copy(source, target, journal=journal)
    finally:
        journal.close()
        target.close()
    return copied


@pytest.mark.parametrize(
    ("image_format", "options"),
    [("qcow2", ["-c"]), ("vmdk", ["-o", "subformat=streamOptimized"]), ("vhdx", []), ("raw", [])],
    ids=["qcow2", "vmdk-stream", "vhdx", "raw"],
)
def test_copies_an_image_through_faults(
    server: HttpServer, disk: Path, tmp_path: Path, image_format: str, options: list[str]
) -> None:
    image = convert(disk, image_format, *options)
    source = open_over(server.put("/image", image), image_format)
    for _ in range(3):
        server.fail(Fault(drop_after_bytes=70_000))
        server.fail(Fault(status=503))
    assert copy(source, tmp_path).read_bytes() == disk.read_bytes()
    source.close()
    assert server.counts.body_bytes < 2 * image.stat().st_size + MiB


def test_zero_ranges_are_known(server: HttpServer, disk: Path) -> None:
    source = open_over(server.put("/image", convert(disk, "qcow2")), "qcow2")
    assert sum(extent.length for extent in source.extents() if not extent.zero) <= 9 * MiB
    source.close()


def test_an_image_replaced_while_it_is_read_is_named(server: HttpServer, disk: Path) -> None:
    image = convert(disk, "qcow2")
    source = open_over(server.put("/image.qcow2", image), "qcow2")
    server.put("/image.qcow2", image.read_bytes()[::-1])
    connection = source.connect()
    with pytest.raises(SourceChanged, match=r"image\.qcow2 was replaced"):
        connection.read_into(0, memoryview(bytearray(DISK_BYTES)))
    connection.close()
    source.close()


def test_a_lost_server_is_named(server: HttpServer, disk: Path) -> None:
    source = open_over(server.put("/image.qcow2", convert(disk, "qcow2")), "qcow2", reconnect_s=0.5)
    server.offline()
    connection = source.connect()
    with pytest.raises(SourceLost, match=r"image\.qcow2: the connection broke"):
        connection.read_into(0, memoryview(bytearray(DISK_BYTES)))
    connection.close()
    source.close()


def hostile_backing(folder: Path) -> Path:
    image = folder / "hostile.qcow2"
    backing = ["-b", "/etc/hostname", "-F", "raw"]
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *backing, str(image), "1M"], check=True)
    return image


def hostile_data_file(folder: Path) -> Path:
    image = folder / "hostile.qcow2"
    options = f"data_file={folder / 'data'},data_file_raw=on"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", options, image, "1M"], check=True)
    return image


def hostile_descriptor(folder: Path) -> Path:
    image = folder / "hostile.vmdk"
    image.write_text('# Disk DescriptorFile\nversion=1\ncreateType="monolithicFlat"\nRW 8 FLAT "/etc/passwd" 0\n')
    return image


@pytest.mark.parametrize(
    ("make", "image_format", "error"),
    [
        (hostile_backing, "qcow2", RefusedImage),
        (hostile_data_file, "qcow2", RefusedImage),
        (hostile_descriptor, "vmdk", RefusedImage),
        (hostile_descriptor, "qcow2", EngineError),
        (lambda folder: shutil.copy("/etc/services", folder / "x"), "qcow2", NotADiskImage),
    ],
    ids=["backing-file", "data-file", "vmdk-descriptor", "other-format", "no-image"],
)
def test_hostile_images_are_refused(
    server: HttpServer, tmp_path: Path, make: Any, image_format: str, error: type[EngineError]
) -> None:
    url = server.put("/hostile", make(tmp_path))
    with pytest.raises(error):
        open_over(url, image_format)


@pytest.mark.parametrize("image_format", ["qcow2", "vmdk", "vdi", "vhdx", "vpc"])
def test_an_image_that_was_cut_off_never_reads_as_zeros(server: HttpServer, disk: Path, image_format: str) -> None:
    options = ["-o", "force_size=on"] if image_format == "vpc" else []
    image = convert(disk, image_format, *options)
    with image.open("r+b") as file:
        file.truncate(image.stat().st_size * 2 // 3)
    url = server.put("/image", image)

    def read_all() -> None:
        source = open_over(url, image_format)
        connection = source.connect()
        try:
            for extent in source.extents():
                if not extent.zero:
                    connection.read_into(extent.start, memoryview(bytearray(extent.length)))
        finally:
            connection.close()
            source.close()

    with pytest.raises((SourceError, RefusedImage, NotADiskImage)):
        read_all()


def test_a_missing_object_is_named(server: HttpServer) -> None:
    with pytest.raises(Unreadable, match="no such object"):
        open_over(server.url + "/none", "qcow2")


def test_closing_leaves_no_server(server: HttpServer, disk: Path) -> None:
    source = open_over(server.put("/image", convert(disk, "qcow2")), "qcow2")
    assert isinstance(source, ImageOver)
    pid = source.server_pid
    assert Path(f"/proc/{pid}").exists()
    source.close()
    source.close()
    assert not Path(f"/proc/{pid}").exists()
