# SPDX-License-Identifier: Apache-2.0
"""Decide whether an image that somebody else made may be used, and as what.

What a name promises (the end of the name, in any case of letters):

=============================================  =============================================
``.qcow2``                                     qcow2
``.vmdk``                                      vmdk
``.vhd`` ``.vpc``                              vpc
``.vhdx``                                      vhdx
``.vdi``                                       vdi
``.raw`` ``.dd``                               raw
``.img``                                       raw or qcow2 (cloud images come under this name as either)
``.raw.gz`` ``.img.gz`` ``.dd.gz`` ``.gz``     raw, compressed (also ``.xz`` and ``.zst``)
none, or a block device's name                 any format of this table
anything else                                  any format of this table but raw, which has no mark to tell it by
=============================================  =============================================

A person's word (`claimed_format`) counts more than the name. Content is read by our own parsers from the file that was
opened once; no name found in it is ever opened. Only what they found harmless is shown to ``qemu-img info``, under a
forced format and resource limits, as a second opinion; where the two disagree the image is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Union

from vmferry.engine.errors import BadInput, NotADiskImage, RefusedImage
from vmferry.engine.images.completeness import check_complete
from vmferry.engine.images.facts import DEFAULT_LIMITS, ImageFacts, Limits, check_virtual_size
from vmferry.engine.images.opinion import check_opinion
from vmferry.engine.images.probe import detect_format
from vmferry.engine.images.reader import ByteReader, BytesReader, FileReader

COMPRESSIONS = ("gz", "xz", "zst")
FORMATS = ("qcow2", "vmdk", "vpc", "vhdx", "vdi", "raw", *(f"raw.{one}" for one in COMPRESSIONS))
"""What is accepted, as `claimed_format` spells it."""

_ALIASES = {"vhd": "vpc", "img": "raw", "dd": "raw", "gz": "raw.gz", "xz": "raw.xz", "zst": "raw.zst"}
_PROMISES = {
    ".qcow2": ("qcow2",),
    ".qcow": ("qcow2",),
    ".vmdk": ("vmdk",),
    ".vhd": ("vpc",),
    ".vpc": ("vpc",),
    ".vhdx": ("vhdx",),
    ".vdi": ("vdi",),
    ".raw": ("raw",),
    ".dd": ("raw",),
    ".img": ("raw", "qcow2"),
    ".gz": ("raw.gz",),
    ".xz": ("raw.xz",),
    ".zst": ("raw.zst",),
}


def inspect(
    source: Union[str, Path, ByteReader],
    *,
    claimed_format: str | None = None,
    name: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
    allow_extents_beside: bool = False,
    second_opinion: bool = True,
) -> ImageFacts:
    """Say what an image is, or raise `RefusedImage` / `NotADiskImage` with one line why.

    `source` is a path or any reader (e.g. `EndpointReader` over HTTP, where qemu-img is not asked). `name` is what
    the image was called where it came from. `allow_extents_beside` trusts a VMDK descriptor as far as files beside it.
    """
    claimed = _checked_claim(claimed_format)
    if not isinstance(source, (str, Path)):
        return _inspect_reader(source, claimed, name or source.name, limits, allow_extents_beside)
    with FileReader(source, name) as reader:
        facts = _inspect_reader(reader, claimed, name or str(source), limits, allow_extents_beside)
        if facts.format != "raw":
            check_complete(reader, facts)
        if second_opinion and facts.format != "raw":
            check_opinion(reader, facts, limits)
        return facts


def recognise(path: str, *, claimed_format: str | None = None) -> str:
    """Say which format a file is, where content agrees with what was said or with its name; trusts what is in it."""
    with FileReader(path) as reader:
        return _recognise(reader, _checked_claim(claimed_format), path)


def promised_formats(name: str) -> tuple[str, ...] | None:
    """Say which formats the end of a name promises; None when it promises nothing we know."""
    base = name.rstrip("/").rsplit("/", 1)[-1].split("?", 1)[0]
    suffix = Path(base).suffix.lower()
    return _PROMISES.get(suffix) if suffix else FORMATS


def _checked_claim(claimed: str | None) -> str | None:
    if claimed is None:
        return None
    claimed = _ALIASES.get(claimed.lower(), claimed.lower())
    if claimed not in FORMATS:
        raise BadInput(f"{claimed!r} is no format that is accepted", fix=f"use one of {', '.join(FORMATS)}")
    return claimed


def _inspect_reader(
    reader: ByteReader, claimed: str | None, name: str, limits: Limits, allow_extents_beside: bool
) -> ImageFacts:
    found = _recognise(reader, claimed, name)
    if found == "raw":
        return _read_raw(reader, name, limits)
    if found.startswith("raw."):
        return _read_compressed(reader, found[4:], name, limits)
    if found == "vmdk":
        from vmferry.engine.images.vmdk import read_vmdk

        return read_vmdk(reader, limits, allow_extents_beside=allow_extents_beside)
    return _find_parser(found)(reader, limits)


def _find_parser(image_format: str) -> Callable[[ByteReader, Limits], ImageFacts]:
    """Import what reads a format; most commands meet one format only."""
    if image_format == "qcow2":
        from vmferry.engine.images.qcow2 import read_qcow2

        return read_qcow2
    if image_format == "vhdx":
        from vmferry.engine.images.vhdx import read_vhdx

        return read_vhdx
    if image_format == "vdi":
        from vmferry.engine.images.vdi import read_vdi

        return read_vdi
    from vmferry.engine.images.vhd import read_vhd

    return read_vhd


def _recognise(reader: ByteReader, claimed: str | None, name: str) -> str:
    found = detect_format(reader)
    if found is None:
        raise NotADiskImage(f"{name}: is empty (0 bytes)", fix="give a disk image")
    if claimed == "raw":
        found = "raw"
    found = f"raw.{found}" if found in COMPRESSIONS else found
    _check_promise(found, claimed, name)
    return found


def _check_promise(found: str, claimed: str | None, name: str) -> None:
    """Hold the content against the list of formats, then against what was said, else against the name."""
    if found not in FORMATS:
        raise NotADiskImage(
            f"{name}: is {found}, which is not accepted as a disk image", fix="convert it to qcow2 or raw first"
        )
    promised = (claimed,) if claimed else promised_formats(name)
    if promised is None and found == "raw":
        raise NotADiskImage(
            f"{name}: nothing in it tells that it is a disk image",
            fix="give --format raw if you mean its bytes as they are",
        )
    if promised is None or found in promised:
        return
    said = "it was said to be" if claimed else "its name says"
    if found == "raw":
        raise NotADiskImage(
            f"{name}: is no {promised[0]} image, though {said} {promised[0]}", fix="give the real format"
        )
    fix = "give --format raw if you mean its bytes as they are" if "raw" in promised else "give the real format"
    raise RefusedImage(f"{name}: is {found}, but {said} {' or '.join(promised)}", fix=fix)


def _read_raw(reader: ByteReader, name: str, limits: Limits) -> ImageFacts:
    check_virtual_size(name, reader.size, limits)
    odd = reader.size % 512
    notes = (f"its size is not a multiple of 512 bytes ({odd} over)",) if odd else ()
    return ImageFacts(name, "raw", reader.size, reader.size, notes=notes)


def _read_compressed(reader: ByteReader, compression: str, name: str, limits: Limits) -> ImageFacts:
    from vmferry.engine.images.compressed import peek, whole_size

    start = peek(reader, compression)
    if not start:
        raise NotADiskImage(f"{name}: holds nothing once decompressed", fix="is the file complete?")
    # The end of the disk is not known here, so only marks at its start can be seen.
    inner = detect_format(BytesReader(start, name))
    if inner != "raw":
        raise RefusedImage(
            f"{name}: holds {inner} once decompressed; compressed images must be raw",
            fix="decompress it, then import it",
        )
    size_bytes = whole_size(reader, compression)
    check_virtual_size(name, size_bytes or 0, limits)
    return ImageFacts(name, "raw", size_bytes, reader.size, compression=compression)
