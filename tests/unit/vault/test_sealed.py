"""A sealed file says so when one bit of it is not as it was."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from vmferry.engine.errors import Unreadable
from vmferry.vault import sealed
from vmferry.vault.errors import TornPoint

BODY = {"format_version": 1, "vm": {"name": "büro\n"}, "numbers": [0, 1.5, None, True]}


def test_reads_what_it_wrote(tmp_path: Path) -> None:
    path = tmp_path / "point.json"
    sealed.write(path, BODY)
    assert sealed.read(path) == BODY
    assert [one.name for one in tmp_path.iterdir()] == ["point.json"]


def test_every_flipped_bit_is_found() -> None:
    raw = sealed.render(BODY)
    for position in range(len(raw)):
        for bit in range(8):
            flipped = bytearray(raw)
            flipped[position] ^= 1 << bit
            assert sealed.checksum_of(bytes(flipped)) is None, (position, bit)


def test_the_checksum_can_be_computed_by_hand() -> None:
    raw = sealed.render(BODY)
    said = json.loads(raw)["checksum"]
    assert hashlib.sha256(raw.replace(said.encode(), b"0" * 64)).hexdigest() == said


@pytest.mark.parametrize("cut", [0, 1, 40], ids=["nothing", "one-byte", "half"])
def test_a_torn_file_is_named(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "point.json"
    path.write_bytes(sealed.render(BODY)[:cut])
    with pytest.raises(TornPoint, match=r"point\.json is torn"):
        sealed.read(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="nothing"):
        sealed.read(tmp_path / "nothing")
