# SPDX-License-Identifier: Apache-2.0
"""Walking two contexts in step."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vmferry.engine.endpoints.nbd.ranges import _in_step

columns = st.lists(st.tuples(st.integers(1, 50), st.integers(0, 3)), min_size=1, max_size=12)


@given(first=columns, second=columns, start=st.integers(0, 1 << 40))
def test_cuts_where_either_changes_and_ends_where_the_shorter_ends(
    first: list[tuple[int, int]], second: list[tuple[int, int]], start: int
) -> None:
    expected = list(zip(_spread(first), _spread(second), strict=False))
    found = list(_in_step(start, [first, second]))
    assert [flags for status in found for flags in [status.flags] * status.length] == expected
    position = start
    for status in found:
        assert status.start == position
        position += status.length


def _spread(column: list[tuple[int, int]]) -> list[int]:
    return [flags for length, flags in column for _ in range(length)]
