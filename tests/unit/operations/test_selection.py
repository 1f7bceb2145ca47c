"""Which disks are backed up, and what they are called."""

from pathlib import Path

import pytest

from vmferry.operations.selection import choose_disks, name_disks
from vmferry.platforms.errors import NotSupported
from vmferry.platforms.inventory import Disk, Vm
from vmferry.vault import open_vault

ROOT = Disk("11111111-0000", "web_Disk1", 1)
SWAP = Disk("22222222-0000", "web_swap", 1)
LUN = Disk("33333333-0000", "web_lun", 1, skip="a direct LUN")


def vm(*disks: Disk) -> Vm:
    return Vm("v", "web", "up", False, disks)


@pytest.mark.parametrize("pattern", ["web_swap", "*_swap", "22222222-0000"])
def test_what_is_left_out_is_told_with_its_reason(pattern: str) -> None:
    chosen, skipped = choose_disks(vm(ROOT, SWAP, LUN), [pattern])
    assert chosen == (ROOT,)
    assert [(one.disk, one.reason) for one in skipped] == [
        ("web_swap", f"excluded by the policy ({pattern})"),
        ("web_lun", "a direct LUN"),
    ]


@pytest.mark.parametrize("disks", [(), (LUN,)], ids=["none", "only-a-lun"])
def test_a_vm_without_a_disk_to_back_up_is_refused(disks: tuple[Disk, ...]) -> None:
    with pytest.raises(NotSupported, match="there is no disk to back up"):
        choose_disks(vm(*disks), [])


def test_disks_of_one_alias_get_names_of_their_own(tmp_path: Path) -> None:
    twin = Disk("44444444-0000", "web_Disk1", 1)
    names = name_disks(open_vault(tmp_path), "web", [ROOT, twin, SWAP])
    assert names == {
        ROOT.id: "web_Disk1-11111111",
        twin.id: "web_Disk1-44444444",
        SWAP.id: "web_swap",
    }
