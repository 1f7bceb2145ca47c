"""Comparing proofs names what differs; a damaged proof is never believed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tests.unit.engine.memory import MemoryDisk

from vmferry.engine import pump
from vmferry.engine.errors import ProofError
from vmferry.engine.proof import Difference, ProofChain, ProofFile, compare

LEAF = 65536
MiB = 1 << 20


def prove(image: bytes, path: Path) -> ProofChain:
    """Write the proof of an image and open it."""
    pump.measure(MemoryDisk(image), proof=path)
    return ProofChain([path])


@pytest.mark.parametrize("offset", [0, LEAF - 1, 4 * MiB, 9 * MiB + 77, 10 * MiB], ids=str)
def test_one_flipped_bit_is_named(tmp_path: Path, offset: int) -> None:
    image = bytearray(random.Random(1).randbytes(10 * MiB + 100))
    with prove(bytes(image), tmp_path / "a") as before:
        image[offset] ^= 0x10
        with prove(bytes(image), tmp_path / "b") as after:
            start = offset // LEAF * LEAF
            assert list(compare(before, after)) == [Difference(start, min(LEAF, len(image) - start))]


def test_neighbours_are_joined_and_zeros_differ_from_data(tmp_path: Path) -> None:
    image = bytearray(12 * MiB)
    image[0:LEAF] = b"x" * LEAF
    with prove(bytes(image), tmp_path / "a") as before:
        image[0:LEAF] = bytes(LEAF)
        image[8 * MiB - 1 : 8 * MiB + 1] = b"yy"
        with prove(bytes(image), tmp_path / "b") as after:
            assert list(compare(before, after)) == [Difference(0, LEAF), Difference(8 * MiB - LEAF, 2 * LEAF)]
        assert list(compare(before, before)) == []


def test_every_flipped_bit_of_a_proof_is_found(tmp_path: Path) -> None:
    prove(random.Random(2).randbytes(MiB), tmp_path / "a").close()
    whole = (tmp_path / "a").read_bytes()
    for bit in random.Random(3).sample(range(len(whole) * 8), 150):
        broken = bytearray(whole)
        broken[bit // 8] ^= 1 << bit % 8
        (tmp_path / "b").write_bytes(broken)
        with pytest.raises(ProofError), ProofFile(tmp_path / "b") as opened:
            opened.check_seal()


def test_a_cut_proof_is_torn(tmp_path: Path) -> None:
    prove(b"x" * MiB, tmp_path / "a").close()
    whole = (tmp_path / "a").read_bytes()
    (tmp_path / "b").write_bytes(whole[:-1])
    with pytest.raises(ProofError, match="torn"):
        ProofFile(tmp_path / "b")


def test_a_chain_of_strangers_is_refused(tmp_path: Path) -> None:
    prove(b"x" * MiB, tmp_path / "a").close()
    prove(b"y" * MiB, tmp_path / "b").close()
    with pytest.raises(ProofError, match="does not stand on"):
        ProofChain([tmp_path / "a", tmp_path / "b"])
