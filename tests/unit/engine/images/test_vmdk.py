# SPDX-License-Identifier: Apache-2.0
"""VMDK descriptors: what they say, and which of them are let through."""

from __future__ import annotations

import pytest

from vmferry.engine.errors import NotADiskImage, RefusedImage
from vmferry.engine.images.facts import DEFAULT_LIMITS
from vmferry.engine.images.reader import BytesReader
from vmferry.engine.images.vmdk import parse_descriptor, read_vmdk

_HEAD = '# Disk DescriptorFile\nversion=1\nparentCID=ffffffff\ncreateType="twoGbMaxExtentFlat"\n'


def test_a_descriptor_is_read() -> None:
    found = parse_descriptor((_HEAD + 'RW 4192256 FLAT "a-f001.vmdk" 0\nRW 8 ZERO\n').encode())
    assert found.create_type == "twoGbMaxExtentFlat"
    assert found.parent is None
    assert [(one.sectors, one.kind, one.file_name) for one in found.extents] == [
        (4192256, "FLAT", "a-f001.vmdk"),
        (8, "ZERO", ""),
    ]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('parentCID=00000001\nRW 8 FLAT "a" 0', id="parent-id"),
        pytest.param('parentFileNameHint="/etc/passwd"', id="parent-name"),
        pytest.param("junk parentFileNameHint junk", id="parent-name-on-a-line-that-does-not-parse"),
    ],
)
def test_a_delta_is_recognised(text: str) -> None:
    assert parse_descriptor(text.encode()).parent is not None


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../x.vmdk", "a/b.vmdk", "a\\b.vmdk", "nbd:host:1", "..", ""],
    ids=lambda name: name or "none",
)
def test_only_plain_names_beside_the_descriptor_are_ever_trusted(name: str) -> None:
    reader = BytesReader((_HEAD + f'RW 8 FLAT "{name}" 0').encode(), "x.vmdk")
    with pytest.raises(RefusedImage, match="names a file that is not beside it"):
        read_vmdk(reader, DEFAULT_LIMITS, allow_extents_beside=True)


def test_a_plain_name_is_trusted_only_when_asked() -> None:
    reader = BytesReader((_HEAD + 'RW 16 FLAT "a.vmdk" 0').encode(), "x.vmdk")
    assert read_vmdk(reader, DEFAULT_LIMITS, allow_extents_beside=True).virtual_size_bytes == 16 * 512
    with pytest.raises(RefusedImage, match=r"names another file: 'a\.vmdk'"):
        read_vmdk(reader, DEFAULT_LIMITS)


def test_a_huge_file_that_begins_like_a_descriptor_is_not_read_whole() -> None:
    with pytest.raises(NotADiskImage, match="begins like a descriptor"):
        read_vmdk(BytesReader(_HEAD.encode(), "x.vmdk", size_bytes=1 << 40), DEFAULT_LIMITS)
