# SPDX-License-Identifier: Apache-2.0
"""Images made by qemu-img: sound ones are described, hostile ones refused, and no other file is ever opened."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest
from lab.hostile import HOSTILE, MiB, Tripwire, make_image, patch, vmdk_descriptor

from vmferry.engine.errors import BadInput, RefusedImage, ToolMissing
from vmferry.engine.images.inspect import inspect
from vmferry.engine.images.reader import BytesReader

_SOUND = [
    pytest.param("x.qcow2", "qcow2", "", "v3", id="qcow2"),
    pytest.param("x.qcow2", "qcow2", "compat=0.10", "v2", id="qcow2-v2"),
    pytest.param("x.qcow2", "qcow2", "extended_l2=on", "v3", id="qcow2-subclusters"),
    pytest.param("x.img", "qcow2", "", "v3", id="qcow2-named-img"),
    pytest.param("disk", "qcow2", "", "v3", id="qcow2-without-a-suffix"),
    pytest.param("x.vmdk", "vmdk", "", "monolithicSparse", id="vmdk"),
    pytest.param("x.vhd", "vpc", "subformat=dynamic", "dynamic", id="vhd-dynamic"),
    pytest.param("x.vhd", "vpc", "subformat=fixed", "fixed", id="vhd-fixed"),
    pytest.param("x.vhd", "vpc", "force_size=on", "dynamic", id="vhd-exact-size"),
    pytest.param("x.vhdx", "vhdx", "", "dynamic", id="vhdx"),
    pytest.param("x.vdi", "vdi", "", "dynamic", id="vdi"),
    pytest.param("x.vdi", "vdi", "static=on", "static", id="vdi-static"),
    pytest.param("a,b=c d.qcow2", "qcow2", "", "v3", id="odd-name"),
]


def _info_size(path: Path, kind: str) -> int:
    done = subprocess.run(["qemu-img", "measure", "-f", kind, "-O", "raw", str(path)], capture_output=True, check=True)
    return int(done.stdout.split()[2])


@pytest.mark.parametrize(("name", "kind", "options", "subformat"), _SOUND)
def test_sound_images_are_described(tmp_path: Path, name: str, kind: str, options: str, subformat: str) -> None:
    path = make_image(tmp_path / "made", kind, options=options).rename(tmp_path / name)
    facts = inspect(path)
    assert (facts.format, facts.subformat) == (kind, subformat)
    assert facts.file_size_bytes == path.stat().st_size
    if "," not in name:
        assert facts.virtual_size_bytes == _info_size(path, kind)


def test_a_stream_optimised_vmdk_is_described(tmp_path: Path) -> None:
    source = make_image(tmp_path / "x.qcow2", "qcow2")
    convert = ["qemu-img", "convert", "-O", "vmdk", "-o", "subformat=streamOptimized", str(source)]
    subprocess.run([*convert, str(tmp_path / "x.vmdk")], check=True)
    facts = inspect(tmp_path / "x.vmdk")
    assert (facts.subformat, facts.virtual_size_bytes, facts.cluster_size_bytes) == ("streamOptimized", 8 * MiB, 65536)


def test_bitmaps_and_snapshots_are_counted(tmp_path: Path) -> None:
    path = make_image(tmp_path / "x.qcow2", "qcow2")
    subprocess.run(["qemu-img", "snapshot", "-c", "one", str(path)], check=True)
    subprocess.run(["qemu-img", "bitmap", "--add", str(path), "dirty"], check=True)
    facts = inspect(path)
    assert (facts.has_bitmaps, facts.snapshots) == (True, 1)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_images_are_refused_and_nothing_else_is_opened(tmp_path: Path, name: str) -> None:
    trap = tmp_path / "secret"
    trap.write_bytes(b"secret " * 9000)
    HOSTILE[name](tmp_path / name, str(trap))
    with Tripwire(trap) as wire:
        with pytest.raises(BadInput) as caught:
            inspect(tmp_path / name)
        assert not wire.was_touched()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["backing.qcow2", "flat.vmdk", "carrier.vmdk", "hidden-parent.vmdk"])
def test_the_wire_tells_when_somebody_follows_such_an_image(tmp_path: Path, name: str) -> None:
    trap = tmp_path / "secret"
    trap.write_bytes(b"secret " * 9000)
    HOSTILE[name](tmp_path / name, str(trap))
    with Tripwire(trap) as wire:
        subprocess.run(["qemu-img", "info", "--backing-chain", str(tmp_path / name)], capture_output=True, check=False)
        assert wire.was_touched()


@pytest.mark.parametrize(
    ("name", "named"),
    [
        pytest.param("backing.qcow2", "/etc/hostname", id="qcow2-backing-file"),
        pytest.param("flat.vmdk", "/etc/passwd", id="vmdk-extent"),
    ],
)
def test_the_refusal_names_the_file_that_was_asked_for(tmp_path: Path, name: str, named: str) -> None:
    HOSTILE[name](tmp_path / name, named)
    with pytest.raises(RefusedImage, match=named):
        inspect(tmp_path / name)


def test_extents_beside_are_trusted_when_asked(tmp_path: Path) -> None:
    (tmp_path / "x-flat.vmdk").write_bytes(bytes(MiB))
    vmdk_descriptor(tmp_path / "x.vmdk", 'RW 2048 FLAT "x-flat.vmdk" 0')
    facts = inspect(tmp_path / "x.vmdk", allow_extents_beside=True)
    assert (facts.virtual_size_bytes, facts.subformat) == (MiB, "monolithicFlat")


def test_an_extent_beside_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x-flat.vmdk").symlink_to("/etc/hostname")
    vmdk_descriptor(tmp_path / "x.vmdk", 'RW 2048 FLAT "x-flat.vmdk" 0')
    with pytest.raises(RefusedImage, match="symbolic link"):
        inspect(tmp_path / "x.vmdk", allow_extents_beside=True)


def test_what_only_qemu_img_cannot_read_is_refused_too(tmp_path: Path) -> None:
    path = make_image(tmp_path / "x.qcow2", "qcow2")
    patch(path, 56, bytes(4))  # no refcount table: our parser lets that pass
    assert inspect(path, second_opinion=False).virtual_size_bytes == 8 * MiB
    with pytest.raises(RefusedImage, match="qemu-img cannot read it"):
        inspect(path)


def test_without_qemu_img_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_image(tmp_path / "x.qcow2", "qcow2")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="install the package qemu-utils"):
        inspect(path)


@pytest.mark.parametrize("kind", ["qcow2", "vmdk", "vpc", "vdi", "vhdx"])
def test_a_flipped_bit_never_leads_to_anything_but_an_answer(tmp_path: Path, kind: str) -> None:
    path = make_image(tmp_path / f"x.{kind}", kind)
    raw, chance = bytearray(path.read_bytes()), random.Random(kind)
    areas = [(0, 2048), (len(raw) - 512, len(raw))]
    if kind == "vhdx":
        at = raw.index(b"metadata")
        areas = [(0, 1024), (65536, 66048), (0x30000, 0x30100), (at, at + 512)]
    answers = set()
    for _ in range(20 if kind == "vhdx" else 150):
        at, bit = chance.randrange(*chance.choice(areas)), 1 << chance.randrange(8)
        raw[at] ^= bit
        try:
            answers.add(inspect(BytesReader(bytes(raw), path.name)).format)
        except BadInput:
            answers.add("refused")
        raw[at] ^= bit
    assert answers <= {kind, "refused"}
    assert kind in answers
