"""Flips one bit of one file of a chain, and looks whether verify names it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.integration.vault.conftest import Machine

from vmferry.vault import Report, Verdict, restore_stream, verify


def flip(path: Path, bit: int) -> None:
    """Flip one bit; doing it twice gives the file back."""
    with path.open("r+b") as file:
        file.seek(bit // 8)
        (byte,) = file.read(1)
        file.seek(bit // 8)
        file.write(bytes([byte ^ 1 << bit % 8]))


def chosen_bits(machine: Machine, count: int) -> Sequence[tuple[Path, int]]:
    """Choose bits: every file in turn, any place in it."""
    paths = machine.paths()
    return [
        (path, machine.rng.randrange(path.stat().st_size * 8)) for path in (paths * (count // len(paths) + 1))[:count]
    ]


def check_flip(machine: Machine, path: Path, bit: int) -> None:
    """Flip, verify, and flip back."""
    flip(path, bit)
    try:
        report = verify(machine.vault)
        check_named(machine, report, path, bit)
    finally:
        flip(path, bit)


def check_named(machine: Machine, report: Report, path: Path, bit: int) -> None:
    where = f"{path} bit {bit}"
    assert [one.backup for one in report.backups] == [one.id for one in machine.backups], where
    damaged = [one.backup for one in report.backups if one.verdict is Verdict.DAMAGED]
    assert damaged == [path.parent.name], where
    found = [one for one in report.findings if one.backup == path.parent.name]
    assert {one.vm for one in found} == {machine.vm}, where
    assert any(one.file is not None and one.file.endswith(path.name) for one in found), where
    if path.suffix in (".qcow2", ".proof"):
        assert {one.disk for one in found} == {path.stem}, where
    place = [one.id for one in machine.backups].index(path.parent.name)
    for later in report.backups[place + 1 :]:
        assert (later.verdict, later.affected_by) == (Verdict.AFFECTED, path.parent.name), where
    if path.suffix == ".qcow2":
        check_offsets(machine, report, path.parent.name, path.stem, where)


def check_offsets(machine: Machine, report: Report, backup: str, disk: str, where: str) -> None:
    """Where a guest would meet the flip, the offset is named: compare with what the disk was."""
    visible = differing_leaves(machine, backup, disk)
    named = {
        offset
        for one in report.findings
        if one.guest_offset is not None and one.length_bytes is not None
        for offset in range(one.guest_offset, one.guest_offset + one.length_bytes, 65_536)
    }
    assert visible is None or visible <= named, where


class Collector:
    """Takes a stream as a list of bytes."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: memoryview) -> None:
        self.data += data


def differing_leaves(machine: Machine, backup: str, disk: str) -> set[int] | None:
    """Read the disk to its end and compare; None when it cannot be read to the end."""
    out = Collector()
    try:
        restore_stream(machine.vault, machine.vm, disk, out, backup=backup)
    except Exception:  # noqa: BLE001 - a damaged image fails in many ways
        if len(out.data) < len(machine.contents[backup]):
            return None
    right = machine.contents[backup]
    return {at for at in range(0, len(right), 65_536) if right[at : at + 65_536] != bytes(out.data[at : at + 65_536])}
