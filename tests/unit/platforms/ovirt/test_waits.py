"""The tables know every word that the SDK knows."""

import enum

import pytest
from ovirtsdk4 import types

from vmferry.platforms.ovirt.waits import ENDED_TRANSFERS, PAUSED_TRANSFERS, TABLES
from vmferry.platforms.waiting import GONE, Outcome

WORDS: dict[str, type[enum.Enum]] = {
    "backup_ready": types.BackupPhase,
    "backup_ended": types.BackupPhase,
    "transfer_open": types.ImageTransferPhase,
    "transfer_succeeded": types.ImageTransferPhase,
    "transfer_ended": types.ImageTransferPhase,
    "disk_usable": types.DiskStatus,
    "snapshot_ready": types.SnapshotStatus,
    "snapshot_gone": types.SnapshotStatus,
    "vm_free": types.VmStatus,
}


@pytest.mark.parametrize("name", WORDS)
def test_every_state_is_judged(name: str) -> None:
    table = TABLES[name]
    assert {word.value for word in WORDS[name]} | {GONE} >= set(table.states)
    assert {word.value for word in WORDS[name]} <= set(table.states)


@pytest.mark.parametrize("name", TABLES)
def test_every_table_can_end_well_and_says_what_it_is_about(name: str) -> None:
    table = TABLES[name]
    assert Outcome.OK in table.states.values()
    assert table.thing in {"backup", "transfer", "disk", "snapshot", "VM"}


def test_a_transfer_is_open_ended_or_paused() -> None:
    assert not ENDED_TRANSFERS & PAUSED_TRANSFERS
    open_words = {word.value for word in types.ImageTransferPhase} - ENDED_TRANSFERS - PAUSED_TRANSFERS
    assert open_words == {"initializing", "transferring", "resuming", "unknown"}
