"""The journal tells the truth whatever its last bytes look like."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from vmferry.engine.journal import Journal, ZeroRun
from vmferry.engine.proof import ProofGroup

HEADER = {"source": "s", "target": "t"}


def group(number: int, leaves: int = 2) -> ProofGroup:
    """Make a group's record as the pump does."""
    digests = tuple(random.Random(number * 64 + leaf).randbytes(32) for leaf in range(leaves))
    return ProofGroup(number, (1 << leaves) - 1, (1 << leaves) - 1, b"", digests)


def test_committed_groups_come_back_in_order_over_several_runs(tmp_path: Path) -> None:
    numbers = list(range(500))
    random.Random(5).shuffle(numbers)
    for run in range(5):
        with Journal.open(tmp_path / "j", HEADER) as journal:
            journal.commit(group(n) for n in numbers[run * 100 : run * 100 + 60])
            journal.commit(group(n) for n in numbers[run * 100 + 60 : run * 100 + 100])
    with Journal.open(tmp_path / "j", HEADER) as journal:
        assert list(journal.groups()) == [group(n) for n in range(500)]
        assert all(journal.is_done(n) for n in range(500))
        assert not journal.is_done(500)


def test_a_tail_torn_at_any_byte_is_dropped_to_the_last_commit(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "whole", HEADER) as journal:
        journal.commit([group(3), ZeroRun(10, 7)])
        safe = (tmp_path / "whole").stat().st_size
        journal.commit([group(1), group(2)])
    whole = (tmp_path / "whole").read_bytes()
    for length in range(safe, len(whole)):
        torn = tmp_path / "torn"
        torn.write_bytes(whole[:length])
        with Journal.open(torn, HEADER) as journal:
            assert [g.number for g in journal.groups()] == [3]
            assert [n for n in range(30) if journal.is_done(n)] == [3, *range(10, 17)]


def test_a_flipped_bit_ends_the_journal_before_it(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "whole", HEADER) as journal:
        journal.commit([group(3)])
        safe = (tmp_path / "whole").stat().st_size
        journal.commit([group(1)])
    whole = (tmp_path / "whole").read_bytes()
    for bit in random.Random(1).sample(range(safe * 8, len(whole) * 8), 100):
        broken = bytearray(whole)
        broken[bit // 8] ^= 1 << bit % 8
        (tmp_path / "broken").write_bytes(broken)
        with Journal.open(tmp_path / "broken", HEADER) as journal:
            assert [g.number for g in journal.groups()] == [3]


def test_a_journal_cut_inside_its_header_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "j").write_bytes(b'{"source": "s", "ta')
    with Journal.open(tmp_path / "j", HEADER) as journal:
        journal.commit([group(1)])
    with Journal.open(tmp_path / "j", HEADER) as journal:
        assert [g.number for g in journal.groups()] == [1]


@pytest.mark.parametrize("first", [True, False], ids=["fresh", "used"])
def test_what_the_target_was_at_first_is_remembered(tmp_path: Path, first: bool) -> None:
    with Journal.open(tmp_path / "j", HEADER) as journal:
        assert journal.remember_fresh(first) is first
        journal.commit([group(1)])
    with Journal.open(tmp_path / "j", HEADER) as journal:
        assert journal.remember_fresh(False) is first
