"""The doctor names what should not be there, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.vault.conftest import Machine

from vmferry.vault import DiskInfo, Trouble, begin_point, examine, list_backups, show_backup, verify
from vmferry.vault.errors import NoSuchBackup
from vmferry.vault.layout import Vault
from vmferry.vault.names import decode_name


def troubles(machine: Machine) -> list[tuple[Trouble, str]]:
    before = sorted((path, path.is_file() and path.read_bytes()) for path in machine.vault.path.rglob("*"))
    found = examine(machine.vault)
    assert sorted((path, path.is_file() and path.read_bytes()) for path in machine.vault.path.rglob("*")) == before
    return [(one.trouble, Path(one.path).name) for one in found]


def test_a_clean_vault_has_no_trouble(machine: Machine) -> None:
    machine.grow_chain(2)
    assert troubles(machine) == []


def test_orphans_are_named(machine: Machine) -> None:
    machine.grow_chain(1)
    vm_dir = machine.vault.vm_dir(machine.vm)
    (machine.vault.path / "notes.txt").touch()
    (vm_dir / "old").mkdir()
    (vm_dir / machine.backups[0].id / "copy.qcow2").touch()
    assert troubles(machine) == [
        (Trouble.ORPHAN, "copy.qcow2"),
        (Trouble.ORPHAN, "old"),
        (Trouble.ORPHAN, "notes.txt"),
    ]


def test_a_missing_parent_breaks_links_above_it(machine: Machine) -> None:
    machine.grow_chain(3)
    vm_dir = machine.vault.vm_dir(machine.vm)
    (vm_dir / machine.backups[0].id).rename(machine.root / "away")
    assert troubles(machine) == [(Trouble.BROKEN_LINK, one.id) for one in machine.backups[1:]]


def test_a_missing_file_and_a_torn_point(machine: Machine) -> None:
    machine.grow_chain(2)
    vm_dir = machine.vault.vm_dir(machine.vm)
    (vm_dir / machine.backups[0].id / "vm.json").unlink()
    (vm_dir / machine.backups[1].id / "point.json").write_text("{}")
    assert troubles(machine) == [
        (Trouble.MISSING_FILE, machine.backups[0].id),
        (Trouble.TORN, "point.json"),
    ]


def test_unfinished_points_can_be_gone_on_with_or_not(machine: Machine) -> None:
    machine.grow_chain(1)
    point = begin_point(machine.vault, machine.vm, [DiskInfo("root")], owner="run-1")
    (found,) = examine(machine.vault)
    assert "let run-1 go on" in found.advice
    (point.dir / ".work" / "plan.json").unlink()
    (found,) = examine(machine.vault)
    assert found.advice == f"it is safe to remove {point.dir}"
    assert found.harmless


def test_a_vault_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NoSuchBackup, match="is not there"):
        examine(Vault(tmp_path / "nothing"))


def _rename_vm(machine: Machine) -> str:
    machine.vault.vm_dir(machine.vm).rename(machine.vault.path / "renamed")
    return "renamed"


def _move_beside_another(machine: Machine) -> str:
    backup = machine.vault.vm_dir(machine.vm) / machine.backups[0].id
    (machine.vault.path / "other").mkdir()
    backup.rename(machine.vault.path / "other" / backup.name)
    return "other"


def _move_to_the_top(machine: Machine) -> str:
    backup = machine.vault.vm_dir(machine.vm) / machine.backups[0].id
    backup.rename(machine.vault.path / backup.name)
    return backup.name


@pytest.mark.parametrize("move", [_rename_vm, _move_beside_another, _move_to_the_top], ids=["vm", "beside", "top"])
def test_backups_in_the_wrong_place_are_not_overlooked(machine: Machine, move: Callable[[Machine], str]) -> None:
    machine.grow_chain(1)
    where = move(machine)
    belongs = machine.vault.vm_dir(machine.vm).name
    (found,) = examine(machine.vault)
    assert (found.trouble, found.harmless) == (Trouble.MISPLACED, False)
    assert belongs in found.advice
    assert not verify(machine.vault).sound
    (listed,) = list_backups(machine.vault)
    assert listed.error is not None
    with pytest.raises(NoSuchBackup, match="not where it belongs"):
        show_backup(machine.vault, decode_name(where))
