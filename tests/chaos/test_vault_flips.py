"""Flips a bit at many random places of a chain, and verifies as many clean chains: no flip is missed, no alarm false.

VMFERRY_FLIPS says how many of each (default 100).
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.integration.vault.conftest import Machine
from tests.integration.vault.flips import check_flip

from vmferry.vault import verify

COUNT = int(os.environ.get("VMFERRY_FLIPS", "100"))

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]


def test_every_flip_is_found(tmp_path: Path) -> None:
    machine = Machine(tmp_path, 24 * (1 << 20) + 777, seed=int(os.environ.get("VMFERRY_SEED", "7")))
    machine.scribble(40)
    machine.grow_chain(5)
    paths = machine.paths()
    sizes = [path.stat().st_size for path in paths]
    for number in range(COUNT):
        # Half by size, so that most hit data, half by file, so that small files have their turn.
        path = machine.rng.choices(paths, sizes)[0] if number % 2 else paths[number // 2 % len(paths)]
        check_flip(machine, path, machine.rng.randrange(path.stat().st_size * 8))


def test_no_clean_chain_raises_an_alarm(tmp_path: Path) -> None:
    for number in range(COUNT):
        root = tmp_path / str(number)
        root.mkdir()
        machine = Machine(root, 1 + number * 70_001, seed=number)
        machine.grow_chain(1 + number % 4)
        report = verify(machine.vault)
        assert [finding.line() for finding in report.findings] == [], number
        assert report.sound
