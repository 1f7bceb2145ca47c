# SPDX-License-Identifier: Apache-2.0
"""Walking two contexts in step."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from vmferry.engine.endpoints.nbd.ranges import _in_step, _joined

columns = st.lists(st.tuples(st.integers(1, 50), st.integers(0, 3)), min_size=1, max_size=12)


@given(first=columns, second=columns)
def test_cuts_where_either_changes_and_ends_where_the_shorter_ends(
    first: list[tuple[int, int]], second: list[tuple[int, int]]
) -> None:
    expected = list(zip(_spread(first), _spread(second), strict=False))
    found = [pair for length, *pair in _in_step(first, second) for _ in range(length)]
    assert [tuple(pair) for pair in found] == expected


@given(pieces=st.lists(st.tuples(st.integers(1, 9), st.sampled_from("dz-")), max_size=12), size=st.integers(0, 60))
def test_joins_neighbours_and_cuts_off_the_end(pieces: list[tuple[int, str]], size: int) -> None:
    """`-` is a range that did not change: a gap."""
    disk = "".join(kind * length for length, kind in pieces)
    size = min(size, len(disk)) if disk else 0
    starts = [sum(length for length, _ in pieces[:number]) for number in range(len(pieces))]
    given_pieces = [
        (start, length, kind == "z")
        for start, (length, kind) in zip(starts, pieces, strict=True)
        if kind != "-" and start < size
    ]
    extents = list(_joined(given_pieces, size))
    drawn = ["-"] * size
    for extent in extents:
        assert extent.length > 0
        drawn[extent.start : extent.end] = ("z" if extent.zero else "d") * extent.length
    assert "".join(drawn) == disk[:size]
    assert all(a.end < b.start or a.zero != b.zero for a, b in itertools.pairwise(extents))


def _spread(column: list[tuple[int, int]]) -> list[int]:
    return [flags for length, flags in column for _ in range(length)]
