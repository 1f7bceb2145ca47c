# SPDX-License-Identifier: Apache-2.0
"""What every kind of endpoint promises (engine/endpoint.py), held against real files, devices and servers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from tests.contract.endpoint_kinds import KINDS, Kind, Place

from vmferry.engine.endpoint import Connection, EndpointSpec
from vmferry.engine.endpoints import open_source, open_target
from vmferry.engine.errors import BadInput, SourceError, TargetError, TargetTooSmall
from vmferry.engine.units import KiB, MiB

SIZE = 9 * MiB + 12 * KiB  # no multiple of a group or a leaf, but of every sector size
DATA = ((0, 64 * KiB), (MiB, 200 * KiB), (5 * MiB + 8 * KiB, 3 * MiB), (SIZE - 4 * KiB, 4 * KiB))
RANGES = {
    "one-leaf": (2 * MiB, 64 * KiB),
    "a-group": (4 * MiB, 4 * MiB),
    "one-byte": (5 * MiB + 77_777, 1),
    "short-tail": (9 * MiB, 12 * KiB),
    "unaligned": (MiB + 511, 333_333),
    "everything": (0, SIZE),
}

every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.id)
writable_kinds = pytest.mark.parametrize("kind", [k for k in KINDS if k.writable], ids=lambda kind: kind.id)


@pytest.fixture
def place(kind: Kind, tmp_path: Path) -> Iterator[Place]:
    with ExitStack() as stack:
        yield kind.make(tmp_path, stack)


@pytest.fixture(scope="module")
def disk() -> bytes:
    content = bytearray(SIZE)
    for offset, length in DATA:
        content[offset : offset + length] = random.Random(offset).randbytes(length)
    return bytes(content)


@pytest.fixture
def stocked(place: Place, disk: bytes, tmp_path: Path) -> EndpointSpec:
    raw = tmp_path / "content.raw"
    raw.write_bytes(disk)
    return place.stock(raw)


def read(connection: Connection, offset: int, length: int) -> bytes:
    buffer = bytearray(b"\xa5" * length)
    connection.read_into(offset, memoryview(buffer))
    return bytes(buffer)


def read_all(spec: EndpointSpec) -> bytes:
    with closing(open_source(spec)) as endpoint, closing(endpoint.connect()) as connection:
        return read(connection, 0, endpoint.size)


def text(length: int, seed: int = 0) -> memoryview:
    """Bytes that a compressing target makes smaller, unlike random ones."""
    return memoryview((b"%08d the quick brown fox, " % seed * (length // 8 + 1))[:length])


class TestSource:
    @every_kind
    def test_extents_cover_the_disk_and_zero_ranges_are_zero(
        self, kind: Kind, stocked: EndpointSpec, disk: bytes
    ) -> None:
        with closing(open_source(stocked)) as endpoint:
            assert endpoint.size == SIZE
            extents = list(endpoint.extents())
        position = 0
        for extent in extents:
            assert extent.start == position
            assert extent.length > 0
            assert not extent.zero or not any(disk[extent.start : extent.end])
            position = extent.end
        assert position == SIZE
        assert any(extent.zero for extent in extents) == kind.knows_holes

    @every_kind
    def test_reads_what_is_there(self, kind: Kind, stocked: EndpointSpec, disk: bytes) -> None:
        with closing(open_source(stocked)) as endpoint, closing(endpoint.connect()) as connection:
            for name, (offset, length) in RANGES.items():
                assert read(connection, offset, length) == disk[offset : offset + length], name

    @every_kind
    def test_connections_and_extents_may_be_used_in_turns(self, kind: Kind, stocked: EndpointSpec, disk: bytes) -> None:
        with closing(open_source(stocked)) as endpoint, ExitStack() as stack:
            count = min(3, endpoint.max_connections)
            connections = [stack.enter_context(closing(endpoint.connect())) for _ in range(count)]
            for extent in endpoint.extents():
                for connection in connections:
                    assert read(connection, extent.start, 512) == disk[extent.start : extent.start + 512]

    @every_kind
    def test_a_read_behind_the_end_is_an_error(self, kind: Kind, stocked: EndpointSpec) -> None:
        with closing(open_source(stocked)) as endpoint, closing(endpoint.connect()) as connection:
            with pytest.raises(SourceError):
                read(connection, SIZE - 4 * KiB, 8 * KiB)
            assert len(read(connection, SIZE - 4 * KiB, 4 * KiB)) == 4 * KiB

    @every_kind
    def test_an_unknown_bitmap_is_bad_input(self, kind: Kind, stocked: EndpointSpec, disk: bytes) -> None:
        with closing(open_source(stocked)) as endpoint:
            with pytest.raises(BadInput, match="no-such-bitmap"):
                list(endpoint.extents("no-such-bitmap"))
            with closing(endpoint.connect()) as connection:
                assert read(connection, 0, 512) == disk[:512]

    @every_kind
    def test_identity_lasts_and_closing_twice_is_fine(self, kind: Kind, stocked: EndpointSpec) -> None:
        first = open_source(stocked)
        connection = first.connect()
        connection.close()
        connection.close()
        first.close()
        first.close()
        with closing(open_source(stocked)) as second:
            assert second.identity == first.identity
            assert second.name in stocked.address or stocked.address in second.name


class TestTarget:
    @writable_kinds
    def test_writes_are_there_for_others_and_afterwards(self, kind: Kind, place: Place) -> None:
        spec = place.clear(SIZE)
        expected = bytearray(SIZE)
        with closing(open_target(spec, SIZE)) as endpoint:
            assert endpoint.size == SIZE
            promised_zero = endpoint.reads_zero
            with closing(endpoint.connect()) as writer, closing(endpoint.connect()) as reader:
                for number, (offset, length) in enumerate(_whole_leaves()):
                    writer.write(offset, text(length, number))
                    expected[offset : offset + length] = text(length, number)
                writer.flush()
                for offset, length in _whole_leaves():
                    assert read(reader, offset, length) == expected[offset : offset + length]
                if not promised_zero:
                    reader.zero(2 * MiB, MiB)
                    reader.flush()
        assert read_all(spec) == expected

    @writable_kinds
    def test_zeroing_hides_old_bytes(self, kind: Kind, stocked: EndpointSpec, disk: bytes) -> None:
        expected = bytearray(disk)
        with closing(open_target(stocked, SIZE)) as endpoint, closing(endpoint.connect()) as connection:
            assert not endpoint.reads_zero
            for name in ("unaligned", "short-tail", "one-byte", "one-leaf", "a-group"):
                offset, length = RANGES[name]
                connection.zero(offset, length)
                expected[offset : offset + length] = bytes(length)
                assert not any(read(connection, offset, length)), name
            connection.flush()
            assert read(connection, 0, SIZE) == expected
        assert read_all(stocked) == expected

    @writable_kinds
    def test_a_write_may_be_repeated_and_changed(self, kind: Kind, place: Place) -> None:
        spec = place.clear(SIZE)
        with closing(open_target(spec, SIZE)) as endpoint, closing(endpoint.connect()) as connection:
            for content in (text(MiB), text(MiB), memoryview(random.Random(5).randbytes(MiB)), text(MiB, 3)):
                connection.write(4 * MiB, content)
                connection.write(9 * MiB, content[: 12 * KiB])
            connection.flush()
        after = read_all(spec)
        assert after[4 * MiB : 5 * MiB] == text(MiB, 3)
        assert after[9 * MiB :] == text(12 * KiB, 3)

    @writable_kinds
    def test_opening_again_finds_the_same_target_with_its_bytes(self, kind: Kind, place: Place) -> None:
        spec = place.clear(SIZE)
        with closing(open_target(spec, SIZE)) as endpoint, closing(endpoint.connect()) as connection:
            first = endpoint.identity
            connection.write(MiB, text(64 * KiB))
            connection.flush()
        with closing(open_target(spec, SIZE)) as endpoint, closing(endpoint.connect()) as connection:
            assert endpoint.identity == first
            assert not endpoint.reads_zero
            assert read(connection, MiB, 64 * KiB) == text(64 * KiB)

    @writable_kinds
    def test_nothing_is_written_behind_the_end(self, kind: Kind, stocked: EndpointSpec, disk: bytes) -> None:
        with closing(open_target(stocked, SIZE)) as endpoint, closing(endpoint.connect()) as connection:
            with pytest.raises(TargetError):
                connection.write(SIZE - 4 * KiB, text(64 * KiB))
            assert read(connection, 0, 64 * KiB) == disk[: 64 * KiB]

    @writable_kinds
    def test_a_source_that_does_not_fit_is_refused_untouched(
        self, kind: Kind, stocked: EndpointSpec, disk: bytes
    ) -> None:
        with pytest.raises(TargetTooSmall, match=str(SIZE)):
            open_target(stocked, SIZE + 1 * MiB)
        assert read_all(stocked) == disk


def _whole_leaves() -> Iterator[tuple[int, int]]:
    """What the pump writes: runs of whole leaves, the last one short."""
    yield 0, 64 * KiB
    yield 4 * MiB, 4 * MiB
    yield 9 * MiB, 12 * KiB
