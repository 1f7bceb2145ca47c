"""Which leaves of a target are read back before a copy goes on."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest
from tests.unit.engine.memory import MemoryDisk

from vmferry.engine import pump
from vmferry.engine.journal import Journal, ZeroRun
from vmferry.engine.pump.resuming import SAMPLES, _choose
from vmferry.engine.units import GROUP_BYTES, LEAF_BYTES

MiB = 1 << 20


@pytest.mark.parametrize("count", [1, SAMPLES, 2 * SAMPLES, 10_001], ids=lambda count: f"{count}-records")
def test_samples_are_spread_over_all_records(count: int) -> None:
    offsets = [sample.offset // GROUP_BYTES for sample in _choose(ZeroRun(number, 1) for number in range(count))]
    assert min(count, SAMPLES) <= len(offsets) < 2 * SAMPLES + 1
    gaps = {after - before for before, after in itertools.pairwise(offsets)}
    assert len(gaps) <= 1
    assert offsets[0] == 0
    assert count - offsets[-1] <= max(gaps, default=1)


@pytest.mark.parametrize("spoiled", [False, True], ids=["same-target", "zeros-written-over"])
def test_zeros_are_looked_at_too(tmp_path: Path, spoiled: bool) -> None:
    """A disk that begins with zeros: all that is done so far is zeros over old bytes."""
    image = bytes(40 * MiB) + random.Random(1).randbytes(4 * MiB + 9)
    source, target = MemoryDisk(image), MemoryDisk(random.Random(2).randbytes(len(image)))
    with Journal.open(tmp_path / "journal", {}) as journal:
        journal.commit([ZeroRun(0, 10)])
    if not spoiled:
        target.image[: 40 * MiB] = bytes(40 * MiB)
    with Journal.open(tmp_path / "journal", {}) as journal:
        done = pump.copy(source, target, journal=journal)
    assert bytes(target.image) == image
    assert done.resumed_bytes == (0 if spoiled else 40 * MiB)


def test_a_short_last_leaf_is_read_as_it_is(tmp_path: Path) -> None:
    image = random.Random(3).randbytes(LEAF_BYTES + 7)
    source, target = MemoryDisk(image), MemoryDisk(bytes(len(image)))
    for resumed in (0, len(image)):
        with Journal.open(tmp_path / "journal", {}) as journal:
            assert pump.copy(source, target, journal=journal).resumed_bytes == resumed
    assert bytes(target.image) == image
