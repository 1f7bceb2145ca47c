"""Copies between disks in memory: equal bytes, equal roots, nothing touched twice."""

from __future__ import annotations

import random
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.engine.memory import MemoryDisk
from tests.unit.engine.naive import naive_root

from vmferry.engine import proof, pump
from vmferry.engine.errors import BadInput, Cancelled, JournalMismatch, TargetLost, TargetTooSmall
from vmferry.engine.journal import Journal

LEAF = 65536
MiB = 1 << 20
QUIET = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def copy(source: MemoryDisk, target: MemoryDisk, journal: Path, **more: Any) -> pump.CopyResult:
    """Copy with a journal that is closed whatever happens."""
    with Journal.open(journal, {"a": "b"}) as opened:
        return pump.copy(source, target, journal=opened, **more)


def make_image(seed: int, size: int) -> bytes:
    """Make a sparse image with data in odd places."""
    rng = random.Random(seed)
    image = bytearray(size)
    for _ in range(rng.randrange(0, 12)):
        start = rng.randrange(size)
        piece = rng.randbytes(min(rng.choice([1, 512, 4096, LEAF, 5 * LEAF, 5 * MiB]), size - start))
        image[start : start + len(piece)] = piece
    return bytes(image)


def change(disk: MemoryDisk, seed: int) -> None:
    """Write as a guest does, zeros among it."""
    rng = random.Random(seed)
    for _ in range(rng.randrange(0, 8)):
        start = rng.randrange(disk.size)
        length = min(rng.choice([1, 700, LEAF, 3 * LEAF, 4 * MiB]), disk.size - start)
        disk.guest_write(start, bytes(length) if rng.random() < 0.4 else rng.randbytes(length))


sizes = st.integers(1, 6 * MiB) | st.sampled_from([1, 511, LEAF, LEAF + 1, 4 * MiB, 8 * MiB + 512])


@QUIET
@given(st.integers(0, 1 << 32), sizes, st.booleans(), st.integers(1, 4))
def test_a_full_copy_is_equal_and_its_root_is_the_plain_one(seed: int, size: int, fresh: bool, workers: int) -> None:
    source = MemoryDisk(make_image(seed, size))
    old = bytes(size + 100) if fresh else random.Random(seed).randbytes(size + 100)
    target = MemoryDisk(old, fresh=fresh)
    with tempfile.TemporaryFile() as scratch:
        journal = Journal.in_file(scratch)
        result = pump.copy(source, target, journal=journal, options=pump.CopyOptions(workers))
    assert bytes(target.image[:size]) == bytes(source.image)
    assert not any(target.image[size:])
    assert target.safe == bytes(target.image)
    assert result.root == naive_root(bytes(source.image)) == pump.measure(source).root


@QUIET
@given(st.integers(0, 1 << 32), sizes, st.lists(st.sampled_from(["bitmap", "heal", "grow"]), min_size=1, max_size=5))
def test_a_chain_of_changes_keeps_bytes_and_roots_equal(
    tmp_path_factory: pytest.TempPathFactory, seed: int, size: int, steps: list[str]
) -> None:
    room = tmp_path_factory.mktemp("chain")
    source, mirror = MemoryDisk(make_image(seed, size)), MemoryDisk(bytes(size), fresh=True)
    paths = [room / "0.proof"]
    copy(source, mirror, room / "0.journal", proof=paths[0])
    for number, step in enumerate(steps, 1):
        source.dirty = {"since": []}
        mirror.reads_zero = False
        change(source, seed + number)
        if step == "grow":
            extra = make_image(seed - number, 1 + (seed >> number) % (5 * MiB))
            source.image += extra
            mirror.image += bytes(len(extra))
        options = pump.CopyOptions(since=None if step == "heal" else "since", parent=tuple(map(str, paths)))
        path = room / f"{number}.proof"
        result = copy(source, mirror, room / f"{number}.journal", options=options, proof=path)
        paths.append(path)
        assert mirror.image == source.image
        assert result.root == naive_root(bytes(source.image))
    with proof.ProofChain(paths) as chain:
        assert chain.compute_root().hex() == naive_root(bytes(source.image))
        for one in chain.files:
            one.check_seal()


def test_healing_stores_only_what_changed(tmp_path: Path) -> None:
    source = MemoryDisk(random.Random(1).randbytes(12 * MiB))
    mirror = MemoryDisk(bytes(12 * MiB), fresh=True)
    copy(source, mirror, tmp_path / "a", proof=tmp_path / "p")
    mirror.written.clear()
    source.guest_write(7 * MiB + 5, b"changed")
    options = pump.CopyOptions(parent=(str(tmp_path / "p"),))
    result = copy(source, mirror, tmp_path / "b", options=options, proof=tmp_path / "q")
    assert mirror.written == [(7 * MiB, LEAF)]
    assert (result.changed_bytes, result.written_bytes, result.read_bytes) == (LEAF, LEAF, 12 * MiB)


@QUIET
@given(st.integers(0, 1 << 32), st.lists(st.integers(0, 9), max_size=6))
def test_a_broken_copy_goes_on_from_what_was_flushed(
    tmp_path_factory: pytest.TempPathFactory, seed: int, breaks: list[int]
) -> None:
    room = tmp_path_factory.mktemp("resume")
    source = MemoryDisk(make_image(seed, 14 * MiB))
    target = MemoryDisk(random.Random(seed).randbytes(14 * MiB))
    for allowed in breaks:
        target.writes_left = allowed
        try:
            copy(source, target, room / "journal")
        except TargetLost:
            # What was not flushed is lost, as after a power cut.
            target.image = bytearray(target.safe)
    target.writes_left = None
    result = copy(source, target, room / "journal", proof=room / "proof")
    assert target.image == source.image
    assert result.root == naive_root(bytes(source.image))


def test_a_second_run_of_a_finished_copy_moves_nothing(tmp_path: Path) -> None:
    source, target = MemoryDisk(random.Random(2).randbytes(9 * MiB)), MemoryDisk(bytes(9 * MiB), fresh=True)
    first = copy(source, target, tmp_path / "j")
    target.written.clear()
    again = copy(source, target, tmp_path / "j")
    assert (again.root, again.written_bytes, again.read_bytes) == (first.root, 0, 0)
    assert again.resumed_bytes == 9 * MiB
    assert not target.written


def test_a_journal_of_another_copy_is_refused_by_name(tmp_path: Path) -> None:
    Journal.open(tmp_path / "j", {"source": "a"}).close()
    with pytest.raises(JournalMismatch, match="source 'a', now it is 'b'"):
        Journal.open(tmp_path / "j", {"source": "b"})


def test_a_small_target_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    target = MemoryDisk(b"x" * MiB)
    with pytest.raises(TargetTooSmall, match="give a larger target"):
        copy(MemoryDisk(b"y" * (MiB + 1)), target, tmp_path / "j")
    assert target.image == b"x" * MiB


def test_changes_without_a_parent_and_unknown_bitmaps_are_bad_input(tmp_path: Path) -> None:
    source, target = MemoryDisk(b"y" * MiB), MemoryDisk(bytes(MiB), fresh=True)
    with pytest.raises(BadInput, match="proofs it stands on"):
        copy(source, target, tmp_path / "j", options=pump.CopyOptions(since="x"))
    copy(source, target, tmp_path / "k", proof=tmp_path / "p")
    options = pump.CopyOptions(since="lost", parent=(str(tmp_path / "p"),))
    with pytest.raises(BadInput, match="lost"):
        copy(source, target, tmp_path / "l", options=options)


def test_a_cancelled_copy_keeps_its_journal(tmp_path: Path) -> None:
    cancel = threading.Event()
    cancel.set()
    source, target = MemoryDisk(b"y" * MiB), MemoryDisk(bytes(MiB), fresh=True)
    with pytest.raises(Cancelled, match="goes on where it stopped"):
        copy(source, target, tmp_path / "j", cancel=cancel)
    assert copy(source, target, tmp_path / "j").written_bytes == MiB
