"""One bit flipped anywhere in a chain is found and named; a clean chain is sound."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.integration.vault.conftest import Machine
from tests.integration.vault.flips import check_flip, chosen_bits, flip

from vmferry.engine.errors import EngineError
from vmferry.vault import (
    NewerFormat,
    Order,
    TornPoint,
    Verdict,
    VerifyMode,
    list_backups,
    restore_stream,
    sealed,
    verify,
)
from vmferry.vault import hold_backup as hold

FLIPS = 24


def test_flipped_bits_are_named(machine: Machine) -> None:
    machine.grow_chain(4)
    assert verify(machine.vault).sound
    for path, bit in chosen_bits(machine, FLIPS):
        check_flip(machine, path, bit)
    assert verify(machine.vault).sound


def test_every_byte_of_the_metadata_counts(machine: Machine) -> None:
    """The first clusters of a qcow2 are its header, refcounts and tables: a flip there may look like anything."""
    machine.grow_chain(2)
    image = machine.vault.vm_dir(machine.vm) / machine.backups[0].id / "root.qcow2"
    for number in range(8):
        check_flip(
            machine, image, machine.rng.randrange(120 * 8) if number % 2 else machine.rng.randrange(6 * 65_536 * 8)
        )


@pytest.mark.parametrize("name", ["root.qcow2", "root.proof", "vm.json", "RESTORE.md", "SHA256SUMS", "point.json"])
def test_a_missing_file_is_named_and_later_backups_are_affected(machine: Machine, name: str) -> None:
    machine.grow_chain(3)
    path = machine.vault.vm_dir(machine.vm) / machine.backups[1].id / name
    path.rename(machine.root / "away")
    if name == "point.json":
        report = verify(machine.vault)
        assert [one.verdict for one in report.backups] == [Verdict.SOUND, Verdict.DAMAGED]
        assert machine.backups[1].id in report.findings[0].message
        return
    report = verify(machine.vault)
    assert [one.verdict for one in report.backups] == [Verdict.SOUND, Verdict.DAMAGED, Verdict.AFFECTED]
    assert any(finding.file == name for finding in report.findings)
    assert json.dumps(report.to_json())


def test_one_backup_is_verified_with_what_it_stands_on(machine: Machine) -> None:
    machine.grow_chain(3)
    report = verify(machine.vault, machine.vm, backup=machine.backups[1].id, modes=[VerifyMode.QUICK])
    assert [one.backup for one in report.backups] == [one.id for one in machine.backups[:2]]
    shown = {one.id: one.verified for one in list_backups(machine.vault)}
    assert shown[machine.backups[2].id] is None
    verified = shown[machine.backups[0].id]
    assert verified is not None
    assert (verified.verdict, verified.modes) == ("sound", ("quick",))


def test_sealed_notes_are_looked_at_too(machine: Machine) -> None:
    machine.grow_chain(1)
    hold(machine.vault, machine.vm, "latest", "audit")
    verify(machine.vault)
    vm_dir = machine.vault.vm_dir(machine.vm)
    for path in (vm_dir / machine.backups[0].id / "HOLD", vm_dir / ".verified" / machine.backups[0].id):
        flip(path, 99)
        assert [Path(one.file or "").name for one in verify(machine.vault).findings] == [path.name]
        flip(path, 99)
        assert list_backups(machine.vault)[0].held
        verify(machine.vault)
    assert verify(machine.vault).sound


def test_structure_finds_out_an_empty_disk(machine: Machine) -> None:
    machine.add()
    report = verify(machine.vault, modes=[VerifyMode.STRUCTURE])
    assert "is it empty?" in report.findings[0].line()
    assert verify(machine.vault).sound


def test_a_newer_format_is_named(machine: Machine) -> None:
    machine.grow_chain(1)
    path = machine.vault.vm_dir(machine.vm) / machine.backups[0].id / "point.json"
    body = sealed.read(path)
    sealed.write(path, {**body, "format_version": 7})
    for ask in (
        lambda: list_backups(machine.vault),
        lambda: machine.restored(),
        lambda: machine.add(),
    ):
        with pytest.raises(NewerFormat, match=r"format version 7, this vmferry reads up to 1; upgrade vmferry"):
            ask()
    assert not verify(machine.vault).sound


def test_a_torn_point_is_listed_and_not_built_on(machine: Machine) -> None:
    machine.grow_chain(2)
    path = machine.vault.vm_dir(machine.vm) / machine.backups[1].id / "point.json"
    flip(path, 1000)
    shown = list_backups(machine.vault)
    assert shown[0].error is None
    assert "torn or was edited" in (shown[1].error or "")
    with pytest.raises(TornPoint):
        machine.restored()
    assert machine.restored(machine.backups[0].id) == machine.contents[machine.backups[0].id]
    machine.backups.append(machine.backups[0])
    backup = machine.add()
    assert "cannot be read" in backup.disks[0].reason
    assert backup.disks[0].mode.value == "full"


def test_a_forged_point_cannot_lead_out_of_the_vault(machine: Machine) -> None:
    machine.grow_chain(2)
    path = machine.vault.vm_dir(machine.vm) / machine.backups[1].id / "point.json"
    body = sealed.read(path)
    for forged in ({"parent": "../../../etc"}, {"image": {**body["disks"][0]["image"], "name": "../../x"}}):
        sealed.write(path, {**body, "disks": [{**body["disks"][0], **forged}]})
        with pytest.raises(EngineError):
            restore_stream(machine.vault, machine.vm, "root", _Nowhere())
    assert Order("x", {}).owner == "cli"


class _Nowhere:
    def write(self, data: memoryview) -> None:
        raise AssertionError("nothing may be read")
