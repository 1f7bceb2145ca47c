# SPDX-License-Identifier: Apache-2.0
"""Formats are told by content alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmferry.engine.images.probe import detect_format
from vmferry.engine.images.reader import BytesReader

_BLOCK = bytes(4096)


def _at(offset: int, magic: bytes, size: int = 4096) -> bytes:
    return bytes(offset) + magic + bytes(max(0, size - offset - len(magic)))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(_at(0, b"QFI\xfb\0\0\0\x03"), "qcow2", id="qcow2-v3"),
        pytest.param(_at(0, b"QFI\xfb\0\0\0\x01"), "qcow", id="old-qcow"),
        pytest.param(_at(0, b"QED\0"), "qed", id="qed"),
        pytest.param(_at(0, b"KDMV"), "vmdk", id="vmdk-sparse"),
        pytest.param(_at(0, b"COWD"), "vmdk", id="vmdk-esx"),
        pytest.param(b"# Disk DescriptorFile\nversion=1\n", "vmdk", id="vmdk-descriptor"),
        pytest.param(b"# x\n\n  #y\r\n version=1\r\n", "vmdk", id="vmdk-descriptor-after-comments"),
        pytest.param(_BLOCK + b"conectix" + bytes(504), "vpc", id="vhd-footer"),
        pytest.param(_BLOCK + b"conectix" + bytes(503), "vpc", id="vhd-footer-of-511-bytes"),
        pytest.param(_at(0, b"conectix"), "vpc", id="vhd-dynamic"),
        pytest.param(_at(0, b"vhdxfile"), "vhdx", id="vhdx"),
        pytest.param(_at(0x40, b"\x7f\x10\xda\xbe"), "vdi", id="vdi"),
        pytest.param(_at(0, b"\x1f\x8b\x08"), "gz", id="gz"),
        pytest.param(_at(0, b"\xfd7zXZ\0"), "xz", id="xz"),
        pytest.param(_at(0, b"\x28\xb5\x2f\xfd"), "zst", id="zst"),
        pytest.param(_at(257, b"ustar"), "tar", id="ova"),
        pytest.param(_at(0x8001, b"CD001", 0x9000), "iso", id="iso"),
        pytest.param(_BLOCK, "raw", id="zeros"),
        pytest.param(b"hello", "raw", id="text"),
        pytest.param(b"", None, id="nothing"),
    ],
)
def test_content_tells_the_format(content: bytes, expected: str | None) -> None:
    assert detect_format(BytesReader(content, "x")) == expected


def test_a_path_can_be_given(tmp_path: Path) -> None:
    image = tmp_path / "x"
    image.write_bytes(b"vhdxfile")
    assert detect_format(image) == "vhdx"
