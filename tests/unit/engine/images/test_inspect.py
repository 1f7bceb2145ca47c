# SPDX-License-Identifier: Apache-2.0
"""Names, claims and content: which combinations are let through."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from vmferry.engine.errors import BadInput, NotADiskImage, RefusedImage
from vmferry.engine.images.facts import Limits
from vmferry.engine.images.inspect import inspect, promised_formats
from vmferry.engine.images.reader import BytesReader

_RAW = b"boot" + bytes(1020)


@pytest.mark.parametrize(
    ("name", "promised"),
    [
        pytest.param("a/b/disk.QCOW2", ("qcow2",), id="any-case"),
        pytest.param("https://host/disk.vmdk?token=x.raw", ("vmdk",), id="url-with-query"),
        pytest.param("disk.raw.xz", ("raw.xz",), id="compressed"),
        pytest.param("cloud.img", ("raw", "qcow2"), id="img"),
        pytest.param("photo.jpeg", None, id="unknown"),
    ],
)
def test_a_name_promises(name: str, promised: tuple[str, ...] | None) -> None:
    assert promised_formats(name) == promised


def test_a_name_without_an_end_promises_any_format() -> None:
    assert {"qcow2", "raw"} <= set(promised_formats("/dev/disk/by-id/scsi-1") or ())


def test_a_raw_image_of_an_odd_size_is_taken_and_says_so() -> None:
    facts = inspect(BytesReader(_RAW + b"xyz", "disk.raw"))
    assert (facts.format, facts.virtual_size_bytes) == ("raw", 1027)
    assert facts.notes == ("its size is not a multiple of 512 bytes (3 over)",)


@pytest.mark.parametrize(
    ("name", "content", "error", "says"),
    [
        pytest.param("x.raw", b"", NotADiskImage, "is empty", id="nothing"),
        pytest.param("x.qcow2", b"hello\n", NotADiskImage, "is no qcow2 image", id="text-named-qcow2"),
        pytest.param(
            "x.raw", b"QFI\xfb" + bytes(600), RefusedImage, "give --format raw if you mean", id="qcow2-named-raw"
        ),
        pytest.param("x.img", bytes(512) + b"conectix" + bytes(504), RefusedImage, "is vpc", id="vhd-named-img"),
        pytest.param("x.vmdk", b"vhdxfile" + bytes(600), RefusedImage, "is vhdx, but its name", id="vhdx-named-vmdk"),
        pytest.param("x.jpeg", _RAW, NotADiskImage, "nothing in it tells", id="unknown-name"),
        pytest.param("x.raw", b"QED\0" + bytes(600), NotADiskImage, "is qed, which is not accepted", id="qed"),
        pytest.param("x", b"PK\x03\x04" + bytes(600), NotADiskImage, "is zip", id="zip"),
        pytest.param("x.raw.gz", gzip.compress(b"QFI\xfb"), RefusedImage, "holds qcow2", id="qcow2-in-gz"),
        pytest.param("x.raw.gz", gzip.compress(gzip.compress(_RAW)), RefusedImage, "holds gz", id="gz-in-gz"),
        pytest.param("x.raw.gz", gzip.compress(b""), NotADiskImage, "holds nothing", id="nothing-in-gz"),
    ],
)
def test_refusals_say_why_in_one_line(name: str, content: bytes, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        inspect(BytesReader(content, name))
    assert "\n" not in str(caught.value)


def test_a_persons_word_counts_more_than_name_and_content() -> None:
    facts = inspect(BytesReader(b"QFI\xfb" + bytes(508), "x.vmdk"), claimed_format="raw")
    assert (facts.format, facts.virtual_size_bytes) == ("raw", 512)
    with pytest.raises(RefusedImage, match="it was said to be vpc"):
        inspect(BytesReader(b"vhdxfile" + bytes(600), "x.vhdx"), claimed_format="vhd")
    with pytest.raises(BadInput, match="'ntfs' is no format"):
        inspect(BytesReader(_RAW, "x"), claimed_format="ntfs")


def test_the_size_limit_can_be_set() -> None:
    with pytest.raises(RefusedImage, match=r"more than 64\.0 TiB"):
        inspect(BytesReader(_RAW, "x.raw", size_bytes=(64 << 40) + 512))
    big = inspect(BytesReader(_RAW, "x.raw", size_bytes=80 << 40), limits=Limits(max_virtual_bytes=100 << 40))
    assert big.virtual_size_bytes == 80 << 40


def test_facts_become_plain_data(tmp_path: Path) -> None:
    (tmp_path / "x.raw").write_bytes(_RAW)
    facts = inspect(tmp_path / "x.raw").to_json()
    assert (facts["format"], facts["file_size_bytes"], facts["notes"]) == ("raw", 1024, [])
