# SPDX-License-Identifier: Apache-2.0
"""How verdicts add up, and what exit codes come to."""

from __future__ import annotations

import signal

import pytest

from vmferry.engine.filesystems.checkers import CHECKERS, judge
from vmferry.engine.filesystems.findings import Findings
from vmferry.engine.filesystems.looks import weigh
from vmferry.engine.filesystems.programs import Run
from vmferry.engine.filesystems.table import Table
from vmferry.engine.filesystems.verdict import DiskVerdict, Verdict, VolumeVerdict, worst


def test_the_worst_counts_and_nothing_is_not_sound() -> None:
    assert worst([Verdict.CLEAN, Verdict.SKIPPED]) is Verdict.CLEAN
    assert worst([Verdict.UNKNOWN, Verdict.REPAIRED]) is Verdict.UNKNOWN
    assert worst([Verdict.DAMAGED, Verdict.UNKNOWN]) is Verdict.DAMAGED
    assert worst([]) is Verdict.UNKNOWN


def test_a_damaged_table_damages_the_disk() -> None:
    item = VolumeVerdict("partition 1", "ext4", Verdict.CLEAN, "fine")
    assert DiskVerdict(Table("gpt"), (item,)).verdict is Verdict.CLEAN
    assert DiskVerdict(Table("gpt", problems=("torn",)), (item,)).verdict is Verdict.DAMAGED


@pytest.mark.parametrize(
    ("kind", "run", "expected"),
    [
        pytest.param("ext4", Run("e2fsck", 0, "", ""), Verdict.CLEAN, id="0"),
        pytest.param("ext4", Run("e2fsck", 4, "", ""), Verdict.DAMAGED, id="errors-left"),
        pytest.param("ext4", Run("e2fsck", 16, "", ""), Verdict.UNKNOWN, id="usage"),
        pytest.param("vfat", Run("fsck.vfat", 77, "", ""), Verdict.UNKNOWN, id="never-heard-of"),
        pytest.param("btrfs", Run("btrfs", -signal.SIGSEGV, "", ""), Verdict.DAMAGED, id="crash"),
        pytest.param("btrfs", Run("btrfs", -signal.SIGKILL, "", ""), Verdict.UNKNOWN, id="out-of-memory"),
        pytest.param("ext4", Run("e2fsck", 0, "", "", timed_out=True), Verdict.UNKNOWN, id="too-long"),
        pytest.param("btrfs", Run("btrfs", 0, "", "checksum verify failed"), Verdict.DAMAGED, id="said-aside"),
        pytest.param("xfs", Run("x", 1, "", "valuable metadata changes in a log"), Verdict.UNKNOWN, id="dirty-log"),
    ],
)
def test_how_a_checker_ended_is_judged(kind: str, run: Run, expected: Verdict) -> None:
    verdict, meaning = judge(CHECKERS[kind], run)
    assert verdict is expected
    assert meaning


@pytest.mark.parametrize(
    ("found", "said", "expected"),
    [
        pytest.param(Findings(), Verdict.CLEAN, Verdict.CLEAN, id="nothing"),
        pytest.param(Findings(damage=["x"]), Verdict.CLEAN, Verdict.DAMAGED, id="damage"),
        pytest.param(Findings(doubts=["x"]), Verdict.CLEAN, Verdict.DAMAGED, id="doubt-with-an-empty-journal"),
        pytest.param(Findings(doubts=["x"], unsettled=True), Verdict.CLEAN, Verdict.UNKNOWN, id="doubt-with-a-journal"),
        pytest.param(Findings(incomplete="x"), Verdict.DAMAGED, Verdict.UNKNOWN, id="only-a-part"),
        pytest.param(Findings(), Verdict.DAMAGED, Verdict.DAMAGED, id="checker-found-it"),
    ],
)
def test_our_findings_and_the_checkers_word_add_up(found: Findings, said: Verdict, expected: Verdict) -> None:
    assert weigh(found, said, "said")[0] is expected
