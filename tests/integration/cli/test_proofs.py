"""Proofs as files: where they may be written, and what a copy of changes does with those it is given."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.integration.cli.conftest import Run, snapshot

MiB = 1 << 20


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["proof", "disk.raw", "--output", "disk.raw"], "it would be lost"),
        (["proof", "disk.raw", "--output", "letter.txt"], "it would be lost"),
        (["proof", "disk.raw", "--output", "."], "it would be lost"),
        (["proof", "disk.raw", "--output", "nowhere/x.proof"], "there is no directory"),
        (["copy", "disk.raw", "new.raw", "--proof", "disk.raw"], "it would be lost"),
        (["copy", "disk.raw", "new.raw", "--proof", "new.raw"], "the disk and its proof"),
        (["copy", "disk.raw", "new.raw", "--proof", "nowhere/x.proof"], "there is no directory"),
    ],
    ids=["source", "stranger", "directory", "nowhere", "copy-source", "copy-target", "copy-nowhere"],
)
def test_a_proof_takes_nobody_s_place(
    tmp_path: Path, disk: Path, vmferry: Run, arguments: list[str], words: str
) -> None:
    (tmp_path / "letter.txt").write_text("dear diary")
    before = snapshot(tmp_path)
    assert words in vmferry("disk", *arguments, code=2).err
    assert snapshot(tmp_path) == before


def test_an_older_proof_is_replaced(disk: Path, vmferry: Run) -> None:
    vmferry("disk", "proof", disk, "--output", "a.proof")
    with disk.open("r+b") as file:
        file.write(b"changed")
    vmferry("disk", "proof", disk, "--output", "a.proof")
    vmferry("disk", "compare", "a.proof", disk)


def _hollow(path: Path, size_bytes: int) -> None:
    with path.open("wb") as file:
        file.truncate(size_bytes)


def _of_another_time(path: Path, size_bytes: int) -> None:
    path.write_bytes(bytes([7]) * size_bytes)


def test_changes_are_copied_only_onto_what_they_are_changes_to(tmp_path: Path, disk: Path, vmferry: Run) -> None:
    size_bytes = disk.stat().st_size
    vmferry("disk", "copy", disk, "mirror.raw", "--proof", "full.proof")
    with disk.open("r+b") as file:
        file.seek(MiB)
        file.write(b"changed")
    for name, make in (("hollow.raw", _hollow), ("other.raw", _of_another_time)):
        make(tmp_path / name, size_bytes)
        before = (tmp_path / name).read_bytes()
        answer = vmferry("disk", "copy", disk, name, "--parent", "full.proof", code=2)
        assert "does not hold what" in answer.err
        assert (tmp_path / name).read_bytes() == before
    assert "is not there" in vmferry("disk", "copy", disk, "new.raw", "--parent", "full.proof", code=2).err
    assert "is not there" in vmferry("disk", "copy", disk, "new.qcow2", "--parent", "full.proof", code=2).err
    assert not list(tmp_path.glob("new.*"))
    result = vmferry("disk", "copy", disk, "mirror.raw", "--parent", "full.proof", "--json").json()
    assert result["written_bytes"] == 64 << 10
    subprocess.run(["cmp", disk, tmp_path / "mirror.raw"], check=True)
